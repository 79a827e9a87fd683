"""Winner, front and relaxations over hand-made trials."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taut.core.budget import Limit, parse_budget
from taut.core.figures import Measured
from taut.core.move import Plan
from taut.core.quantities import P50, Better, Quantity
from taut.core.strategy import Trial
from taut.fit.choice import best_first, front, relaxations

_DROP = Quantity("drop", "points", Better.LOWER, is_relative_allowed=False)
_BUDGET = parse_budget("p50<=1ms, drop<=1", (P50, _DROP))


def _trial(key: str, p50_ms: float, drop: float) -> Trial:
    figures = {
        name: Measured(p50_ms, p50_ms, p50_ms, unit, 1) for name, unit in (("p50", "ms"), ("ratio", "ratio"))
    }
    return Trial(key, Plan(), figures, {"drop": drop})


def _keeps(limit: Limit, trial: Trial) -> bool:
    return limit.holds(trial.value(limit.quantity.name))


def test_quality_comes_before_speed_and_failed_trials_do_not_count() -> None:
    failed = Trial("failed", Plan(), {}, {}, error="no")
    trials = [_trial("fast but wrong", 0.1, 5.0), failed, _trial("slow", 3.0, 0.0), _trial("near", 1.2, 0.5)]
    assert [trial.key for trial in best_first(trials, _BUDGET, _keeps)] == ["near", "slow", "fast but wrong"]


def test_among_trials_that_hold_the_fastest_comes_first() -> None:
    trials = [_trial("slower", 0.9, 0.0), _trial("faster", 0.5, 0.9)]
    assert best_first(trials, _BUDGET, _keeps)[0].key == "faster"


def test_relaxations_name_the_smallest_change_of_one_limit_first() -> None:
    trials = [_trial("fast", 0.8, 3.0), _trial("right", 1.2, 0.5), _trial("slow", 2.0, 0.0)]
    found = relaxations(trials, _BUDGET, _keeps)
    assert [(r.limit.quantity.name, r.value, r.trial.key) for r in found] == [
        ("p50", 1.2, "right"),
        ("drop", 3.0, "fast"),
    ]


def test_relaxations_are_empty_when_two_limits_would_have_to_give() -> None:
    assert relaxations([_trial("bad", 2.0, 3.0)], _BUDGET, _keeps) == []


_POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(_POINTS)
def test_front_holds_exactly_what_nothing_beats_in_both(points: list[tuple[int, int]]) -> None:
    trials = [_trial(str(index), cost, drop) for index, (cost, drop) in enumerate(points)]
    kept = {(t.value("p50"), t.value("drop")) for t in front(trials, "p50", "drop", Better.LOWER)}
    undominated = {
        (c, d) for c, d in points if not any((a <= c and b <= d) and (a, b) != (c, d) for a, b in points)
    }
    assert kept == undominated
