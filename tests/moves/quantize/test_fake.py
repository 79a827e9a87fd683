from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.moves.quantize.fake import RangeTracker, fake_quantize
from taut.moves.quantize.ranges import MinMax, parameters_of
from taut.moves.quantize.schemes import Granularity, PerChannel, PerGroup, PerTensor, Scheme

GRANULARITIES: list[Granularity] = [PerTensor(), PerChannel(0), PerChannel(-1), PerGroup(4, 1)]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@given(st.integers(2, 8), st.booleans(), st.booleans(), st.integers(0, 1000))
@settings(max_examples=20)
def test_values_are_those_of_the_plain_reference(
    granularity: Granularity, bits: int, is_signed: bool, is_symmetric: bool, seed: int
) -> None:
    array = np.random.default_rng(seed).normal(0, 2, (6, 8)).astype(np.float32)
    parameters = parameters_of(array * 0.7, Scheme(bits, is_signed, is_symmetric), granularity, MinMax())
    got = fake_quantize(torch.from_numpy(array), parameters).numpy()
    apart = np.abs(got - parameters.fake_quantize(array))
    spread = granularity.spread(parameters.scale, array.shape)
    # A tie may fall either way; nothing else may differ.
    assert np.mean(apart > 1e-5 * spread) < 0.03 and (apart <= spread * 1.001).all()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_gradient_is_one_inside_the_range_and_zero_outside(granularity: Granularity) -> None:
    array = np.random.default_rng(0).normal(0, 2, (6, 8)).astype(np.float32)
    parameters = parameters_of(array * 0.5, Scheme(8), granularity, MinMax())
    x = torch.from_numpy(array).requires_grad_()
    fake_quantize(x, parameters).sum().backward()
    low, high = (granularity.spread(bound, array.shape) for bound in parameters.range)
    step = granularity.spread(parameters.scale, array.shape)
    inside = (array > low + step) & (array < high - step)
    outside = (array < low - step) | (array > high + step)
    assert x.grad is not None and inside.any() and outside.any()
    assert (x.grad.numpy()[inside] == 1).all() and (x.grad.numpy()[outside] == 0).all()


def test_tracker_starts_at_the_first_batch_and_moves_by_its_momentum() -> None:
    tracker = RangeTracker(Scheme(8, False, False), momentum=0.25).train()
    tracker(torch.tensor([-1.0, 3.0]))
    assert (tracker.low.item(), tracker.high.item()) == (-1.0, 3.0)
    tracker(torch.tensor([-5.0, 7.0]))
    assert (tracker.low.item(), tracker.high.item()) == (-2.0, 4.0)


def test_tracker_passes_values_on_until_it_is_switched_on() -> None:
    tracker = RangeTracker(Scheme(2, False, False), momentum=0.1).train()
    x = torch.linspace(0, 1, 11)
    assert torch.equal(tracker(x), x)
    tracker.switch_on()
    assert tracker(x).unique().numel() == 4


def test_tracker_keeps_its_range_in_evaluation_and_in_its_state() -> None:
    tracker = RangeTracker(Scheme(8), momentum=0.5).train()
    tracker(torch.tensor([-1.0, 1.0]))
    tracker.switch_on()
    tracker.eval()(torch.tensor([-9.0, 9.0]))
    again = RangeTracker(Scheme(8), momentum=0.5)
    again.load_state_dict(tracker.state_dict())
    assert again.is_on and again.high.item() == 1.0
