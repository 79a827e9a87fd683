"""Giving a network with a batch of one another batch size, where its graph allows it.

Exporters fix the batch in two places: the inputs' shapes and the targets of Reshape. Both are rewritten;
what else may hold a one (a constant glued to every sample, a loop) is not, so the result must be compared
with single runs before it is believed (``Evaluator`` does).
"""

from __future__ import annotations

from dataclasses import replace

from taut.core.errors import BadInput
from taut.graph.editor import Editor
from taut.graph.ir import Dimension, Graph, Node, Value


def with_batch(graph: Graph, size: Dimension) -> Graph:
    """Return the graph with dimension 0 of every input set to the size; BadInput where one is not 1.

    Types of intermediate values are dropped; ``with_shapes`` infers them again.
    """
    for value in graph.inputs:
        if not value.shape or not (value.shape[0] == 1 or isinstance(value.shape[0], str)):
            way_out = "run it sample by sample"
            raise BadInput(f"input {value.name!r}", f"has shape {value.shape}, not a batch of 1", way_out)
    edit = Editor(graph)
    for node in graph:
        if node.op == "Reshape" and _fixes_batch(graph, node):
            target = graph.constants[node.inputs[1]].copy()
            target[0] = 0  # zero: as the input has it
            name = edit.set_constant(edit.fresh(f"{node.inputs[1]}_batch"), target)
            edit.change(node.name, inputs=(node.inputs[0], name))
    edit.forget_values()
    edit.set_inputs([_resized(value, size) for value in graph.inputs])
    edit.set_outputs([_resized(value, size) for value in graph.outputs])
    return edit.graph()


def _fixes_batch(graph: Graph, node: Node) -> bool:
    target, data = graph.constants.get(node.inputs[1]), graph.value(node.inputs[0])
    if target is None or node.attributes.get("allowzero", 0) or target.size == 0 or target[0] != 1:
        return False
    return data is None or data.shape is None or data.shape[:1] == (1,)


def _resized(value: Value, size: Dimension) -> Value:
    if not value.shape or not (value.shape[0] == 1 or isinstance(value.shape[0], str)):
        return value
    return replace(value, shape=(size, *value.shape[1:]))
