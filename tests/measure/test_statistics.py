from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from taut.core.measurement import Measurement, Proof, Verdict
from taut.measure.statistics import (
    FIRST_LOOK,
    PRACTICAL_GAIN,
    Sitting,
    decide,
    look_schedule,
    p50,
    p99,
    paired_ratio,
    ratio_interval,
)


def sitting(ratio: float, spread: float = 0.001, rounds: int = 20) -> Sitting:
    """A sitting whose two pairs of processes straddle the ratio by the spread."""
    pace = np.array([[1 - spread], [1 + spread]])
    return Sitting(old_ms=np.full((2, rounds), 2.0), new_ms=2.0 * ratio * pace * np.ones((1, rounds)))


def measurement(latency_ms: np.ndarray, sittings: tuple[int, ...] = ()) -> Measurement:
    return Measurement(latency_ms, open_ms=1.0, first_run_ms=1.0, peak_memory_bytes=1, sittings=sittings)


@given(st.integers(1, 200))
def test_looks_rise_to_the_most_pairs_and_are_few(max_pairs: int) -> None:
    looks = look_schedule(max_pairs)
    assert looks[-1] == max_pairs
    assert list(looks) == sorted(set(looks))
    assert looks[0] == min(FIRST_LOOK, max_pairs)
    assert len(looks) <= 16


@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=30), st.floats(0.001, 0.2))
def test_ratio_interval_is_students_of_the_log_ratios(log_ratios: list[float], alpha: float) -> None:
    ratio = ratio_interval(log_ratios, alpha)
    assert math.log(ratio.value) == pytest.approx(np.mean(log_ratios), abs=1e-12)
    error = stats.sem(log_ratios)
    expected = np.mean(log_ratios) + error * stats.t.ppf(1 - alpha, len(log_ratios) - 1)
    assert math.log(ratio.high) == pytest.approx(expected, abs=1e-6)
    assert ratio.samples == len(log_ratios)


def test_one_pair_says_nothing_about_the_ratio() -> None:
    ratio = ratio_interval([0.1], 0.01)
    assert (ratio.low, ratio.high) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (0.9, Verdict.FASTER),
        (1.1, Verdict.NOT_FASTER),
        (1.0, Verdict.NOT_FASTER),
        (1 - PRACTICAL_GAIN / 2, Verdict.FASTER),
    ],
)
def test_clear_case_is_decided_at_the_first_look(ratio: float, verdict: Verdict) -> None:
    decision = decide((sitting(ratio, 1e-5) for _ in range(100)), max_pairs=48, alpha=0.01)
    assert decision.verdict is verdict
    assert decision.ratio.samples == FIRST_LOOK
    assert decision.ratio.low <= ratio <= decision.ratio.high


def test_noise_beyond_the_effect_stays_undecided_until_the_most_pairs() -> None:
    decision = decide((sitting(0.97, 0.3) for _ in range(100)), max_pairs=12, alpha=0.01)
    assert decision.verdict is Verdict.UNDECIDED
    assert decision.ratio.samples == 12


@pytest.mark.parametrize(("ratio", "wanted", "is_longer"), [(0.5, 0.6, False), (0.5, 0.51, True)])
def test_a_wanted_ratio_is_decided_as_well(ratio: float, wanted: float, is_longer: bool) -> None:
    decision = decide((sitting(ratio, 0.05) for _ in range(100)), 400, 0.01, wanted)
    assert decision.verdict is Verdict.FASTER
    assert not decision.ratio.low < wanted < decision.ratio.high
    assert (decision.ratio.samples > FIRST_LOOK) == is_longer


def test_ratio_of_a_proof_is_paired_so_that_drift_does_not_widen_it() -> None:
    pace = np.array([1.0, 1.4, 0.7, 2.0])  # of the machine, at each pair
    proof = Proof(
        old=measurement(np.repeat(pace, 3), (3,) * 4),
        new=measurement(np.repeat(0.5 * pace * [1.0, 1.01, 0.99, 1.0], 3), (3,) * 4),
        ratio=ratio_interval([0.0] * 4, 0.01),
        verdict=Verdict.FASTER,
        pairs=4,
        noise_floor=0.0,
    )
    ratio = paired_ratio(proof)
    assert ratio.value == pytest.approx(0.5, rel=1e-3)
    assert 0.5 < ratio.high < 0.51
    assert p50(proof.new).high / p50(proof.old).value > 0.6


def test_sittings_that_end_early_are_judged_by_what_there_is() -> None:
    decision = decide(iter([sitting(0.5), sitting(0.5), sitting(0.5)]), max_pairs=5, alpha=0.01)
    assert decision.verdict is Verdict.FASTER
    undecided = decide(iter([sitting(0.5, 0.2)]), max_pairs=48, alpha=0.01)
    assert undecided.verdict is Verdict.UNDECIDED
    assert undecided.ratio.samples == 2


def test_noise_floor_is_the_spread_of_each_runner_against_itself() -> None:
    quiet = decide((sitting(0.5, 0.001) for _ in range(9)), max_pairs=48, alpha=0.01)
    noisy = decide((sitting(0.5, 0.05) for _ in range(9)), max_pairs=48, alpha=0.01)
    assert 0 < quiet.noise_floor < 0.02 < noisy.noise_floor


def test_swapping_the_runners_inverts_the_ratio() -> None:
    rng = np.random.default_rng(0)
    old_ms, new_ms = rng.lognormal(size=(2, 2, 15))
    forth, back = Sitting(old_ms, new_ms), Sitting(new_ms, old_ms)
    assert forth.log_ratios() == pytest.approx([-ratio for ratio in back.log_ratios()])
    assert forth.is_settled == back.is_settled


def test_sitting_settles_when_rounds_agree() -> None:
    rng = np.random.default_rng(0)
    old_ms, jitter = np.ones((2, 20)), rng.standard_normal((2, 20))
    assert Sitting(old_ms, np.exp(0.01 * jitter)).is_settled
    assert not Sitting(old_ms, np.exp(0.2 * jitter)).is_settled


def test_p50_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(400):
        paces = np.exp(0.03 * rng.standard_normal(8))
        runs_ms = (paces[:, None] * rng.lognormal(0.0, 0.1, size=(8, 30))).ravel()
        misses += p50(measurement(runs_ms, (30,) * 8)).high < 1.0
    # 95% one-sided: 20 misses expected, 33 is three standard deviations more.
    assert misses <= 33


def test_p50_of_one_sitting_follows_slow_drift() -> None:
    runs_ms = np.linspace(1.0, 2.0, 1000)
    figure = p50(measurement(runs_ms))
    assert figure.low < 1.4 < 1.6 < figure.high
    steady = p50(measurement(np.random.default_rng(0).permutation(runs_ms)))
    assert steady.high - steady.low < (figure.high - figure.low) / 2


def test_p99_of_few_runs_has_no_upper_bound() -> None:
    rng = np.random.default_rng(0)
    few, many = (p99(measurement(rng.lognormal(0, 0.1, count))) for count in (140, 3000))
    assert few.high == math.inf
    assert many.low < many.value < many.high < 2.0


def test_p99_joins_short_sittings() -> None:
    runs_ms = np.random.default_rng(0).lognormal(0, 0.1, 400)
    assert p99(measurement(runs_ms, (40,) * 10)).high < math.inf


def test_single_run_is_its_own_p50_without_bounds() -> None:
    figure = p50(measurement(np.array([3.0])))
    assert (figure.value, figure.low, figure.high) == (3.0, 0.0, math.inf)
