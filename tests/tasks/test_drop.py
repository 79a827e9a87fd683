"""The paired drop: its interval covers the truth as often as it says, and proves nothing from nothing."""

from __future__ import annotations

import numpy as np
import pytest

from taut.core.quantities import Better
from taut.core.task import Metric
from taut.tasks.classification import ACCURACY
from taut.tasks.drop import drop_quantity, paired_drop

ERROR_DB = Metric("psnr", "dB", Better.HIGHER, lambda outputs, _targets: outputs["y"])
LOSS = Metric("loss", "", Better.LOWER, lambda outputs, _targets: outputs["y"])


def _answers(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Original right in 90%; 4% of samples lost, 1% gained: a true drop of 3 points."""
    kind = rng.choice(4, samples, p=[0.86, 0.09, 0.04, 0.01])
    original = np.array([100.0, 0, 100, 0])[kind]
    candidate = np.array([100.0, 0, 0, 100])[kind]
    return original, candidate


def test_interval_covers_the_true_drop_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    intervals = [paired_drop(*_answers(rng, 300), ACCURACY) for _ in range(100)]
    covered = sum(interval.low <= 3.0 <= interval.high for interval in intervals)
    # 95 are expected; fewer than 89 of 100 happen in 1 of 300 runs of a true 95% interval.
    assert covered >= 89
    widths = [interval.high - interval.low for interval in intervals]
    assert np.mean(widths) < 6, "made-up samples must not make the interval useless"


def test_no_difference_in_few_samples_proves_little() -> None:
    few = paired_drop(np.full(50, 100.0), np.full(50, 100.0), ACCURACY, limit=1.0)
    assert few.mean == 0.0
    assert few.high == pytest.approx(300 / 50, rel=0.35), "the rule of three"
    assert few.low == pytest.approx(-few.high, rel=0.35)
    assert few.samples_needed is not None and few.samples_needed > 50
    many = paired_drop(np.full(5000, 100.0), np.full(5000, 100.0), ACCURACY, limit=1.0)
    assert many.high < 0.1


def test_drop_is_positive_where_the_candidate_is_worse_whatever_is_better() -> None:
    better, worse = np.linspace(30, 31, 200), np.linspace(29, 30, 200)
    assert paired_drop(better, worse, ERROR_DB).mean == pytest.approx(1.0)
    assert paired_drop(worse, better, LOSS).mean == pytest.approx(1.0)
    assert paired_drop(worse, better, ERROR_DB).mean == pytest.approx(-1.0)


def test_interval_is_of_pairs_not_of_two_means() -> None:
    spread = np.random.default_rng(0).normal(30, 10, 500)
    paired = paired_drop(spread, spread - 0.5, ERROR_DB)
    assert 0.4 < paired.low <= paired.mean <= paired.high < 0.6


def test_samples_needed_prove_it_when_they_are_there() -> None:
    rng = np.random.default_rng(5)
    pilot = paired_drop(*_answers(rng, 400), ACCURACY, limit=3.0)
    assert pilot.high > 3.0 and pilot.samples_needed is not None
    # The pilot's own mean decides what is needed, so the answers are repeated, not drawn anew.
    original, candidate = _answers(np.random.default_rng(5), 400)
    times = pilot.samples_needed // 400 + 1
    proven = paired_drop(np.tile(original, times), np.tile(candidate, times), ACCURACY, limit=3.0)
    assert proven.high <= 3.05


def test_no_number_of_samples_proves_a_mean_beyond_the_limit() -> None:
    original, candidate = np.full(100, 100.0), np.where(np.arange(100) < 5, 0.0, 100.0)
    assert paired_drop(original, candidate, ACCURACY, limit=5.0).samples_needed is None
    assert paired_drop(original, candidate, ACCURACY, limit=6.0).samples_needed is not None
    assert paired_drop(original, candidate, ACCURACY).samples_needed == 1


def test_wider_confidence_gives_a_wider_interval() -> None:
    answers = _answers(np.random.default_rng(1), 300)
    narrow, wide = (paired_drop(*answers, ACCURACY, confidence=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_drop_is_in_the_metrics_own_unit() -> None:
    assert (drop_quantity(ACCURACY).unit, drop_quantity(ERROR_DB).unit) == ("points", "dB")
