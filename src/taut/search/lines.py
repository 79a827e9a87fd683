"""The lines that a knowledgeable user would try by hand: every runtime, setting and whole-network recipe.

They are timed together first, quality unseen, and only those near the front are judged in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from taut.core.move import Form, Plan, describe_move
from taut.core.strategy import Problem, Trial

NEAR_FRONT = 1.15
"""A plan within 15% of the fastest may still win once both are measured at length."""
MOST_JUDGED = 2
FAMILY_REACH = 1.5
"""The fastest of another runtime or precision is judged if it is within this factor of the front: what
comes on top of it may turn the order."""
COMPARABLE_LOSS = 2.0
"""Variants of one recipe run at about one speed; those that lose more than twice the least are not timed."""


def lines(problem: Problem) -> Iterator[Plan]:
    """Evaluate the fastest settings of each runtime and precision, then whole-network recipes on the best."""
    settings = [Plan.of([move], describe_move(move)) for move in offers(problem, "runtime")] or [Plan()]
    ranked = problem.rank(settings)
    for plan in _worth_judging(ranked):
        problem.evaluate(plan)
        yield plan
    for plan in _worth_judging(problem.rank(recipes(problem, best_settings(ranked)))):
        problem.evaluate(plan)
        yield plan


def recipes(problem: Problem, settings: Sequence[Plan]) -> list[Plan]:
    """Every GRAPH move that is offered and sound, on each of the given settings."""
    whole = [
        move
        for name, kind in problem.moves.items()
        if kind.form is Form.GRAPH and name != "fold"
        for move in sound(problem, offers(problem, name))
    ]
    return [
        setting.with_move(move, f"{describe_move(move)}, {setting.label or 'default settings'}")
        for setting in settings
        for move in whole
        if suits(move, setting)
    ]


def sound(problem: Problem, moves: Sequence[Any]) -> list[Any]:
    """Leave out variants of a recipe for one runtime that lose far more than its best variant.

    Fewer bits are not a variant: they lose more and make a smaller file.
    """
    kept: list[Any] = []
    for _, group in groupby(moves, key=lambda move: (getattr(move, "target", ""), getattr(move, "bits", 0))):
        variants = list(group)
        if len(variants) == 1:
            kept += variants
            continue
        losses = [problem.loss(Plan.of([move])) for move in variants]
        limit = COMPARABLE_LOSS * min(losses)
        kept += [move for move, loss in zip(variants, losses, strict=True) if loss <= limit]
    return kept


def suits(move: object, setting: Plan) -> bool:
    """Whether a move was written for the runtime that the setting chooses; most are for any."""
    runtime, _ = family(setting)
    return getattr(move, "target", runtime) == runtime


def offers(problem: Problem, kind: str) -> Sequence:
    """What a kind of move offers for the network; nothing where the kind is not allowed."""
    if kind not in problem.moves:
        return []
    return problem.moves[kind].offers(problem.network, problem.context)


def best_settings(ranked: Sequence[tuple[Plan, float]]) -> list[Plan]:
    """The fastest setting of each pair of runtime and precision, fastest first."""
    best: dict[tuple[str, str], Plan] = {}
    for plan, _ in ranked:
        best.setdefault(family(plan), plan)
    return list(best.values())


def is_setting(plan: Plan) -> bool:
    """Whether a plan leaves the graph as it is; the original does."""
    return all(move.form is Form.RUN for move in plan.moves)


def family(plan: Plan) -> tuple[str, str]:
    """Runtime and precision of a plan's last stage."""
    for move in reversed(plan.moves):
        if move.form is Form.RUN:
            stage = move.run.stages[-1]
            return stage.runtime, stage.precision
    return "onnxruntime", "float32"


def fastest(problem: Problem) -> Trial:
    """The fastest trial so far that keeps the quality; the original where nothing else does."""
    kept = [trial for trial in problem.trials if trial.is_realised and problem.holds_quality(trial)]
    return min(kept or [problem.trials[0]], key=lambda trial: trial.value("ratio"))


def _worth_judging(ranked: Sequence[tuple[Plan, float]]) -> list[Plan]:
    """The near front, and the fastest of every family that is not far behind it."""
    if not ranked:
        return []
    front = ranked[0][1]
    near = [plan for plan, ratio in ranked if plan.moves and ratio <= NEAR_FRONT * front][:MOST_JUDGED]
    families: dict[tuple[str, str], Plan] = {}
    for plan, ratio in ranked:
        if plan.moves and ratio <= FAMILY_REACH * front:
            families.setdefault(family(plan), plan)
    return list(dict.fromkeys([*near, *families.values()]))
