"""Folding: batch normalisation into the weights before it; shapes and nodes of constants into constants.

All keep what the graph computes, up to rounding; weights are folded in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from taut.graph.costs import value_bytes
from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node, reads
from taut.graph.single_node import compute, infer_outputs, is_computable

_FIRST_PLAIN_BATCH_NORM = 7
"""Before this opset BatchNormalization trained unless told otherwise"""
_FREE_BYTES = 2**16
"""A result may be larger than what it is made from up to here; beyond, folding would swell the file"""


def fold_batch_norm(graph: Graph) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """Fold each BatchNormalization into the Conv, ConvTranspose or Gemm before it.

    With s = scale / sqrt(var + epsilon): W' = W s, b' = (b - mean) s + bias, per output channel. Only where
    weights are constant and nothing else reads the unnormalised values. Returns the folded nodes' names as
    well: normalisation -> (layer,).
    """
    edit = Editor(graph)
    names: dict[str, tuple[str, ...]] = {}
    for node in graph:
        layer = _foldable_layer(graph, node)
        if layer is not None:
            _fold_into(edit, graph, layer, node)
            names[node.name] = (layer.name,)
    return edit.graph(), names


def fold_constants(graph: Graph) -> Graph:
    """Compute nodes that read constants only; large expansions and dequantized weights stay as they are."""
    edit = Editor(graph)
    known = dict(graph.constants)
    for node in graph:
        if _is_worth_computing(graph, node, known):
            computed = compute(graph, node, known) or {}
            known |= computed
            for name, array in computed.items():
                edit.set_constant(name, array)
            if computed:
                edit.remove(node.name)
    return edit.graph()


def fold_shapes(graph: Graph) -> Graph:
    """Replace Shape nodes of values whose shapes are known by constants."""
    edit = Editor(graph)
    for node in graph:
        value = graph.value(node.inputs[0]) if node.op == "Shape" else None
        if value is not None and value.is_static and not graph.is_output(node.outputs[0]):
            stretch = slice(node.attributes.get("start", 0), node.attributes.get("end"))
            edit.set_constant(node.outputs[0], np.array(value.static_shape[stretch], np.int64))
            edit.remove(node.name)
    return edit.graph()


def _is_worth_computing(graph: Graph, node: Node, known: dict[str, np.ndarray]) -> bool:
    if node.op == "DequantizeLinear" or not is_computable(node, known):
        return False
    if any(graph.is_output(name) for name in node.outputs):
        return False
    source_bytes = sum(known[name].nbytes for name in reads(node))
    types = infer_outputs(graph, node, {}, known)
    made = [types.get(name) for name in node.outputs if name]
    return all(
        value is not None and value.is_static and value_bytes(value) <= max(_FREE_BYTES, source_bytes)
        for value in made
    )


def _foldable_layer(graph: Graph, node: Node) -> Node | None:
    """The layer that a batch normalisation can be folded into."""
    if not _is_plain_batch_norm(graph, node):
        return None
    layer = graph.producer(node.inputs[0])
    if layer is None or layer.op not in _LAYERS or layer.domain != "":
        return None
    has_other_readers = len(graph.consumers(node.inputs[0])) > 1 or graph.is_output(node.inputs[0])
    is_constant = all(name in graph.constants for name in layer.inputs[1:] if name)
    return layer if is_constant and not has_other_readers else None


def _is_plain_batch_norm(graph: Graph, node: Node) -> bool:
    return (
        node.op == "BatchNormalization"
        and node.domain == ""
        and graph.opsets[""] >= _FIRST_PLAIN_BATCH_NORM
        and not node.attributes.get("training_mode", 0)
        and node.attributes.get("spatial", 1) == 1
        and not any(node.outputs[1:])
        and all(name in graph.constants for name in node.inputs[1:])
    )


def _fold_into(edit: Editor, graph: Graph, layer: Node, norm: Node) -> None:
    scale, shift = _affine(graph, norm)
    weight = graph.constants[layer.inputs[1]]
    bias = _bias(graph, layer)
    folded_weight = _LAYERS[layer.op](weight.astype(np.float64), scale, layer.attributes)
    folded_bias = bias * scale + shift
    names = [
        _stored(edit, graph, layer, "weight", folded_weight.astype(weight.dtype)),
        _stored(edit, graph, layer, "bias", folded_bias.astype(weight.dtype)),
    ]
    attributes = {name: item for name, item in layer.attributes.items() if name != "beta"}
    edit.remove(norm.name)
    edit.change(
        layer.name, inputs=(layer.inputs[0], *names), outputs=(norm.outputs[0],), attributes=attributes
    )


def _affine(graph: Graph, norm: Node) -> tuple[np.ndarray, np.ndarray]:
    """The normalisation as scale and shift per channel."""
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in norm.inputs[1:])
    epsilon = norm.attributes.get("epsilon", 1e-5)  # ONNX's default
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _bias(graph: Graph, layer: Node) -> np.ndarray:
    if len(layer.inputs) < 3 or not layer.inputs[2]:
        return np.zeros(())
    return graph.constants[layer.inputs[2]].astype(np.float64) * layer.attributes.get("beta", 1.0)


def _stored(edit: Editor, graph: Graph, layer: Node, role: str, array: np.ndarray) -> str:
    """Put an array in place of the layer's own constant, or under a new name where that one is shared."""
    place = {"weight": 1, "bias": 2}[role]
    old = layer.inputs[place] if len(layer.inputs) > place else ""
    is_own = bool(old) and len(graph.consumers(old)) == 1 and not graph.is_output(old)
    return edit.set_constant(old if is_own else edit.fresh(f"{layer.name}.{role}"), array)


def _scaled_convolution(weight: np.ndarray, scale: np.ndarray, _attributes: Any) -> np.ndarray:
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))


def _scaled_transposed_convolution(weight: np.ndarray, scale: np.ndarray, attributes: Any) -> np.ndarray:
    """Weights are (input channels, output channels / groups, ...): each group scales its own outputs."""
    group = attributes.get("group", 1)
    grouped = weight.reshape(group, -1, *weight.shape[1:])
    return (grouped * scale.reshape(group, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)


def _scaled_gemm(weight: np.ndarray, scale: np.ndarray, attributes: Any) -> np.ndarray:
    return weight * (scale[:, None] if attributes.get("transB", 0) else scale)


_LAYERS: dict[str, Callable[[np.ndarray, np.ndarray, Any], np.ndarray]] = {
    "Conv": _scaled_convolution,
    "ConvTranspose": _scaled_transposed_convolution,
    "Gemm": _scaled_gemm,
}
