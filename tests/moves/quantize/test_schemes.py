from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.moves.quantize.schemes import Granularity, PerChannel, PerGroup, PerTensor, Scheme

SCHEMES = st.builds(Scheme, st.integers(2, 8), st.booleans(), st.booleans(), st.booleans())
BOUND = st.floats(-1e4, 1e4, allow_nan=False, width=32)


@given(SCHEMES, BOUND, BOUND)
@settings(max_examples=200, deadline=None)
def test_quantizing_errs_by_half_a_step_at_most_when_inside_the_range(
    scheme: Scheme, one: float, other: float
) -> None:
    parameters = scheme.parameters(np.array(min(one, other)), np.array(max(one, other)))
    low, high = parameters.range
    values = np.linspace(low, high, 101).astype(np.float32)
    error = np.abs(parameters.fake_quantize(values) - values)
    assert error.max() <= parameters.scale * 0.5 * (1 + 1e-4)


@given(SCHEMES, BOUND, BOUND)
@settings(max_examples=200, deadline=None)
def test_zero_is_exact(scheme: Scheme, one: float, other: float) -> None:
    parameters = scheme.parameters(np.array(min(one, other)), np.array(max(one, other)))
    assert parameters.fake_quantize(np.zeros(3, np.float32)).tolist() == [0.0, 0.0, 0.0]
    assert scheme.low <= parameters.zero_point <= scheme.high


@given(SCHEMES, BOUND, BOUND)
@settings(max_examples=100, deadline=None)
def test_quantizing_keeps_order(scheme: Scheme, one: float, other: float) -> None:
    parameters = scheme.parameters(np.array(min(one, other)), np.array(max(one, other)))
    values = np.sort(np.random.default_rng(0).normal(0, 1e4, 200)).astype(np.float32)
    assert (np.diff(parameters.quantize(values).astype(int)) >= 0).all()


@given(SCHEMES, BOUND, BOUND)
@settings(max_examples=100, deadline=None)
def test_codes_survive_a_round_trip(scheme: Scheme, one: float, other: float) -> None:
    parameters = scheme.parameters(np.array(min(one, other)), np.array(max(one, other)))
    codes = np.arange(scheme.low, scheme.high + 1).astype(scheme.dtype)
    assert np.array_equal(parameters.quantize(parameters.dequantize(codes)), codes)


@given(SCHEMES, BOUND, BOUND)
@settings(max_examples=100, deadline=None)
def test_the_range_covers_what_was_asked_to_half_a_step(scheme: Scheme, one: float, other: float) -> None:
    parameters = scheme.parameters(np.array(min(one, other)), np.array(max(one, other)))
    low, high = parameters.range
    slack = 0.5 * parameters.scale * (1 + 1e-4)
    assert high >= max(one, other) - slack
    # A symmetric scheme without the lowest code's counterpart still reaches as far down as up.
    assert low <= min(one, other) + slack


def test_codes_agree_with_torch_away_from_ties() -> None:
    values = np.random.default_rng(0).normal(0, 3, (16, 40)).astype(np.float32)
    parameters = Scheme(8, False, False).parameters(np.array(-5.0), np.array(7.0))
    wanted = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(values), float(parameters.scale), int(parameters.zero_point), 0, 255
    )
    np.testing.assert_allclose(parameters.fake_quantize(values), wanted.numpy(), rtol=1e-6, atol=1e-6)


def test_codes_agree_with_torch_per_channel() -> None:
    values = np.random.default_rng(1).normal(0, 3, (16, 4, 3, 3)).astype(np.float32)
    largest = np.abs(values).max(axis=(1, 2, 3))
    parameters = Scheme(8, is_narrow=True).parameters(-largest, largest, PerChannel(0))
    zero = torch.zeros(16, dtype=torch.int32)
    wanted = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(values), torch.from_numpy(parameters.scale), zero, 0, -127, 127
    )
    np.testing.assert_allclose(parameters.fake_quantize(values), wanted.numpy(), rtol=1e-6, atol=1e-6)


def test_worked_example_matches_the_papers_equation() -> None:
    parameters = Scheme(8, False, False).parameters(np.array(-1.0), np.array(1.55))
    assert parameters.scale == pytest.approx(0.01)
    assert parameters.zero_point == 100
    assert parameters.quantize(np.array([-1.0, 0.0, 0.5, 9.0])).tolist() == [0, 100, 150, 255]


def test_an_all_zero_tensor_has_scale_one() -> None:
    parameters = Scheme(4).parameters(np.zeros(2), np.zeros(2), PerChannel(0))
    assert parameters.scale.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_outside_two_to_eight_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=r"2\.\.8"):
        Scheme(bits)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerGroup(4, 1), PerGroup(2, 0)])
def test_split_and_spread_agree(granularity: Granularity) -> None:
    array = np.random.default_rng(2).normal(size=(6, 8, 3))
    largest = granularity.split(array).max(axis=1)
    spread = granularity.spread(largest.reshape(granularity.parameter_shape(array.shape)), array.shape)
    full = np.broadcast_to(spread, array.shape)
    assert (full >= array).all()
    assert np.array_equal(granularity.split(full).max(axis=1), largest)
    assert (granularity.split(np.isclose(full, array)).sum(axis=1) >= 1).all()


def test_groups_that_do_not_fill_the_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        PerGroup(3, 0).parameter_shape((8, 2))
