from __future__ import annotations

import re
from dataclasses import replace

from tests.report.sample_run import sample_run

from taut.core.figures import Measured
from taut.report.data import TrialRow
from taut.report.front import front_chart


def test_front_draws_every_measured_candidate_once() -> None:
    data = sample_run()
    chart = front_chart(data)
    assert chart is not None
    realised = [trial for trial in data.trials if trial.error is None]
    assert chart.count("<circle") == len(realised) == chart.count("data-tip")
    assert chart.count('class="limit"') == 2 and chart.count('class="allowed"') == 1


def test_front_keeps_sight_of_the_limits_when_one_candidate_is_far_off() -> None:
    data = sample_run()
    wrecked = TrialRow(
        "wrecked", "", costs={"p50": Measured(500.0, 500.0, 500.0, "ms", 10)}, quality={"accuracy": 10.0}
    )
    chart = front_chart(replace(data, trials=(*data.trials, wrecked)))
    assert chart is not None
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end" class="tick">([\d.]+)<', chart)]
    assert min(ticks) > 85
    across = [float(tick) for tick in re.findall(r'text-anchor="middle" class="tick">([\d.]+)<', chart)]
    assert max(across) < 2.2 * 4.81
    assert "500 ms p50" in chart
    assert "10.00 points accuracy" in chart


def test_front_needs_two_candidates() -> None:
    assert front_chart(replace(sample_run(), trials=sample_run().trials[:1])) is None
