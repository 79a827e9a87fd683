"""Lowering a whole graph: folded, brought in order, node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping

from taut.graph.fold import fold_batch_norm, fold_constants, fold_shapes
from taut.graph.ir import Graph
from taut.graph.shapes import with_shapes
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.lowering import Border, Lowering
from taut.runtimes.aot.ops import lower_node
from taut.runtimes.aot.ops.dense import wanted_border
from taut.runtimes.aot.program import Program


def prepared(graph: Graph) -> Graph:
    """Fold what is known before the network runs."""
    folded = fold_constants(fold_shapes(with_shapes(graph)))
    folded, _ = fold_batch_norm(folded)
    return with_shapes(fold_constants(folded))


def lower(graph: Graph) -> Program:
    """Return the program of a graph with fixed shapes; NotLowered names a node that no kernel computes."""
    graph = prepared(graph)
    lowering = Lowering(graph, wanted=_wanted_borders(graph))
    for value in graph.inputs:
        shape = lowering.shape(value.name)
        buffer = Buffer(Storage.INPUT, value.dtype, math.prod(shape), value.name)
        lowering.inputs.append(buffer)
        lowering.values[value.name] = View.whole(buffer, shape)
    for node in graph:
        lower_node(lowering, node)
    lowering.node = None
    lowering.finish()
    outputs = tuple(lowering.outputs[value.name] for value in graph.outputs)
    shapes = tuple(lowering.shape(value.name) for value in graph.outputs)
    return Program(tuple(lowering.steps), tuple(lowering.inputs), outputs, shapes)


def _wanted_borders(graph: Graph) -> Mapping[str, Border]:
    """The widest border that any reader of a value wants."""
    wanted: dict[str, Border] = {}
    for node in graph:
        border = wanted_border(graph, node)
        if border is not None and any(side for pair in border for side in pair):
            before = wanted.get(node.inputs[0], border)
            wanted[node.inputs[0]] = tuple(
                (max(one[0], other[0]), max(one[1], other[1]))
                for one, other in zip(before, border, strict=True)
            )
    return wanted
