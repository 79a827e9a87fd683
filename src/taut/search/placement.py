"""Which nodes become int8: measured time of each node in both precisions, measured loss, an integer program.

Time comes from two profiles of the whole network (all float, all int8), so fusions are those of the real
network; the cost of a precision boundary is what the Q/DQ kernels of the int8 profile took per element.
Loss is the noise that each node adds when quantized alone: powers of independent noises add. It is measured
only where a placement could be faster than what is known, and where int8 loses quality at all; a recipe that
a runtime was seen to compute otherwise than the graph says is not placed there. The prediction is corrected
by each candidate that is realised.
"""

from __future__ import annotations

import math
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
from taut.search.lines import family, fastest, offers, sound, suits
from taut.search.program import PlacementProblem, placement

LEAST_SHARE = 1e-5
"""Of the loss of quantizing every node: less is not searched for"""
FINEST = 1.2
"""The search ends between two allowed losses of this ratio"""
MOST_SENSITIVITIES = 64
MOST_GAIN = 1.25
"""By which a placement may beat both the wholly float and the wholly int8 network"""
RUNTIME_EXCESS = 4.0
"""A runtime that loses this many times what the arithmetic accounts for computes something else"""


def placements(problem: Problem, settings: Sequence[Plan]) -> Iterator[Plan]:
    """Search placements of int8 on each runtime setting, from the most int8 to the least."""
    if not (whole := sound(problem, offers(problem, "int8"))):
        return
    for setting in settings:
        if not _may_win_on(problem, setting):
            continue
        moves = [move for move in whole if suits(move, setting) and _is_true_on(problem, setting, move)]
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
    """Bisect over the allowed loss, on a logarithmic scale: tighter where it breaks the quality, else looser.

    What allows more is faster. First of all everything is allowed.
    """
    total = sum(tables.loss.values())
    is_kept: dict[tuple[str, ...], bool] = {}
    kept, broken, share = LEAST_SHARE, 1.0, 1.0
    while broken > FINEST * kept and problem.remaining_s() > 0:
        nodes = choose(tables, share * total)
        if nodes not in is_kept:
            is_kept[nodes] = True
            if _may_gain(problem, tables, correction, nodes):
                plan = _placed(problem, setting, move, nodes)
                trial = problem.evaluate(plan, {"p50": correction.predicted(tables.predict_ms(nodes))})
                if trial.is_realised:
                    correction.learn(tables.predict_ms(nodes), latency_ms(problem, trial))
                is_kept[nodes] = problem.holds_quality(trial)
                yield plan
        kept, broken = (share, broken) if is_kept[nodes] else (kept, share)
        share = math.sqrt(kept * broken)


def _may_gain(problem: Problem, tables: Tables, correction: Correction, nodes: Sequence[str]) -> bool:
    """Whether int8 on these nodes may be faster than everything that keeps the quality."""
    predicted = correction.predicted(tables.predict_ms(nodes))
    return bool(nodes) and predicted.low < latency_ms(problem, fastest(problem))


def _is_harmless(problem: Problem, move: Any) -> bool:
    """Whether the recipe was seen to keep the quality on the whole network."""
    return any(move in trial.plan.moves and problem.holds_quality(trial) for trial in problem.trials)


def _may_win_on(problem: Problem, setting: Plan) -> bool:
    """Whether a whole network on this runtime and precision came near the fastest; int8 unseen may."""
    trials = [t for t in problem.trials if t.is_realised and family(t.plan) == family(setting)]
    is_int8_seen = any(move.kind == "int8" for trial in trials for move in trial.plan.moves)
    limit = MOST_GAIN * fastest(problem).value("ratio")
    return not is_int8_seen or min(trial.value("ratio") for trial in trials) < limit


def _is_true_on(problem: Problem, setting: Plan, move: Any) -> bool:
    """Whether the runtime computes the recipe as the graph says, as far as trials on the whole network tell.

    Noise of a small share p of the signal's power lowers the cosine by p / 2.
    """
    harms = [
        1 - trial.value("cosine")
        for trial in problem.trials
        if trial.is_realised and move in trial.plan.moves and family(trial.plan) == family(setting)
        if not problem.holds_quality(trial)
    ]
    if not harms:
        return True
    own = next((1 - trial.value("cosine") for trial in problem.trials if trial.plan == setting), 0.0)
    return max(harms) <= RUNTIME_EXCESS * (own + problem.loss(Plan.of([move])) / 2)


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
