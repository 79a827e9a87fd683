"""The integer programs against exhaustive search."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.search.program import Option, PlacementProblem, multiple_choice, placement

_NUMBERS = st.integers(0, 20).map(float)


@st.composite
def _items(draw: st.DrawFn) -> dict[str, list[Option]]:
    count = draw(st.integers(1, 4))
    return {
        f"item{index}": [
            Option(f"option{number}", draw(_NUMBERS), draw(_NUMBERS))
            for number in range(draw(st.integers(1, 3)))
        ]
        for index in range(count)
    }


@settings(max_examples=40, deadline=None)
@given(_items(), st.integers(0, 60))
def test_multiple_choice_equals_exhaustive_search(items: dict[str, list[Option]], limit: int) -> None:
    chosen = multiple_choice(items, limit)
    within = [
        combination for combination in product(*items.values()) if sum(o.cost for o in combination) <= limit
    ]
    if not within:
        assert chosen is None
        return
    assert chosen is not None
    assert sum(option.cost for option in chosen.values()) <= limit + 1e-6
    best = min(sum(option.loss for option in combination) for combination in within)
    assert sum(option.loss for option in chosen.values()) == pytest.approx(best, abs=1e-6)


@st.composite
def _placements(draw: st.DrawFn) -> tuple[PlacementProblem, float]:
    nodes = [f"node{index}" for index in range(draw(st.integers(1, 5)))]
    signed = st.integers(-10, 10).map(float)
    problem = PlacementProblem(
        gain_ms={node: draw(signed) for node in nodes},
        loss={node: draw(_NUMBERS) for node in nodes},
        boundary_ms={edge: draw(_NUMBERS) for edge in pairwise(nodes)},
        fixed_boundary_ms={node: draw(_NUMBERS) for node in nodes},
    )
    return problem, draw(_NUMBERS)


def _saved_ms(problem: PlacementProblem, lowered: set[str]) -> float:
    own = sum(problem.gain_ms[node] - problem.fixed_boundary_ms[node] for node in lowered)
    return own - sum(cost for (a, b), cost in problem.boundary_ms.items() if (a in lowered) != (b in lowered))


@settings(max_examples=40, deadline=None)
@given(_placements())
def test_placement_equals_exhaustive_search(case: tuple[PlacementProblem, float]) -> None:
    problem, limit = case
    lowered = set(placement(problem, limit))
    assert sum(problem.loss[node] for node in lowered) <= limit + 1e-6
    nodes = list(problem.gain_ms)
    subsets = (
        {n for n, taken in zip(nodes, bits, strict=True) if taken}
        for bits in product((0, 1), repeat=len(nodes))
    )
    legal = [subset for subset in subsets if sum(problem.loss[node] for node in subset) <= limit]
    best = max(_saved_ms(problem, subset) for subset in legal)
    assert _saved_ms(problem, lowered) == pytest.approx(best, abs=1e-6)


def test_placement_leaves_everything_when_boundaries_cost_more_than_is_gained() -> None:
    problem = PlacementProblem({"a": 1.0}, {"a": 0.0}, {}, {"a": 2.0})
    assert placement(problem, 1.0) == ()
