"""Lowering a whole graph: folded, brought in order, node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping

from taut.graph.fold import fold_batch_norm, fold_constants, fold_shapes
from taut.graph.ir import Graph
from taut.graph.shapes import with_shapes
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.lowering import Layout, Lowering, NotLowered, blaming
from taut.runtimes.aot.ops import lower_node
from taut.runtimes.aot.ops.operands import carried, wish
from taut.runtimes.aot.program import Program

_FIRST_OPSET = 7


def prepared(graph: Graph) -> Graph:
    """Fold what is known before the network runs; NotLowered for opsets of other rules."""
    if graph.opsets.get("", _FIRST_OPSET) < _FIRST_OPSET:
        raise NotLowered(f"opset {graph.opsets['']}, in which broadcasting and training are told otherwise")
    folded = fold_constants(fold_shapes(with_shapes(graph)))
    folded, _ = fold_batch_norm(folded)
    return with_shapes(fold_constants(folded))


def lower(graph: Graph, precision: str = "float32") -> Program:
    """Return the program of a graph with fixed shapes, its products in a precision.

    NotLowered names a node that no kernel computes.
    """
    return lower_prepared(prepared(graph), precision)


def lower_prepared(graph: Graph, precision: str) -> Program:
    """Return the program of a graph, or a part of one, that is folded already."""
    lowering = Lowering(graph, wanted=_wishes(graph, precision), precision=precision)
    for value in graph.inputs:
        shape = lowering.shape(value.name)
        buffer = Buffer(Storage.INPUT, value.dtype, math.prod(shape), value.name)
        lowering.inputs.append(buffer)
        lowering.values[value.name] = View.whole(buffer, shape)
    for node in graph:
        with blaming(node):
            lower_node(lowering, node)
    lowering.node = None
    lowering.finish()
    outputs = tuple(lowering.outputs[value.name] for value in graph.outputs)
    shapes = tuple(lowering.shape(value.name) for value in graph.outputs)
    return Program(tuple(lowering.steps), tuple(lowering.inputs), outputs, shapes)


def _wishes(graph: Graph, precision: str) -> Mapping[str, Layout]:
    """How the readers of each value wish it to lie; carriers pass the wished type on to their input."""
    wanted: dict[str, Layout] = {}
    for node in reversed(graph.nodes):
        with blaming(node):
            found = wish(graph, node, precision)
        if found is not None:
            name, layout = found
            wanted[name] = _both(wanted[name], layout) if name in wanted else layout
        elif carried(node):
            dtypes = {wanted[name].dtype for name in node.outputs if name in wanted}
            if dtypes == {"bfloat16"} and node.inputs[0] not in wanted:
                wanted[node.inputs[0]] = Layout(dtype="bfloat16")
    return wanted


def _both(one: Layout, other: Layout) -> Layout:
    """A layout for two readers: the wider border on each side."""
    border = one.border or other.border
    if one.border is not None and other.border is not None:
        border = tuple(
            (max(mine[0], theirs[0]), max(mine[1], theirs[1]))
            for mine, theirs in zip(one.border, other.border, strict=True)
        )
    dtypes = {one.dtype, other.dtype} - {None}
    # Floats are a convenience of some readers, the other types a condition of theirs.
    dtype = next(iter(dtypes - {"float32"} or dtypes), None)
    return Layout(border, one.fill, one.order or other.order, dtype)
