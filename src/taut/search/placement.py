"""Which nodes become int8: measured time of each node in both precisions, measured loss, an integer program.

Time comes from two profiles of the whole network (all float, all int8), so fusions are those of the real
network; the cost of a precision boundary is what the Q/DQ kernels of the int8 profile took per element.
Loss is the noise that each node adds when quantized alone: powers of independent noises add. It is measured
only where a placement could be faster than what is known, and where int8 loses quality at all.
The prediction is corrected by each candidate that is realised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from taut.core.move import Plan, describe_move
from taut.core.strategy import Problem
from taut.graph.ir import Graph
from taut.predict.correction import Correction
from taut.predict.tables import Tables
from taut.search.latency import latency_ms, race_ms, scaled_profile
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
        moves = [move for move in whole if suits(move, setting)]
        if moves and problem.remaining_s() > 0:
            yield from _on_setting(problem, setting, moves)


def _on_setting(problem: Problem, setting: Plan, moves: Sequence[Any]) -> Iterator[Plan]:
    """Take the recipe that is fastest there for the whole network, and search where to apply it."""
    float_ms, *int8_ms = race_ms(problem, [setting, *(setting.with_move(move) for move in moves)])
    running = [(ms, index) for index, ms in enumerate(int8_ms) if ms is not None]
    if float_ms is None or not running:
        return
    whole_ms, index = min(running)
    move, correction = moves[index], Correction()
    tables = measure_times(problem, setting, move, float_ms, whole_ms)
    if not _may_gain(problem, tables, correction, choose(tables, 0.0)):
        return
    if not _is_harmless(problem, move):
        tables = replace(tables, loss=_losses(problem, move, tables))
    yield from _search(problem, setting, move, tables, correction)


def _search(
    problem: Problem, setting: Plan, move: Any, tables: Tables, correction: Correction
) -> Iterator[Plan]:
    """Bisect over the allowed loss: tighter where it breaks the quality, else looser, which is faster."""
    low, high = 0, len(LOSS_SHARES) - 1
    total = sum(tables.loss.values())
    is_kept: dict[tuple[str, ...], bool] = {}
    while low <= high and problem.remaining_s() > 0:
        middle = (low + high) // 2 if is_kept else 0
        nodes = choose(tables, LOSS_SHARES[middle] * total)
        if nodes not in is_kept:
            is_kept[nodes] = True
            if _may_gain(problem, tables, correction, nodes):
                plan = _placed(problem, setting, move, nodes)
                trial = problem.evaluate(plan, {"p50": correction.predicted(tables.predict_ms(nodes))})
                if trial.is_realised:
                    correction.learn(tables.predict_ms(nodes), latency_ms(problem, trial))
                is_kept[nodes] = problem.holds_quality(trial)
                yield plan
        low, high = (low, middle - 1) if is_kept[nodes] else (middle + 1, high)


def _may_gain(problem: Problem, tables: Tables, correction: Correction, nodes: Sequence[str]) -> bool:
    """Whether int8 on these nodes may be faster than everything that keeps the quality."""
    predicted = correction.predicted(tables.predict_ms(nodes))
    return bool(nodes) and predicted.low < latency_ms(problem, fastest(problem))


def _is_harmless(problem: Problem, move: Any) -> bool:
    """Whether the recipe was seen to keep the quality on the whole network."""
    return any(move in trial.plan.moves and problem.holds_quality(trial) for trial in problem.trials)


def _placed(problem: Problem, setting: Plan, move: Any, nodes: tuple[str, ...]) -> Plan:
    where = setting.label or "default settings"
    every = eligible_nodes(problem, move)
    if len(nodes) == len(every):  # may be known already
        return setting.with_move(move, f"{describe_move(move)}, {where}")
    label = f"int8 on {len(nodes)} of {len(every)} nodes, {where}"
    return setting.with_move(replace(move, nodes=nodes), label)


def choose(tables: Tables, loss_limit: float) -> tuple[str, ...]:
    """Solve the placement for one allowed loss."""
    gain = {node: tables.float_ms.get(node, 0.0) - tables.int8_ms.get(node, 0.0) for node in tables.nodes}
    return placement(PlacementProblem(gain, tables.loss, tables.edges, tables.outer), loss_limit)


def measure_times(problem: Problem, setting: Plan, move: Any, float_ms: float, whole_ms: float) -> Tables:
    """Profile the network in float and wholly in int8, of known latencies; losses count as zero."""
    graph: Graph = problem.network.graph
    nodes = [node for node in eligible_nodes(problem, move) if node not in problem.keep]
    whole = setting.with_move(replace(move, nodes=tuple(nodes)) if problem.keep else move)
    float_times = scaled_profile(problem, setting, float_ms)
    int8_times = scaled_profile(problem, whole, whole_ms)
    per_element_ms = _boundary_ms_per_element(graph, nodes, int8_times)
    edges, outer = _boundaries(graph, nodes, per_element_ms)
    return Tables(float_times, int8_times, dict.fromkeys(nodes, 0.0), edges, outer)


def eligible_nodes(problem: Problem, move: Any) -> tuple[str, ...]:
    """Nodes of the original that the recipe can quantize."""
    return tuple(problem.moves["int8"].nodes(problem.network.graph, move))


def _losses(problem: Problem, move: Any, tables: Tables) -> dict[str, float]:
    """Loss of each node alone; of too many the heavy ones are measured, the rest get their median."""
    heavy = sorted(tables.nodes, key=lambda node: -tables.float_ms.get(node, 0.0))[:MOST_SENSITIVITIES]
    losses = {node: problem.loss(Plan.of([replace(move, nodes=(node,))])) for node in heavy}
    typical = median(losses.values()) if losses else 0.0
    return {node: losses.get(node, typical) for node in tables.nodes}


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
