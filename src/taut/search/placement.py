"""Which nodes become int8: measured time of each node in both precisions, measured loss, an integer program.

Time comes from two profiles of the whole network (all float, all int8), so fusions are those of the real
network; the cost of a precision boundary is what the Q/DQ kernels of the int8 profile took per element.
Loss is the noise that each node adds when quantized alone: powers of independent noises add.
The prediction is corrected by each candidate that is realised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from taut.core.move import Form, Plan
from taut.core.strategy import Problem
from taut.graph.ir import Graph
from taut.predict.correction import Correction
from taut.predict.tables import Tables
from taut.search.lines import fastest, offers, sound, suits
from taut.search.program import PlacementProblem, placement

LOSS_SHARES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.008, 0.004, 0.002)
"""Loss allowed, as a share of the loss of quantizing every node"""
MOST_SENSITIVITIES = 64


def placements(problem: Problem, settings: Sequence[Plan]) -> Iterator[Plan]:
    """Search placements of int8 on each runtime setting, from the most int8 to the least."""
    if not (whole := sound(problem, offers(problem, "int8"))):
        return
    for setting in settings:
        if problem.remaining_s() <= 0:
            return
        move = _best_recipe(problem, setting, whole)
        if move is not None:
            yield from _search(problem, setting, move)


def _best_recipe(problem: Problem, setting: Plan, whole: Sequence[Any]) -> Any:
    """The sound recipe that is fastest on this setting; None where none suits its runtime."""
    plans = [setting.with_move(move) for move in whole if suits(move, setting)]
    if len(plans) > 1:
        plans = [plan for plan, _ in problem.rank(plans)]
    return next((move for plan in plans for move in plan.moves if move.form is Form.GRAPH), None)


def _search(problem: Problem, setting: Plan, move: Any) -> Iterator[Plan]:
    """Bisect over the allowed loss: looser while the quality holds, tighter where it breaks."""
    tables = measure_tables(problem, setting, move)
    correction = Correction()
    low, high = 0, len(LOSS_SHARES) - 1
    total = sum(tables.loss.values())
    tried: set[tuple[str, ...]] = set()
    while low <= high and problem.remaining_s() > 0:
        middle = (low + high) // 2 if tried else 0
        nodes = choose(tables, LOSS_SHARES[middle] * total)
        if not nodes:
            return
        plan = setting.with_move(
            replace(move, nodes=nodes),
            f"int8 on {len(nodes)} of {len(tables.nodes)} nodes, {setting.label or 'default settings'}",
        )
        raw_ms = tables.predict_ms(nodes)
        predicted = correction.predicted(raw_ms)
        if nodes not in tried and predicted.low < fastest(problem).value("p50"):
            trial = problem.evaluate(plan, {"p50": predicted})
            if trial.is_realised:
                correction.learn(raw_ms, trial.value("p50"))
            holds = trial.is_realised and problem.holds_quality(trial)
            yield plan
        else:
            holds = False
        tried.add(nodes)
        low, high = (low, middle - 1) if holds else (middle + 1, high)


def choose(tables: Tables, loss_limit: float) -> tuple[str, ...]:
    """Solve the placement for one allowed loss."""
    gain = {node: tables.float_ms.get(node, 0.0) - tables.int8_ms.get(node, 0.0) for node in tables.nodes}
    return placement(PlacementProblem(gain, tables.loss, tables.edges, tables.outer), loss_limit)


def measure_tables(problem: Problem, setting: Plan, move: Any) -> Tables:
    """Profile both precisions and each node's loss alone; everything is ledgered."""
    graph: Graph = problem.network.graph
    nodes = [node for node in eligible_nodes(problem, move) if node not in problem.keep]
    float_ms = problem.profile(setting)
    int8_ms = problem.profile(setting.with_move(replace(move, nodes=tuple(nodes))))
    per_element_ms = _boundary_ms_per_element(graph, nodes, int8_ms)
    edges, outer = _boundaries(graph, nodes, per_element_ms)
    losses = _losses(problem, move, nodes, float_ms)
    return Tables(float_ms, int8_ms, losses, edges, outer)


def eligible_nodes(problem: Problem, move: Any) -> tuple[str, ...]:
    """Nodes of the original that the recipe can quantize."""
    return tuple(problem.moves["int8"].nodes(problem.network.graph, move))


def _losses(
    problem: Problem, move: Any, nodes: Sequence[str], float_ms: Mapping[str, float]
) -> dict[str, float]:
    """Loss of each node alone; of too many the heavy ones are measured, the rest get their median."""
    heavy = sorted(nodes, key=lambda node: -float_ms.get(node, 0.0))[:MOST_SENSITIVITIES]
    losses = {node: problem.loss(Plan.of([replace(move, nodes=(node,))])) for node in heavy}
    typical = median(losses.values()) if losses else 0.0
    return {node: losses.get(node, typical) for node in nodes}


def _boundary_ms_per_element(graph: Graph, nodes: Sequence[str], int8_ms: Mapping[str, float]) -> float:
    """Time of the int8 profile that belongs to no node of the original, spread over what it converts."""
    elements = sum(_elements(graph, node) for node in nodes)
    return int8_ms.get("", 0.0) / max(1, elements)


def _elements(graph: Graph, node: str) -> int:
    return sum(_size(graph, value) for value in graph.by_name[node].outputs if value)


def _size(graph: Graph, name: str) -> int:
    value = graph.value(name)
    if value is None or not value.is_static:
        return 0
    size = 1
    for dimension in value.static_shape:
        size *= dimension
    return size


def _boundaries(
    graph: Graph, nodes: Sequence[str], per_element_ms: float
) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Cost of each edge between lowered nodes, and of each node's edges to the rest.

    Nodes in between that carry a value without changing its precision (Relu, Reshape) are looked through.
    """
    lowered = set(nodes)
    edges: dict[tuple[str, str], float] = {}
    outer: dict[str, float] = dict.fromkeys(nodes, 0.0)
    for name in nodes:
        for value in graph.by_name[name].outputs:
            cost = _size(graph, value) * per_element_ms
            readers = _readers(graph, value, lowered)
            for reader in readers:
                edges[name, reader] = edges.get((name, reader), 0.0) + cost
            if not readers:
                outer[name] += cost
    return edges, outer


def _readers(graph: Graph, value: str, lowered: set[str]) -> set[str]:
    """Nearest lowered nodes downstream of a value."""
    found: set[str] = set()
    pending, seen = [value], {value}
    while pending:
        for node in graph.consumers(pending.pop()):
            if node.name in lowered:
                found.add(node.name)
                continue
            fresh = [output for output in node.outputs if output and output not in seen]
            seen.update(fresh)
            pending += fresh
    return found
