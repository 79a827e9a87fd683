"""Operands of a product: its arithmetic, how its input is to lie, and what its sum means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taut.graph.ir import Graph, Node
from taut.kernels.expression import RESULT, Expression, apply
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Affine, Layout, Lowering
from taut.runtimes.aot.ops.geometry import Geometry
from taut.runtimes.aot.ops.quantized import affine_of, by_column, unsigned

PRODUCTS = ("Conv", "MatMul", "Gemm")
_CARRIERS = ("Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")


@dataclass(frozen=True)
class Operands:
    """Input and constant weights. Of integers, value = (sum - fill x total of the column) x scale."""

    x: View
    weight: np.ndarray
    """Its type decides the arithmetic"""
    axis: int
    """Of the weights, along which columns lie"""
    fill: float = 0.0
    """What stands for zero around the input"""
    scale: np.ndarray | None = None
    """Of integers: input's times weight's, for each column"""

    @property
    def x_type(self) -> str | None:
        """That the arithmetic needs; None: any."""
        return {"bfloat16": "bfloat16", "int8": "uint8"}.get(str(self.weight.dtype))

    def result(self, shape: tuple[int, ...], axis: int, bias: np.ndarray | None) -> Expression:
        """What the sum comes to in a value of a shape with its columns along an axis."""
        if self.scale is None:
            return RESULT if bias is None else apply("add", RESULT, by_column(bias, shape, axis))
        totals = np.moveaxis(self.weight, self.axis, 0).reshape(self.scale.size, -1).astype(np.float64).sum(1)
        shift = (0.0 if bias is None else bias.astype(np.float64)) - self.fill * totals * self.scale
        return apply(
            "add", apply("mul", RESULT, by_column(self.scale, shape, axis)), by_column(shift, shape, axis)
        )


def operands(lowering: Lowering, node: Node) -> Operands | None:
    """Return a product's operands; None where its weights are not constant."""
    axis, graph = _columns(node), lowering.graph
    integers, codes = _integer_weights(graph, node.inputs[1], axis), lowering.codes.get(node.inputs[0])
    if integers is not None and codes is not None:
        given = codes if is_depthwise(graph, node) else unsigned(lowering, codes)
        return Operands(given.view, integers[0], axis, given.affine.zero, integers[1] * given.affine.scale)
    weight = lowering.constant(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or lowering.dtype(node.inputs[0]) != "float32":
        return None
    if lowering.precision == "bfloat16" and not is_depthwise(graph, node):
        weight = weight.astype("bfloat16")
    return Operands(lowering.view(node.inputs[0]), weight, axis)


def is_depthwise(graph: Graph, node: Node) -> bool:
    """Whether a convolution has one channel in and one out for each group."""
    weight = graph.value(node.inputs[1])
    if node.op != "Conv" or weight is None:
        return False
    return weight.static_shape[1] == 1 and weight.static_shape[0] == node.attributes.get("group", 1)


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes of a value of that many axes, of which the second is the channels."""
    return (0, *range(2, rank), 1)


def wish(graph: Graph, node: Node, precision: str) -> tuple[str, Layout] | None:
    """The value that a product reads from memory, and how it is to lie there."""
    if node.op not in PRODUCTS or not _has_constant_weights(graph, node):
        return None
    name, fill, dtype = node.inputs[0], 0.0, None
    affine = _input_affine(graph, node)
    if affine is not None and _integer_weights(graph, node.inputs[1], _columns(node)) is not None:
        name, fill = graph.producer(name).inputs[0], affine.zero  # type: ignore[union-attr]
        # A depthwise convolution reads each code many times: as floats they are converted once.
        dtype = "float32" if is_depthwise(graph, node) else affine.dtype
    elif precision == "bfloat16" and not is_depthwise(graph, node):
        dtype = "bfloat16"
    if node.op != "Conv":
        return (name, Layout(fill=fill, dtype=dtype)) if dtype else None
    order = None if dtype is None or is_depthwise(graph, node) else channels_last(_rank(graph, name))
    return name, Layout(conv_border(graph, node), fill, order, dtype)


def carried(node: Node) -> bool:
    """Whether a node passes elements on as they are, so that its input may as well have its output's type."""
    return node.op in _CARRIERS


def conv_border(graph: Graph, node: Node) -> tuple[tuple[int, int], ...]:
    """What a convolution reads around its input."""
    data, made, weight = (graph.value(name) for name in (node.inputs[0], node.outputs[0], node.inputs[1]))
    assert data is not None and made is not None and weight is not None, "shapes are known"
    spatial, out = data.static_shape[2:], made.static_shape[2:]
    return Geometry.of(node, weight.static_shape[2:], spatial, out).border(spatial, out)


def _rank(graph: Graph, name: str) -> int:
    value = graph.value(name)
    assert value is not None, "shapes are known"
    return len(value.static_shape)


def _columns(node: Node) -> int:
    """The axis of the weights along which columns of the result lie."""
    if node.op == "Conv":
        return 0
    return 0 if node.op == "Gemm" and node.attributes.get("transB", 0) else -1


def _has_constant_weights(graph: Graph, node: Node) -> bool:
    return len(node.inputs) > 1 and node.inputs[1] in graph.constant_values


def _input_affine(graph: Graph, node: Node) -> Affine | None:
    """What the codes stand for whose numbers are a node's first input."""
    source = graph.producer(node.inputs[0])
    return affine_of(graph, source) if source is not None and source.op == "DequantizeLinear" else None


def _integer_weights(graph: Graph, name: str, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Constant int8 codes without zero point behind a value, and the scale of each column."""
    node = graph.producer(name)
    if node is None or node.op != "DequantizeLinear" or node.attributes.get("block_size", 0):
        return None
    codes, scale = graph.constants.get(node.inputs[0]), graph.constants.get(node.inputs[1])
    zero = graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if codes is None or scale is None or codes.dtype != np.int8 or (zero is not None and zero.any()):
        return None
    if scale.size > 1 and node.attributes.get("axis", 1) % codes.ndim != axis % codes.ndim:
        return None
    return codes, np.broadcast_to(scale.reshape(-1), codes.shape[axis]).astype(np.float64)
