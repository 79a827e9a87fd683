"""Raise a graph's opset, so that per-channel DequantizeLinear (13) exists; many real files are of 11 or 12.

onnx's own converter does the work. It replaces every Softmax by Flatten, Softmax and Reshape, because the
meaning of its axis changed in 13; over the last axis nothing changed, so there the plain one is put back.
"""

from __future__ import annotations

from onnx import version_converter

from taut.core.errors import BadInput
from taut.graph import Editor, Graph, Node
from taut.graph.onnx_export import to_onnx
from taut.graph.onnx_import import from_onnx

_CHANGED_AXIS = frozenset({"Hardmax", "LogSoftmax", "Softmax"})


def raise_opset(graph: Graph, version: int) -> Graph:
    """Return the graph at this opset or a later one, node names kept; BadInput where onnx cannot."""
    if graph.opsets.get("", version) >= version:
        return graph
    try:
        converted = from_onnx(version_converter.convert_version(to_onnx(graph), version))
    except (RuntimeError, version_converter.ConvertError) as error:
        given = f"a network of opset {graph.opsets['']}"
        way_out = f"export it with opset {version} or later"
        raise BadInput(given, f"onnx cannot raise it: {error}", way_out) from error
    return _with_plain_softmax(graph, converted)


def _with_plain_softmax(old: Graph, new: Graph) -> Graph:
    edit = Editor(new)
    for node in old:
        if node.op in _CHANGED_AXIS and _is_over_last_axis(old, node):
            reshape = new.producer(node.outputs[0])
            if reshape is not None and reshape.name != node.name:
                edit.remove(reshape.name)
            edit.change(node.name, inputs=node.inputs, outputs=node.outputs, attributes={"axis": -1})
    return edit.graph()


def _is_over_last_axis(graph: Graph, node: Node) -> bool:
    value = graph.value(node.inputs[0])
    axis = node.attributes.get("axis", 1)
    return axis == -1 or (value is not None and value.shape is not None and axis == len(value.shape) - 1)
