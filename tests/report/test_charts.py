from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report.sample_run import sample_run

from taut.core.figures import Measured
from taut.report.charts import (
    drop_chart,
    front_chart,
    paired_ratios,
    ratio_chart,
    relative_errors,
    samples_chart,
)
from taut.report.data import ProofRow, TrialRow


def _ms(value: float) -> Measured:
    return Measured(value, value, value, "ms", 10)


def test_front_draws_every_measured_candidate_once() -> None:
    data = sample_run()
    chart = front_chart(data)
    assert chart is not None
    realised = [trial for trial in data.trials if trial.error is None]
    assert chart.count("<circle") == len(realised) == chart.count("data-tip")
    assert chart.count('class="limit"') == 2 and chart.count('class="allowed"') == 1


def test_front_keeps_sight_of_the_limits_when_one_candidate_is_far_off() -> None:
    data = sample_run()
    wrecked = TrialRow("wrecked", "", costs={"p50": _ms(0.5)}, quality={"accuracy": 10.0})
    chart = front_chart(replace(data, trials=(*data.trials, wrecked)))
    assert chart is not None
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end" class="tick">([\d.]+)<', chart)]
    assert min(ticks) > 85
    assert "10.00 points accuracy" in chart


def test_front_needs_two_candidates() -> None:
    assert front_chart(replace(sample_run(), trials=sample_run().trials[:1])) is None


def test_relative_errors_compare_predicted_with_measured() -> None:
    told = Measured(1.1, 1.1, 1.1, "ms", 1)
    trial = TrialRow("a", "", costs={"p50": _ms(1.0)}, predicted={"p50": told})
    assert relative_errors((trial, TrialRow("b", ""))) == pytest.approx([0.1])


def test_paired_ratios_divide_new_by_old_pair_by_pair() -> None:
    proof = ProofRow(Measured(0.5, 0.4, 0.6, "", 2), 2, 0.01, "faster", (2.0, 4.0), (1.0, 2.0, 9.0))
    assert paired_ratios(proof).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("ratio", "is_drawn"), [(0.98, True), (0.25, False)])
def test_ratio_chart_shows_no_change_only_where_it_is_near(ratio: float, is_drawn: bool) -> None:
    old = np.random.default_rng(0).normal(1.0, 0.01, 200)
    interval = Measured(ratio, ratio - 0.01, ratio + 0.01, "", 200)
    chart = ratio_chart(ProofRow(interval, 200, 0.01, "faster", tuple(old), tuple(old[::-1] * ratio)))
    assert chart is not None
    assert ("no change" in chart) is is_drawn


def test_charts_of_a_proof_without_samples_are_left_out() -> None:
    proof = ProofRow(Measured(0.5, 0.4, 0.6, "", 2), 2, 0.01, "faster")
    assert ratio_chart(proof) is None
    assert samples_chart(proof) is None


def test_samples_chart_is_thinned_evenly() -> None:
    samples = tuple(float(1 + index % 7) for index in range(5000))
    chart = samples_chart(ProofRow(Measured(1, 1, 1, "", 2), 5000, 0.01, "not faster", samples, samples))
    assert chart is not None
    assert chart.count("<circle") == 600


def test_drop_chart_shows_interval_and_limit() -> None:
    quality = sample_run().quality
    assert quality is not None
    chart = drop_chart(quality, 1.0)
    assert chart is not None
    assert "limit" in chart and "span" in chart
    assert drop_chart(replace(quality, drop=None), 1.0) is None
