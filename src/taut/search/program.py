"""Integer programs behind the searches, solved by HiGHS through scipy.

``multiple_choice``: one option per item, least loss under a cost limit (the multiple-choice knapsack).
``placement``: a binary choice per node where two neighbours that choose differently pay for the boundary.
Both return None where even the cheapest choice costs too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

TIME_LIMIT_S = 10.0


@dataclass(frozen=True)
class Option:
    """One way to treat an item."""

    name: str
    cost: float
    loss: float


def multiple_choice(items: Mapping[str, Sequence[Option]], cost_limit: float) -> dict[str, Option] | None:
    """Choose one option per item: minimise the sum of losses subject to sum of costs <= limit."""
    flat = [(item, option) for item, options in items.items() for option in options]
    row = {item: index for index, item in enumerate(items)}
    picks = [row[item] for item, _ in flat]
    one_each = coo_array((np.ones(len(flat)), (picks, range(len(flat)))), shape=(len(items), len(flat)))
    costs = np.array([[option.cost for _, option in flat]])
    chosen = _solve(
        np.array([option.loss for _, option in flat]),
        [LinearConstraint(one_each.tocsr(), 1, 1), LinearConstraint(costs, -np.inf, cost_limit)],
    )
    if chosen is None:
        return None
    return {item: option for (item, option), taken in zip(flat, chosen, strict=True) if taken > 0.5}


@dataclass(frozen=True)
class PlacementProblem:
    """Nodes that may change precision; positive gains are time saved, edges cost time where it changes."""

    gain_ms: Mapping[str, float]
    """Time saved by lowering a node (may be negative)"""
    loss: Mapping[str, float]
    """Quality lost by lowering a node"""
    boundary_ms: Mapping[tuple[str, str], float]
    """Cost of an edge whose ends differ"""
    fixed_boundary_ms: Mapping[str, float]
    """Cost of edges from a node to its surroundings, which stay as they are"""


def placement(problem: PlacementProblem, loss_limit: float) -> tuple[str, ...]:
    """Return the nodes to lower: most time saved, boundaries paid, subject to sum of losses <= limit."""
    nodes, edges = list(problem.gain_ms), list(problem.boundary_ms)
    position = {node: index for index, node in enumerate(nodes)}
    own = [-problem.gain_ms[node] + problem.fixed_boundary_ms.get(node, 0.0) for node in nodes]
    objective = np.array(own + [problem.boundary_ms[edge] for edge in edges])
    losses = np.array([[problem.loss[node] for node in nodes] + [0.0] * len(edges)])
    constraints = [LinearConstraint(losses, -np.inf, loss_limit), *_differences(edges, position, len(nodes))]
    chosen = _solve(objective, constraints)
    assert chosen is not None, "leaving every node as it is is always feasible"
    return tuple(node for node, taken in zip(nodes, chosen, strict=False) if taken > 0.5)


def _differences(
    edges: Sequence[tuple[str, str]], position: Mapping[str, int], nodes: int
) -> list[LinearConstraint]:
    """boundary >= |lowered(a) - lowered(b)| for every edge."""
    if not edges:
        return []
    rows, columns, entries = [], [], []
    for index, (left, right) in enumerate(edges):
        for row, sign in ((2 * index, 1.0), (2 * index + 1, -1.0)):
            rows += [row] * 3
            columns += [position[left], position[right], nodes + index]
            entries += [sign, -sign, -1.0]
    shape = (2 * len(edges), nodes + len(edges))
    return [LinearConstraint(coo_array((entries, (rows, columns)), shape=shape).tocsr(), -np.inf, 0)]


def _solve(objective: np.ndarray, constraints: Sequence[LinearConstraint]) -> np.ndarray | None:
    result = milp(
        objective,
        constraints=constraints,
        integrality=np.ones(len(objective), dtype=np.uint8),
        bounds=Bounds(0, 1),
        options={"time_limit": TIME_LIMIT_S},
    )
    return None if result.x is None else np.asarray(result.x)
