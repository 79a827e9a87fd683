from __future__ import annotations

import pytest

from taut.core.figures import Measured
from taut.report.data import TrialRow
from taut.report.predicted import relative_errors


def _ms(value: float) -> Measured:
    return Measured(value, value, value, "ms", 10)


def test_relative_errors_compare_predicted_with_measured() -> None:
    told = Measured(1.1, 1.1, 1.1, "ms", 1)
    trial = TrialRow("a", "", costs={"p50": _ms(1.0)}, predicted={"p50": told})
    assert relative_errors((trial, TrialRow("b", ""))) == pytest.approx([0.1])
