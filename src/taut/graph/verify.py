"""Check between stages that a graph still is one; the first broken invariant is reported with its place.

A broken invariant is a bug of the stage before, not a mistake of the user. Types are inferred anew, node by
node, which costs 0.1 s for 400 nodes; what onnx cannot infer is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from taut.graph.ir import Graph, reads
from taut.graph.onnx_types import ELEMENTS
from taut.graph.order import Cycle, sort_nodes
from taut.graph.verify_types import TYPED_INVARIANTS, walk_through


class InvariantBroken(RuntimeError):
    """A stage left a graph that is none; says which stage, which invariant, and where."""

    def __init__(self, stage: str, invariant: str, where: str) -> None:
        self.stage, self.invariant, self.where = stage, invariant, where
        super().__init__(f"after {stage}: {invariant} does not hold: {where}")


def verify(graph: Graph, stage: str) -> None:
    """Check all invariants of a graph after a stage. Raises InvariantBroken."""
    for invariant, violations in _STRUCTURE.items():
        for where in violations(graph):
            raise InvariantBroken(stage, invariant, where)
    walk = walk_through(graph)
    for invariant, typed_violations in TYPED_INVARIANTS.items():
        for where in typed_violations(graph, walk):
            raise InvariantBroken(stage, invariant, where)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _node_names(graph: Graph) -> Iterator[str]:
    yield from (f"a {node.op} node has no name" for node in graph if not node.name)
    yield from (f"{name!r} is the name of several nodes" for name in _repeated(node.name for node in graph))


def _value_names(graph: Graph) -> Iterator[str]:
    made = [name for node in graph for name in node.outputs if name]
    names = [*(value.name for value in graph.inputs), *graph.constants, *made]
    yield from (f"value {name!r} is defined more than once" for name in _repeated(names))
    outputs = _repeated(value.name for value in graph.outputs)
    yield from (f"{name!r} is listed as output more than once" for name in outputs)


def _reads_are_made(graph: Graph) -> Iterator[str]:
    known = _given(graph) | {name for node in graph for name in node.outputs}
    for node in graph:
        yield from (f"node {node.name!r} reads {name!r}" for name in reads(node) if name not in known)
    yield from (f"output {value.name!r}" for value in graph.outputs if value.name not in known)


def _order(graph: Graph) -> Iterator[str]:
    try:
        sort_nodes(graph.nodes)
    except Cycle as error:
        yield str(error)
    known = _given(graph)
    for node in graph:
        early = [name for name in reads(node) if name not in known]
        yield from (f"node {node.name!r} comes before the node that makes its {name!r}" for name in early)
        known.update(node.outputs)


def _given(graph: Graph) -> set[str]:
    return {value.name for value in graph.inputs} | set(graph.constants)


def _boundary_types(graph: Graph) -> Iterator[str]:
    for value in (*graph.inputs, *graph.outputs):
        if value.dtype not in ELEMENTS:
            yield f"{value.name!r} has the unknown element type {value.dtype!r}"


def _opsets(graph: Graph) -> Iterator[str]:
    for node in graph:
        if node.domain not in graph.opsets:
            yield f"node {node.name!r} is of domain {node.domain!r}"


def _not_a_number(graph: Graph) -> Iterator[str]:
    for name, array in graph.constants.items():
        is_float = "float" in str(array.dtype)  # ml_dtypes' floats are not numpy's kind "f"
        if is_float and bool(np.isnan(array).any()):
            readers = ", ".join(repr(node.name) for node in graph.consumers(name))
            yield f"constant {name!r}, read by {readers or 'nobody'}"


_STRUCTURE: dict[str, Callable[[Graph], Iterator[str]]] = {
    "unique node names": _node_names,
    "unique value names": _value_names,
    "every read value is made": _reads_are_made,
    "topological order": _order,
    "boundary types are known": _boundary_types,
    "every domain has an opset": _opsets,
    "constants are numbers": _not_a_number,
}
"""In an order in which each may rely on those before it"""
