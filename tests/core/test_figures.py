"""Figures keep their kind: arithmetic yields the weaker one, bounds are those of interval arithmetic."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.figures import Figure, Measured, Modelled, Predicted, add, figure_from_json
from taut.core.measurement import Measurement, Proof, Verdict

numbers = st.floats(0, 1e6)


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    low, value, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    kind = draw(st.sampled_from([Measured, Predicted, Modelled]))
    if kind is Measured:
        return Measured(value, low, high, "ms", draw(st.integers(1, 1000)))
    if kind is Predicted:
        return Predicted(value, low, high, "ms", draw(st.floats(0, 1)))
    return Modelled(value, "ms", draw(st.sampled_from(["phone.toml", "board.toml"])))


STRENGTH = {"modelled": 0, "predicted": 1, "measured": 2}


@given(figures(), figures())
def test_sum_is_of_the_weaker_kind_and_commutes_in_value(left: Figure, right: Figure) -> None:
    total = left + right
    assert STRENGTH[total.kind] == min(STRENGTH[left.kind], STRENGTH[right.kind])
    assert total.value == left.value + right.value == (right + left).value
    assert total.low <= total.value <= total.high


@given(figures(), figures())
def test_bounds_of_a_sum_are_the_sums_of_the_bounds(left: Figure, right: Figure) -> None:
    total = left + right
    if total.kind != "modelled":
        assert (total.low, total.high) == (left.low + right.low, left.high + right.high)


def test_sum_keeps_the_worse_evidence() -> None:
    few, many = Measured(1, 1, 1, "ms", samples=5), Measured(2, 2, 2, "ms", samples=50)
    assert few + many == Measured(3, 3, 3, "ms", samples=5)
    good, bad = Predicted(1, 1, 1, "ms", 0.05), Predicted(2, 2, 2, "ms", 0.2)
    assert add(good, bad) == Predicted(3, 3, 3, "ms", 0.2)
    assert few + good == Predicted(2, 2, 2, "ms", 0.05)
    assert Modelled(1, "ms", "a") + Modelled(2, "ms", "b") == Modelled(3, "ms", "a + b")


def test_sum_of_two_units_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot add ms and bytes"):
        Measured(1, 1, 1, "ms", 1) + Measured(1, 1, 1, "bytes", 1)


@given(figures())
def test_json_round_trip_keeps_the_figure(figure: Figure) -> None:
    data = json.loads(json.dumps(figure.to_json()))
    assert {"value", "low", "high", "unit", "kind"} <= set(data)
    assert figure_from_json(data) == figure


def test_json_of_an_unknown_kind_is_refused() -> None:
    data = {**Measured(1, 1, 1, "ms", 1).to_json(), "kind": "guessed"}
    with pytest.raises(ValueError, match="guessed"):
        figure_from_json(data)


def test_proof_takes_only_measured_figures() -> None:
    import numpy as np

    run = Measurement(np.ones(3), open_ms=1.0, first_run_ms=1.0, peak_memory_bytes=1)
    measured = Measured(0.5, 0.4, 0.6, "", 30)
    assert Proof(run, run, measured, Verdict.FASTER, 30, 0.01).ratio is measured
    predicted = Predicted(0.5, 0.4, 0.6, "", held_out_error=0.1)
    with pytest.raises(TypeError, match="only measured"):
        Proof(run, run, predicted, Verdict.FASTER, 30, 0.01)  # type: ignore[arg-type]
