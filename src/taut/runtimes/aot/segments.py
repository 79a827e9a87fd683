"""A graph divided into maximal segments that our kernels and onnxruntime compute in turns.

Whether a rule computes a node shows only as it is lowered. So what is refused becomes onnxruntime's, and the
rest is divided and lowered again until nothing more is refused. A segment is as long as it can be, however
little it computes: whether it was worth its boundaries is for measurement to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from taut.graph.ir import Graph, Node, reads
from taut.graph.split import divided
from taut.kernels.expression import C_TYPES
from taut.runtimes.aot.lower import lower_prepared, prepared
from taut.runtimes.aot.lowering import NotLowered
from taut.runtimes.aot.ops import rule_of
from taut.runtimes.aot.program import Program

HANDED_OVER = C_TYPES.keys() - {"bfloat16"}
"""Types of numpy, in whose arrays both sides read and write"""
_TEXT = "object"


@dataclass(frozen=True)
class Segment:
    """Nodes that run together."""

    graph: Graph
    program: Program | None
    """None where onnxruntime computes it"""


def segmented(graph: Graph, precision: str) -> tuple[Segment, ...]:
    """Return the fewest segments, in order; NotLowered, naming a node, where none would be ours."""
    for value in graph.inputs:
        if value.dtype == _TEXT:
            raise NotLowered(f"input {value.name!r} is text, which is not handed over")
    graph = prepared(graph)
    refusals = _known_refusals(graph)
    while True:
        segments, refused = _lowered(graph, precision, refusals.keys())
        refusals |= refused
        if not refused:
            break
    if not any(segment.program for segment in segments):
        raise next(iter(refusals.values()))
    return segments


def _known_refusals(graph: Graph) -> dict[str, NotLowered]:
    """Node -> why none of our kernels can compute it, as far as that shows before it is lowered."""
    refusals = {}
    for node in graph:
        try:
            rule_of(graph, node)
            _require_fixed(graph, node)
        except NotLowered as error:
            refusals[node.name] = error
    return refusals


def _require_fixed(graph: Graph, node: Node) -> None:
    used = [name for name in node.outputs if graph.consumers(name) or graph.is_output(name)]
    for name in (*reads(node), *used):
        value = graph.value(name)
        if value is None or not value.is_static:
            raise NotLowered(f"{node.op} {node.name!r} has a value {name!r} whose shape is not known")
        if value.dtype not in HANDED_OVER:
            raise NotLowered(f"{node.op} {node.name!r} has a value of type {value.dtype}")


def _lowered(
    graph: Graph, precision: str, foreign: Collection[str]
) -> tuple[tuple[Segment, ...], Mapping[str, NotLowered]]:
    """Lower our segments of a division; and the first node in each that is refused."""
    groups = min((_turns(graph, foreign, begins) for begins in (False, True)), key=len) or [[]]
    segments, refused = [], {}
    for part, group in zip(divided(graph, groups), groups, strict=True):
        program = None
        if not any(node.name in foreign for node in group):
            try:
                program = lower_prepared(part, precision)
            except NotLowered as error:
                if error.node is None:
                    raise
                refused[error.node] = error
        segments.append(Segment(part, program))
    return tuple(segments), refused


def _turns(graph: Graph, foreign: Collection[str], is_foreign_first: bool) -> list[list[Node]]:
    """Nodes in alternating groups, each node in the first group that what it reads allows.

    No division with the same beginning has fewer: a chain that changes sides k times needs k + 1 groups.
    """
    known = set(graph.constants)
    turn_of: dict[str, int] = {}
    turns: dict[int, list[Node]] = {}
    for node in graph:
        read, is_foreign = reads(node), node.name in foreign
        if read and known.issuperset(read) and not is_foreign:
            known.update(filter(None, node.outputs))  # copied to whoever reads it
            continue
        turn = max((turn_of[name] for name in read if name in turn_of), default=0)
        turn += (turn % 2 == 0) != (is_foreign == is_foreign_first)
        turn_of |= dict.fromkeys(filter(None, node.outputs), turn)
        turns.setdefault(turn, []).append(node)
    return [turns[turn] for turn in sorted(turns)]
