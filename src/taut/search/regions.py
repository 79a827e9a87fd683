"""One float precision per stretch: cut the graph where one tensor crosses and chain two compiled parts.

A runtime with one precision for a whole model (OpenVINO's bf16) loses quality in a few sensitive nodes.
So they are tried where such a whole network was faster than all that keeps the quality. Quality does not grow
steadily with the float32 stretch: cuts are timed first, and judged from the fastest on until one keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from taut.core.move import Plan
from taut.core.strategy import Problem
from taut.search.lines import family, fastest, is_setting, offers

MOST_CUTS = 8
"""Timed of each direction: the first few, where sensitive nodes often lie, and some spread over the rest"""
FIRST_CUTS = 3
MOST_JUDGED = 6


def regions(problem: Problem) -> Iterator[Plan]:
    """Time cuts in every direction, then judge the fastest until the quality holds."""
    if not _is_promising(problem):
        return
    plans = [
        Plan.of([move], move.label)
        for _, moves in groupby(offers(problem, "regions"), key=_direction)
        for move in _sampled(list(moves))
    ]
    for plan, ratio in problem.rank(plans)[:MOST_JUDGED]:
        if problem.remaining_s() <= 0 or ratio >= fastest(problem).value("ratio"):
            return
        trial = problem.evaluate(plan)
        yield plan
        if problem.holds_quality(trial):
            return


def _is_promising(problem: Problem) -> bool:
    """Whether a whole network in bfloat16 was faster than all that keeps the quality, and lost it."""
    reached = fastest(problem).value("ratio")
    return any(
        trial.value("ratio") < reached
        for trial in problem.trials
        if trial.is_realised and is_setting(trial.plan) and family(trial.plan)[1] == "bfloat16"
    )


def _direction(move: Any) -> tuple[tuple[str, str], ...]:
    return tuple((stage.runtime, stage.precision) for stage in move.run.stages)


def _sampled(moves: Sequence[Any]) -> list[Any]:
    """The first cuts and an even spread over the others."""
    rest = moves[FIRST_CUTS:]
    step = max(1, -(-len(rest) // (MOST_CUTS - FIRST_CUTS)))
    return [*moves[:FIRST_CUTS], *rest[::step]]
