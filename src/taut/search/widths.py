"""How many channels each layer keeps, and which residual branches stay: narrower step by step.

The knapsack chooses the widths with the least loss for a wanted time from measured tables
(``search/width_tables.py``). They are realised, recovered, measured and judged; the prediction is corrected.
While the quality holds, the next step goes on from the recovered weights, as Han et al. (arXiv 1506.02626)
prune and retrain in turns; where it breaks, the same network is trained on once, then a smaller step is taken
from the last that held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from taut.core.move import Plan
from taut.core.strategy import Problem, Trial
from taut.moves.prune.branches import DropBranches
from taut.predict.correction import Correction
from taut.search.latency import is_met, latency_ms
from taut.search.lines import fastest
from taut.search.width_tables import Widths, WidthTables, measure_tables

STRIDE = 0.75
"""Of the time of the step before"""
LEAST_STRIDE = 0.95
"""A smaller step is not worth its training"""
ATTEMPTS = 4
"""Among which the time is shared out, where each gets enough epochs"""
EPOCHS_EACH = 2.0
"""That an attempt takes at least; with fewer a step of the whole stride was not seen to hold"""
LEAST_EPOCHS = 0.5
RESERVE_SHARE = 0.15
"""Of the remaining time, kept for what follows the last recovery"""


def widths(problem: Problem) -> Iterator[Plan]:
    """Search widths on top of the best unpruned plan."""
    if not {"prune", "recover"} <= set(problem.moves):
        return
    prune = next(iter(problem.moves["prune"].offers(problem.network, problem.context)), None)
    recover = next(iter(problem.moves["recover"].offers(problem.network, problem.context)), None)
    if prune is None or recover is None:
        return
    base = fastest(problem)
    tables = measure_tables(problem, prune, base.plan)
    yield from _Descent(problem, prune, recover, base, tables).steps()


@dataclass(frozen=True)
class _Step:
    """A network on the way down."""

    kept: Widths
    moves: tuple[Any, ...] = ()
    """What made it of the original: cut and recover in turns"""
    share: float = 1.0
    """Time that was wanted, as a share of the base's"""


@dataclass
class _Descent:
    """Realises steps, and keeps what was learned on the way."""

    problem: Problem
    prune: Any
    recover: Any
    base: Trial
    tables: WidthTables
    attempts: int = 0
    epoch_s: float = field(init=False)
    correction: Correction = field(init=False)

    def __post_init__(self) -> None:
        self.correction = Correction(self._ms(self.base) / self.tables.predict_ms(self.tables.whole))
        network, context = self.problem.network, self.problem.context
        # Ledgered, so that a resumed run asks for the same training again and finds it done.
        self.epoch_s = self.problem.fact("recover/epoch_s", lambda: self.recover.epoch_s(network, context))

    def steps(self) -> Iterator[Plan]:
        """Go down from the whole network until the budget is met, or time or room for a step are used up."""
        reached, stride = _Step(self.tables.whole), self._first_stride()
        while stride <= LEAST_STRIDE and self._has_time():
            step = self._narrowed(reached, stride)
            if step is None:
                return
            trial = self._tried(step)
            yield trial.plan
            if not self._holds(trial) and trial.is_realised and self._has_time():
                step = self._trained_on(step)
                trial = self._tried(step)
                yield trial.plan
            if self._holds(trial):
                reached = step
                if self.problem.budget.limit_on("p50") and is_met(self.problem, trial):
                    return
            else:
                stride = math.sqrt(stride)

    def _first_stride(self) -> float:
        """As long as the default at most, so that a wanted latency is reached in equal steps."""
        limit = self.problem.budget.limit_on("p50")
        if limit is None:
            epochs = self.problem.fact("widths/epochs", self._epochs_left)
            # Without time to train on, the first step must hold.
            return STRIDE if epochs >= 2 * EPOCHS_EACH else math.sqrt(STRIDE)
        wanted = min(0.9, 0.95 * limit.value / self._ms(self.base))
        return float(wanted ** (1 / math.ceil(math.log(wanted) / math.log(STRIDE))))

    def _narrowed(self, step: _Step, stride: float) -> _Step | None:
        """Cut further, towards a share of the step's time, and recover; None where nothing is left to cut."""
        wanted_ms = step.share * stride * self._ms(self.base)
        kept = self.tables.choose(wanted_ms / self.correction.factor, step.kept)
        if kept is None or kept == step.kept:
            return None
        earlier = self.tables.dropped(step.kept)
        gone = [branch for branch in self.tables.dropped(kept) if branch not in earlier]
        drop = (DropBranches(tuple(gone)),) if gone else ()
        cut = replace(self.prune, keep=tuple(sorted(self.tables.cut(kept).items())))
        moves = (*step.moves, *drop, cut, self._recovery())
        return _Step(kept, moves, step.share * stride)

    def _trained_on(self, step: _Step) -> _Step:
        return replace(step, moves=(*step.moves, self._recovery()))

    def _tried(self, step: _Step) -> Trial:
        """Realise and measure a step, and correct the prediction by it."""
        raw_ms = self.tables.predict_ms(step.kept)
        epochs = sum(getattr(move, "epochs", 0.0) for move in step.moves)
        label = f"pruned, {epochs:g} epochs, {self.base.plan.label or 'default settings'}"
        plan = Plan.of([*step.moves, *self.base.plan.moves], label)
        trial = self.problem.evaluate(plan, {"p50": self.correction.predicted(raw_ms)})
        self.attempts += 1
        if trial.is_realised:
            self.correction.learn(raw_ms, self._ms(trial))
        return trial

    def _ms(self, trial: Trial) -> float:
        return latency_ms(self.problem, trial)

    def _recovery(self) -> Any:
        epochs = self.problem.fact(f"widths/{self.attempts}/epochs", self._affordable_epochs)
        return replace(self.recover, epochs=epochs)

    def _affordable_epochs(self) -> float:
        """An equal share of what is left for each attempt that is still planned, in half epochs."""
        left = self._epochs_left()
        planned = max(1, min(ATTEMPTS - self.attempts, int(left / EPOCHS_EACH)))
        return max(LEAST_EPOCHS, int(2 * left / planned) / 2)

    def _epochs_left(self) -> float:
        return (1 - RESERVE_SHARE) * self.problem.remaining_s() / self.epoch_s

    def _has_time(self) -> bool:
        return self._epochs_left() > LEAST_EPOCHS

    def _holds(self, trial: Trial) -> bool:
        return trial.is_realised and self.problem.holds_quality(trial)
