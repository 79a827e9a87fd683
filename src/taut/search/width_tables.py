"""What each width of each group of channels costs and loses, measured on this device.

1. Profiles of the network cut uniformly to a few shares give the time of every node at those widths, in the
   runtime and precision that will ship. A node's time is split evenly between the group that feeds it and
   the group that it makes, which turns a product of widths into a sum that a knapsack can handle.
2. The same networks are timed as wholes, in one race, and each profile is scaled to its network's latency.
3. Loss of a width is measured by cutting that group alone. Where a group lies within a residual branch, one
   more option is that the branch goes: width 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from taut.core.move import Form, Plan
from taut.core.strategy import Problem
from taut.moves.prune.branches import DropBranches, nodes_of, residual_branches
from taut.search.latency import NodeTimes, race_ms, scaled_profile
from taut.search.program import Option, multiple_choice

SHARES = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
"""Of each group's channels"""
DROPPED = 0
"""Width of a group whose branch went"""

Widths = Mapping[str, int]


@dataclass(frozen=True)
class WidthTables:
    """Time and loss of each group at each width, the whole group first."""

    options: Mapping[str, Sequence[Option]]
    fixed_ms: float
    """Time that no width changes"""
    branches: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Residual branch -> the groups within it; it goes where the first of them has width 0"""

    def choose(self, wanted_ms: float, at_most: Widths) -> dict[str, int] | None:
        """Widths with the least loss within a time; None where the narrowest take longer."""
        allowed = {
            group: [option for option in options if int(option.name) <= at_most[group]]
            for group, options in self.options.items()
        }
        chosen = multiple_choice(allowed, wanted_ms - self.fixed_ms)
        return None if chosen is None else {group: int(option.name) for group, option in chosen.items()}

    @property
    def whole(self) -> dict[str, int]:
        """Every group as it is."""
        return {group: int(options[0].name) for group, options in self.options.items()}

    def dropped(self, widths: Widths) -> list[str]:
        """Branches that go at the given widths."""
        return [branch for branch, groups in self.branches.items() if widths[groups[0]] == DROPPED]

    def cut(self, widths: Widths) -> dict[str, int]:
        """Widths of the groups that are still there."""
        gone = {group for branch in self.dropped(widths) for group in self.branches[branch]}
        return {group: width for group, width in widths.items() if group not in gone}

    def predict_ms(self, widths: Widths) -> float:
        """Latency at the given widths."""
        costs = {
            (group, option.name): option.cost for group, options in self.options.items() for option in options
        }
        return self.fixed_ms + sum(costs[group, str(width)] for group, width in widths.items())


def measure_tables(problem: Problem, prune: Any, base: Plan) -> WidthTables:
    """Profile and time the uniformly cut networks, and measure the loss of each group cut alone."""
    graph = problem.network.graph
    sizes = {name: size for name, size in prune.group_sizes(graph).items() if name not in problem.keep}
    touched = {group: nodes for group, nodes in prune.touched_nodes(graph).items() if group in sizes}
    suffix = [move for move in base.moves if move.form is not Form.MODULE]
    plans = {
        share: Plan.of([replace(prune, keep=_uniform(prune, sizes, share), reconstruct=False), *suffix])
        for share in SHARES
    }
    times = _times(problem, plans)
    options = {
        group: _options(problem, prune, group, size, {s: _group_ms(group, touched, times[s]) for s in times})
        for group, size in sizes.items()
    }
    owned = {node for group in sizes for node in touched[group]}
    fixed_ms = sum(ms for node, ms in times[1.0].items() if node not in owned)
    return _with_branches(problem, WidthTables(options, fixed_ms), touched, times[1.0])


def _times(problem: Problem, plans: Mapping[float, Plan]) -> dict[float, NodeTimes]:
    """Scale each profile to its network's latency; a narrower network never counts as slower."""
    latencies_ms = race_ms(problem, list(plans.values()))
    whole_ms = float("inf")
    times: dict[float, NodeTimes] = {}
    for (share, plan), latency_ms in zip(plans.items(), latencies_ms, strict=True):
        if latency_ms is not None:
            whole_ms = min(whole_ms, latency_ms)
            times[share] = scaled_profile(problem, plan, whole_ms)
    return times


def _uniform(prune: Any, sizes: Mapping[str, int], share: float) -> tuple[tuple[str, int], ...]:
    return tuple((group, prune.rounded(size, share)) for group, size in sorted(sizes.items()))


def _group_ms(group: str, touched: Mapping[str, Sequence[str]], times: NodeTimes) -> float:
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


def _with_branches(
    problem: Problem, tables: WidthTables, touched: Mapping[str, Sequence[str]], times: NodeTimes
) -> WidthTables:
    """Let the costliest group that lies within a branch stand for it: its width 0 saves the whole branch."""
    if "drop_branches" not in problem.moves:
        return tables
    graph = problem.network.graph
    options = dict(tables.options)
    branches: dict[str, Sequence[str]] = {}
    for name, branch in residual_branches(graph).items():
        nodes = set(nodes_of(graph, branch))
        inner = [group for group in options if nodes.issuperset(touched[group])]
        # A group that only begins within the branch would lose its name with it.
        begun = [group for group in options if group in nodes and group not in inner]
        if not inner or begun or nodes & problem.keep:
            continue
        # The group of a branch within this one already stands for that.
        taken = {groups[0] for groups in branches.values()}
        inner.sort(key=lambda group: (group in taken, -options[group][0].cost))
        if inner[0] in taken:
            continue
        whole_ms = options[inner[0]][0].cost
        saved_ms = sum(times.get(node, 0.0) for node in nodes)
        loss = problem.loss(Plan.of([DropBranches((name,))]))
        options[inner[0]] = [*options[inner[0]], Option(str(DROPPED), whole_ms - saved_ms, loss)]
        branches[name] = tuple(inner)
    return replace(tables, options=options, branches=branches)
