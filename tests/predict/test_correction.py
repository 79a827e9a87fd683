"""Corrections learn the ratio of measured to predicted, and say how wrong they were."""

from __future__ import annotations

import pytest

from taut.predict.correction import UNKNOWN_ERROR, Correction
from taut.predict.tables import Tables


def test_correction_states_unknown_error_before_anything_was_measured() -> None:
    predicted = Correction().predicted(2.0)
    assert predicted.value == 2.0
    assert predicted.held_out_error == UNKNOWN_ERROR


def test_correction_scales_by_measured_over_predicted_and_keeps_the_error_it_made() -> None:
    correction = Correction()
    correction.learn(raw_ms=2.0, measured_ms=3.0)
    predicted = correction.predicted(4.0)
    assert predicted.value == pytest.approx(6.0)
    # The first prediction of 2 ms was wrong by a third of the 3 ms measured.
    assert predicted.held_out_error == pytest.approx(1 / 3)


def test_tables_charge_a_boundary_only_where_neighbours_differ() -> None:
    tables = Tables(
        float_ms={"a": 2.0, "b": 2.0, "rest": 1.0},
        int8_ms={"a": 1.0, "b": 1.0},
        loss={"a": 0.0, "b": 0.0},
        edges={("a", "b"): 0.5},
        outer={"a": 0.0, "b": 0.25},
    )
    assert tables.predict_ms(()) == pytest.approx(5.0)
    assert tables.predict_ms(("a",)) == pytest.approx(4.0 + 0.5)
    assert tables.predict_ms(("a", "b")) == pytest.approx(3.0 + 0.25)
