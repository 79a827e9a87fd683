"""What each operator is to integer arithmetic: where its activations, its weight and its bias are.

Three sorts can take part: operators that compute on integers, activation functions that an operator before
them takes in (their clamp becomes the saturating cast), and carriers, which move codes without looking at
them. Everything else stays float and is left whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from taut.graph import Graph, Node


@dataclass(frozen=True)
class Operands:
    """Positions among a node's inputs."""

    activations: tuple[int, ...]
    constants: tuple[int, ...] = ()
    """Constants that are quantized like activations"""
    weight: int | None = None
    weight_axis: int | None = None
    """Output channels of the weight, where each may have a scale of its own"""
    bias: int | None = None
    shares_scale: bool = False
    """Inputs and output must have the same parameters"""


CARRIERS = frozenset(
    {"DepthToSpace", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split"}
    | {"Squeeze", "Transpose", "Unsqueeze"}
)
_FUSING = frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"})


def operands(graph: Graph, node: Node) -> Operands | None:
    """Return a node's operands; None where it cannot compute on integers."""
    find = _FINDERS.get(node.op)
    if find is None or node.domain not in ("", "ai.onnx"):
        return None
    found = find(graph, node)
    if found is None or not found.activations or not _is_float(graph, node.outputs[0]):
        return None
    values = [node.inputs[position] for position in (*found.activations, *found.constants)]
    return found if all(_is_float(graph, value) for value in values) else None


def is_carrier(graph: Graph, node: Node) -> bool:
    """Whether a node passes float codes of its first input on unchanged."""
    if node.op == "Resize":
        is_nearest = node.attributes.get("mode", "nearest") in ("nearest", b"nearest")
        return is_nearest and _is_float(graph, node.inputs[0])
    has_one_result = node.op == "Split" or len(node.outputs) == 1
    return node.op in CARRIERS and has_one_result and _is_float(graph, node.inputs[0])


def result(graph: Graph, node: Node) -> str:
    """Return the value that a node's integer kernel ends with: behind its bias step and its clamp."""
    step = bias_step(graph, node)
    last = node if step is None else step
    clamp = clamp_of(graph, node, last.outputs[0])
    return last.outputs[0] if clamp is None else clamp.outputs[0]


def clamp_of(graph: Graph, node: Node, value: str) -> Node | None:
    """Return the Relu or Clip that a kernel takes in: the one reader of the value that it computes."""
    reader = only_reader(graph, value)
    return reader if node.op in _FUSING and reader is not None and is_clamp(graph, reader) else None


def bias_step(graph: Graph, node: Node) -> Node | None:
    """Return the Add that gives a MatMul, which has no bias input, one number for each column."""
    reader = only_reader(graph, node.outputs[0])
    if node.op != "MatMul" or reader is None or reader.op != "Add":
        return None
    weight = graph.constants.get(node.inputs[1])
    bias = graph.constants.get(bias_of_step(graph, reader))
    if weight is None or weight.ndim != 2 or bias is None or bias.dtype != np.float32:
        return None
    return reader if bias.ndim and bias.size == bias.shape[-1] == weight.shape[1] else None


def bias_of_step(graph: Graph, step: Node) -> str:
    """Return the name of an addition's constant summand; empty where it has none."""
    return next((name for name in step.inputs if name in graph.constants), "")


def only_reader(graph: Graph, value: str) -> Node | None:
    """Return the one node that reads a value; None where several do or the caller gets it."""
    readers = graph.consumers(value)
    return readers[0] if len(readers) == 1 and not graph.is_output(value) else None


def is_clamp(graph: Graph, node: Node) -> bool:
    """Whether a node is Relu, or Clip between constants."""
    return node.op == "Relu" or (
        node.op == "Clip" and all(name in graph.constants for name in node.inputs[1:] if name)
    )


def source(graph: Graph, value: str) -> Node | None:
    """Return the node that a value comes from, looking through carriers and clamps; None: from outside."""
    node = graph.producer(value)
    while node is not None and (is_carrier(graph, node) or is_clamp(graph, node)):
        node = graph.producer(node.inputs[0])
    return node


def _is_float(graph: Graph, name: str) -> bool:
    value = graph.value(name)
    return value is not None and value.dtype == "float32"


def _is_weight(graph: Graph, name: str) -> bool:
    array = graph.constants.get(name)
    return array is not None and array.dtype == np.float32 and array.size > 0


def _convolution(graph: Graph, node: Node) -> Operands | None:
    has_bias = len(node.inputs) > 2 and node.inputs[2] != ""
    if not _is_weight(graph, node.inputs[1]) or (has_bias and not _is_weight(graph, node.inputs[2])):
        return None
    axis: int | None = 0 if node.op == "Conv" else 1
    if node.op == "ConvTranspose" and node.attributes.get("group", 1) != 1:
        axis = None  # its channels come in groups, which one scale per index of an axis cannot follow
    return Operands((0,), weight=1, weight_axis=axis, bias=2 if has_bias else None)


def _gemm(graph: Graph, node: Node) -> Operands | None:
    has_bias = len(node.inputs) > 2 and node.inputs[2] != ""
    is_plain = node.attributes.get("alpha", 1.0) == node.attributes.get("beta", 1.0) == 1.0
    if not is_plain or not _is_weight(graph, node.inputs[1]):
        return None
    if has_bias and not _is_vector(graph, node.inputs[2]):
        return None
    axis = 0 if node.attributes.get("transB", 0) else 1
    return Operands((0,), weight=1, weight_axis=axis, bias=2 if has_bias else None)


def _is_vector(graph: Graph, name: str) -> bool:
    return _is_weight(graph, name) and graph.constants[name].ndim == 1


def _matmul(graph: Graph, node: Node) -> Operands | None:
    left, right = node.inputs
    if left in graph.constants:
        return None
    if right not in graph.constants:
        return Operands((0, 1))
    if not _is_weight(graph, right) or graph.constants[right].ndim < 2:
        return None
    # A stack of matrices has no common axis of output channels in the runtimes' kernels.
    axis = 1 if graph.constants[right].ndim == 2 else None
    return Operands((0,), weight=1, weight_axis=axis)


def _every_input(graph: Graph, node: Node) -> Operands | None:
    maker = next((graph.producer(name) for name in node.inputs if name not in graph.constants), None)
    if maker is not None and bias_step(graph, maker) is node:
        return None  # belongs to the matrix product before it
    activations = [index for index, name in enumerate(node.inputs) if name not in graph.constants]
    constants = [index for index, name in enumerate(node.inputs) if name in graph.constants]
    return Operands(tuple(activations), tuple(constants), shares_scale=node.op == "Concat")


def _first_input(_graph: Graph, _node: Node) -> Operands:
    return Operands((0,))


def _rising_input(_graph: Graph, node: Node) -> Operands | None:
    """A HardSigmoid that rises: its slope goes into a scale, which is positive."""
    return Operands((0,)) if node.attributes.get("alpha", 0.2) > 0 else None


def _spatial_mean(graph: Graph, node: Node) -> Operands | None:
    """A mean over everything behind the channels, which is a global average pooling."""
    given = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get("axes")
    value = graph.value(node.inputs[0])
    if given is None or value is None or value.shape is None:
        return None
    rank = len(value.shape)
    axes = {int(axis) % rank for axis in np.asarray(given).reshape(-1)}
    return Operands((0,)) if rank > 2 and axes == set(range(2, rank)) else None


_FINDERS: dict[str, Callable[[Graph, Node], Operands | None]] = {
    "Add": _every_input,
    "AveragePool": _first_input,
    "Concat": _every_input,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "GlobalAveragePool": _first_input,
    "HardSigmoid": _rising_input,
    "LeakyRelu": _first_input,
    "MatMul": _matmul,
    "Mul": _every_input,
    "ReduceMean": _spatial_mean,
    "Sigmoid": _first_input,
}
