"""How many channels each layer keeps: tables measured on this device, a knapsack, recovery, correction.

1. Profiles of the network cut uniformly to a few shares give the time of every node at those widths, in the
   runtime and precision that will ship. A node's time is split evenly between the group that feeds it and
   the group that it makes, which turns a product of widths into a sum that a knapsack can handle.
2. Loss of a width is measured by cutting that group alone.
3. The knapsack gives the widths for a wanted time; they are realised, recovered shortly, measured and judged.
4. The most promising widths are recovered at length; if the quality breaks, the next wider ones are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from taut.core.move import Form, Plan
from taut.core.strategy import Problem, Trial
from taut.predict.correction import Correction
from taut.search.lines import fastest
from taut.search.program import Option, multiple_choice

SHARES = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
"""Of each group's channels"""
TARGETS = (0.8, 0.65, 0.5, 0.4)
"""Wanted time, as a share of the best unpruned plan"""
LEAST_EPOCHS = 2
"""Of the whole network, that must fit into the remaining time for another recovery"""
RESERVE_SHARE = 0.15
"""Of the remaining time, kept for what follows the last recovery"""


@dataclass(frozen=True)
class WidthTables:
    """Time and loss of each group at each width, the whole group first."""

    options: Mapping[str, Sequence[Option]]
    fixed_ms: float
    """Time that no width changes"""

    def choose(self, wanted_ms: float) -> dict[str, int] | None:
        """Widths with the least loss within a time; None where the narrowest take longer."""
        chosen = multiple_choice(self.options, wanted_ms - self.fixed_ms)
        return None if chosen is None else {group: int(option.name) for group, option in chosen.items()}

    @property
    def full_ms(self) -> float:
        """Time with every group whole."""
        return self.fixed_ms + sum(options[0].cost for options in self.options.values())

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        costs = {
            (group, option.name): option.cost for group, options in self.options.items() for option in options
        }
        return self.fixed_ms + sum(costs[group, str(width)] for group, width in widths.items())


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
    yield from _descend(problem, _Tools(prune, recover, base, tables))


@dataclass(frozen=True)
class _Tools:
    """What realises a set of widths."""

    prune: Any
    recover: Any
    base: Trial
    tables: WidthTables

    def plan(self, kept: Mapping[str, int], epochs: float) -> Plan:
        prune = replace(self.prune, keep=tuple(sorted(kept.items())))
        recover = replace(self.recover, epochs=epochs)
        label = f"pruned, {epochs:g} epochs, {self.base.plan.label or 'default settings'}"
        return Plan.of([prune, recover, *self.base.plan.moves], label)


def _descend(problem: Problem, tools: _Tools) -> Iterator[Plan]:
    """Recover each target for its share of the time, narrower while the quality holds, else in between."""
    base_ms = tools.base.value("p50")
    correction = Correction(scale=base_ms / tools.tables.full_ms)
    wanted, step, holding = _first_target(problem, tools.base), 0.5, 1.0
    epoch_s = _epoch_s(problem, tools)
    attempt = 0
    while problem.remaining_s() > LEAST_EPOCHS * epoch_s and step > 0.05:
        kept = tools.tables.choose(wanted * base_ms / correction.factor)
        if kept is None:
            wanted = (wanted + holding) / 2
            step /= 2
            continue
        attempt += 1
        # Ledgered, so that a resumed run asks for the same training again and finds it done.
        epochs = problem.fact(
            f"widths/{attempt}/epochs", lambda: _affordable_epochs(problem.remaining_s(), epoch_s)
        )
        raw_ms = tools.tables.predict_ms(kept)
        plan = tools.plan(kept, epochs)
        trial = problem.evaluate(plan, {"p50": correction.predicted(raw_ms)})
        yield plan
        if trial.is_realised:
            correction.learn(raw_ms, trial.value("p50"))
        if trial.is_realised and problem.holds_quality(trial):
            holding, wanted = wanted, wanted * (1 - step / 2)
            if problem.holds(trial) and problem.budget.limit_on("p50"):
                return
        else:
            wanted, step = (wanted + holding) / 2, step / 2


def _first_target(problem: Problem, base: Trial) -> float:
    """The budget's own latency if there is one within reach, else half."""
    limit = problem.budget.limit_on("p50")
    share = 0.5 if limit is None else 0.95 * limit.value / base.value("p50")
    return min(0.9, max(share, TARGETS[-1]))


def _affordable_epochs(remaining_s: float, epoch_s: float) -> float:
    """A third of what is left, between 1 and 12 epochs, in whole epochs."""
    epochs = (1 - RESERVE_SHARE) * remaining_s / 3 / epoch_s
    return float(max(1, min(12, int(epochs))))


def _epoch_s(problem: Problem, tools: _Tools) -> float:
    """Seconds of one epoch of recovery, measured on a tenth of one."""
    return float(
        problem.fact("recover/epoch_s", lambda: tools.recover.epoch_s(problem.network, problem.context))
    )


def measure_tables(problem: Problem, prune: Any, base: Plan) -> WidthTables:
    """Profile the uniformly cut networks, and the loss of each group cut alone."""
    groups = prune.group_sizes(problem.network.graph)
    sizes = {name: size for name, size in groups.items() if name not in problem.keep}
    touched = prune.touched_nodes(problem.network.graph)
    suffix = [move for move in base.moves if move.form is not Form.MODULE]
    times = {
        share: problem.profile(
            Plan.of([replace(prune, keep=_uniform(prune, sizes, share), reconstruct=False), *suffix])
        )
        for share in SHARES
    }
    owned = {node for group in sizes for node in touched[group]}
    fixed_ms = sum(ms for node, ms in times[1.0].items() if node not in owned)
    options = {
        group: _options(problem, prune, group, size, {s: _group_ms(group, touched, times[s]) for s in SHARES})
        for group, size in sizes.items()
    }
    return WidthTables(options, fixed_ms)


def _group_ms(group: str, touched: Mapping[str, Sequence[str]], times: Mapping[str, float]) -> float:
    """A group's share of the time of the nodes that it touches."""
    owners = {node: sum(node in nodes for nodes in touched.values()) for node in touched[group]}
    return sum(times.get(node, 0.0) / owners[node] for node in touched[group])


def _options(
    problem: Problem, prune: Any, group: str, size: int, times_ms: Mapping[float, float]
) -> list[Option]:
    """Widths of a group with their time and loss; equal widths appear once."""
    options: dict[int, Option] = {}
    for share, cost_ms in times_ms.items():
        width = prune.rounded(size, share)
        if width in options:
            continue
        loss = 0.0 if width == size else problem.loss(Plan.of([replace(prune, keep=((group, width),))]))
        options[width] = Option(str(width), cost_ms, loss)
    return list(options.values())


def _uniform(prune: Any, sizes: Mapping[str, int], share: float) -> tuple[tuple[str, int], ...]:
    return tuple((group, prune.rounded(size, share)) for group, size in sorted(sizes.items()))
