"""One float precision per stretch: cut the graph where one tensor crosses and chain two compiled parts.

A runtime with one precision for a whole model (OpenVINO's bf16) loses quality in a few sensitive nodes. The
search finds by bisection the shortest stretch that has to stay float32 for the quality to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from taut.core.move import Plan
from taut.core.strategy import Problem
from taut.search.lines import offers


def regions(problem: Problem) -> Iterator[Plan]:
    """For each direction (float32 first, or last) bisect over the offered cuts."""
    moves = sorted(offers(problem, "regions"), key=_direction)
    for _, group in groupby(moves, key=_direction):
        yield from _bisect(problem, list(group))


def _direction(move: Any) -> tuple[tuple[str, str], ...]:
    return tuple((stage.runtime, stage.precision) for stage in move.run.stages)


def _bisect(problem: Problem, moves: Sequence[Any]) -> Iterator[Plan]:
    """Moves of one direction, in the order of the graph: find the least float32 that keeps the quality."""
    is_float_first = moves[0].run.stages[0].precision == "float32"
    ordered = list(moves) if is_float_first else list(reversed(moves))
    low, high = 0, len(ordered) - 1
    while low <= high and problem.remaining_s() > 0:
        middle = (low + high) // 2
        plan = Plan.of([ordered[middle]], ordered[middle].label)
        trial = problem.evaluate(plan)
        yield plan
        if trial.is_realised and problem.holds_quality(trial):
            high = middle - 1
        else:
            low = middle + 1
