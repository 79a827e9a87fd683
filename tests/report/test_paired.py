from __future__ import annotations

import numpy as np
import pytest

from taut.core.figures import Measured
from taut.report.data import ProofRow
from taut.report.paired import paired_ratios, ratio_chart, samples_chart, usual_range


def test_paired_ratios_divide_new_by_old_pair_by_pair() -> None:
    proof = ProofRow(Measured(0.5, 0.4, 0.6, "", 2), 2, 0.01, "faster", (2.0, 4.0), (1.0, 2.0, 9.0))
    assert paired_ratios(proof).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("ratio", "is_drawn"), [(0.98, True), (0.25, False)])
def test_ratio_chart_shows_no_change_only_where_it_is_near(ratio: float, is_drawn: bool) -> None:
    old = np.random.default_rng(0).normal(1.0, 0.01, 200)
    interval = Measured(ratio, ratio - 0.01, ratio + 0.01, "", 200)
    chart = ratio_chart(ProofRow(interval, 200, 0.01, "faster", tuple(old), tuple(old[::-1] * ratio)))
    assert chart is not None
    assert ('class="noise"' in chart) is is_drawn


def test_charts_of_a_proof_without_samples_are_left_out() -> None:
    proof = ProofRow(Measured(0.5, 0.4, 0.6, "", 2), 2, 0.01, "faster")
    assert ratio_chart(proof) is None
    assert samples_chart(proof) is None


def test_samples_chart_is_thinned_evenly() -> None:
    samples = tuple(float(1 + index % 7) for index in range(5000))
    chart = samples_chart(ProofRow(Measured(1, 1, 1, "", 2), 5000, 0.01, "not faster", samples, samples))
    assert chart is not None
    assert chart.count("<circle") == 600


def test_usual_range_leaves_rare_hiccups_out() -> None:
    values = np.array([*np.linspace(0.9, 1.1, 99), 250.0])
    assert usual_range(values) == (0.9, 1.1)
    assert usual_range(np.full(5, 2.0)) == (2.0, 2.0)
