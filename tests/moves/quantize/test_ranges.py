from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.moves.quantize.ranges import (
    Distribution,
    Histogram,
    LeastSquares,
    MinMax,
    Percentile,
    RangeRule,
    parameters_of,
)
from taut.moves.quantize.schemes import PerChannel, PerTensor, Scheme

UINT8 = Scheme(8, is_signed=False, is_symmetric=False)


def heavy_tailed(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(2, size).astype(np.float32)


def squared_error(array: np.ndarray, scheme: Scheme, rule: RangeRule) -> float:
    parameters = parameters_of(array, scheme, PerTensor(), rule)
    return float(((parameters.fake_quantize(array) - array) ** 2).mean())


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_histogram_counts_everything_and_keeps_exact_extremes(values: list[float], parts: int) -> None:
    histogram = Histogram()
    for part in np.array_split(np.array(values, np.float32), parts):
        histogram.observe(part)
    assert histogram.counts.sum() == pytest.approx(len(values))
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))


def test_histogram_that_grew_equals_one_that_saw_everything_at_once() -> None:
    values = heavy_tailed(20_000)
    grown = Histogram()
    for part in np.array_split(values, 20):
        grown.observe(part)
    seen = grown.distribution()
    low, high = Percentile(99).choose(seen, UINT8)
    exact = np.quantile(values, [0.005, 0.995])
    assert np.abs(np.concatenate([low, high]) - exact).max() <= 2 * grown.width


def test_histogram_ignores_what_is_not_finite() -> None:
    histogram = Histogram()
    histogram.observe(np.array([1.0, np.inf, -np.inf, np.nan, 2.0], np.float32))
    assert (histogram.minimum, histogram.maximum, histogram.counts.sum()) == (1.0, 2.0, 2.0)


def test_histogram_samples_a_large_tensor_but_not_its_extremes() -> None:
    values = np.zeros(1_000_000, np.float32)
    values[123_457] = 50.0
    histogram = Histogram()
    histogram.observe(values)
    assert histogram.maximum == 50.0
    assert histogram.counts.sum() == pytest.approx(1_000_000)


def test_histogram_survives_storage() -> None:
    histogram = Histogram()
    histogram.observe(heavy_tailed(1000))
    again = Histogram.from_array(histogram.to_array())
    again.observe(heavy_tailed(1000, seed=1) * 10)
    histogram.observe(heavy_tailed(1000, seed=1) * 10)
    assert np.array_equal(again.to_array(), histogram.to_array())


def test_an_empty_histogram_yields_the_scale_of_an_all_zero_tensor() -> None:
    low, high = MinMax().choose(Histogram().distribution(), UINT8)
    assert (low.tolist(), high.tolist()) == ([0.0], [0.0])


def test_min_max_lets_nothing_saturate() -> None:
    values = heavy_tailed(5000)
    parameters = parameters_of(values, UINT8, PerTensor(), MinMax())
    assert np.abs(parameters.fake_quantize(values) - values).max() <= parameters.scale * 0.501


def test_percentile_leaves_the_stated_share_outside() -> None:
    values = heavy_tailed(100_000)
    low, high = Percentile(99).choose(Distribution.of(values), UINT8)
    assert np.mean((values < low) | (values > high)) == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_least_squares_is_never_worse_than_min_max(bits: int) -> None:
    for values in (heavy_tailed(20_000), np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)):
        scheme = Scheme(bits, is_signed=False, is_symmetric=False)
        assert squared_error(values, scheme, LeastSquares()) <= squared_error(values, scheme, MinMax())


def test_least_squares_matches_a_brute_search_per_channel() -> None:
    array = np.random.default_rng(3).standard_t(3, (4, 500)).astype(np.float32)
    scheme, rule = Scheme(4, is_narrow=True), LeastSquares(candidates=20)
    chosen = parameters_of(array, scheme, PerChannel(0), rule)
    for channel, row in enumerate(array):
        alone = parameters_of(row, scheme, PerTensor(), rule)
        assert chosen.scale[channel] == alone.scale
        ratios = np.linspace(1, rule.smallest_ratio, rule.candidates)
        grids = [scheme.parameters(ratio * row.min(), ratio * row.max()) for ratio in ratios]
        errors = [((grid.fake_quantize(row) - row) ** 2).sum() for grid in grids]
        assert alone.scale == grids[int(np.argmin(errors))].scale


def test_rules_on_a_histogram_come_close_to_those_on_the_array() -> None:
    values = heavy_tailed(50_000)
    histogram = Histogram()
    histogram.observe(values)
    for rule in (MinMax(), Percentile(99.9), LeastSquares()):
        exact = rule.choose(Distribution.of(values), UINT8)
        counted = rule.choose(histogram.distribution(), UINT8)
        np.testing.assert_allclose(counted, exact, atol=0.03 * float(histogram.maximum - histogram.minimum))


def test_percentile_outside_its_domain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"50\.\.100"):
        Percentile(30)
