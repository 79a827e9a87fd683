"""The floor takes each node in its fastest measured form, on the scale of what networks really took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.figures import Measured, Predicted
from taut.core.move import Plan
from taut.core.strategy import Trial
from taut.fit.floor import UNKNOWN_ERROR, Profiled, floor_of, held_out_error


def _trial(predicted_ms: float, measured_ms: float) -> Trial:
    return Trial(
        "key",
        Plan(),
        {"p50": Measured(measured_ms, measured_ms, measured_ms, "ms", 1)},
        {},
        {"p50": Predicted(predicted_ms, predicted_ms, predicted_ms, "ms", 0.1)},
    )


def test_floor_mixes_the_fastest_form_of_each_node() -> None:
    # The profiler made both networks look twice as slow as they were.
    first = Profiled({"a": 2.0, "b": 6.0}, p50_ms=4.0)
    second = Profiled({"a": 6.0, "b": 2.0}, p50_ms=4.0)
    floor = floor_of([first, second], [])
    assert floor.total.value == pytest.approx(2.0)
    assert floor.total.held_out_error == UNKNOWN_ERROR


_TIMES = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 10), min_size=1)


@given(st.lists(st.builds(Profiled, _TIMES, st.floats(0.1, 10)), min_size=1, max_size=4))
def test_floor_is_never_above_a_network_that_was_measured(profiled: list[Profiled]) -> None:
    """Whatever names the runtimes' kernels have: fused nodes are listed with the node that took them in."""
    assert floor_of(profiled, []).total.value <= min(one.p50_ms for one in profiled) + 1e-9


def test_held_out_error_is_the_median_of_predictions_made_before_measurement() -> None:
    assert held_out_error([_trial(1.0, 2.0), _trial(2.0, 2.0), _trial(1.8, 2.0)]) == pytest.approx(0.1)
