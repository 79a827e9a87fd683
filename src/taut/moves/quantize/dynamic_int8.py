"""Dynamic int8: constant matrices as int8, activations quantized as they come, one scale per call.

Needs no calibration data. Written in ONNX's own operators, one DynamicQuantizeLinear for all products that
read a value; onnxruntime fuses each product with what follows it into one kernel. OpenVINO has no kernel for
it. It pays where matrices are large: quantizing an activation is a pass over it and one for its extremes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from taut.core.move import Context, Form, Moved
from taut.core.network import Network
from taut.graph import Editor, Graph, Node
from taut.graph.shapes import with_shapes
from taut.moves.quantize.matrices import chosen_nodes, is_matrix_heavy, matrix
from taut.moves.quantize.opset import raise_opset
from taut.moves.quantize.qdq import WeightQuantizer

_OPSET = 11
"""Since then there is DynamicQuantizeLinear"""
_FLOAT = {"to": int(TensorProto.FLOAT)}


@dataclass(frozen=True)
class DynamicInt8:
    """Quantize matrix products dynamically.

    DynamicInt8()                          every MatMul and Gemm with a constant matrix
    DynamicInt8(("query", "key"))
    """

    nodes: tuple[str, ...] | None = None
    is_per_channel: bool = True
    """One scale for each column of a matrix"""
    kind = "dynamic_int8"
    form = Form.GRAPH

    def apply(self, network: Network, context: Context) -> Moved:  # noqa: ARG002
        """Return a copy with dynamic products. Raises BadInput for a node without a constant matrix."""
        graph = with_shapes(raise_opset(network.graph, _OPSET))
        writer = _Writer(graph, WeightQuantizer(is_per_channel=self.is_per_channel))
        for node in chosen_nodes(graph, self.nodes, matrix_nodes(graph), "matrix"):
            writer.write(node)
        return Moved(network.with_graph(with_shapes(writer.edit.graph())))


def matrix_nodes(graph: Graph) -> tuple[str, ...]:
    """Return the names of the products with a constant matrix, in the graph's order."""
    return tuple(node.name for node in graph if matrix(graph, node) is not None)


class _Writer:
    """Replaces products by y = (x_codes @ w_codes) * (x_scale * w_scale) + bias."""

    def __init__(self, graph: Graph, weights: WeightQuantizer) -> None:
        self.edit = Editor(graph)
        self._graph, self._weights = graph, weights
        self._quantized: dict[str, tuple[str, str, str]] = {}

    def write(self, node: Node) -> None:
        weight = matrix(self._graph, node)
        assert weight is not None
        parameters = self._weights.parameters(weight, axis=1)
        codes, scale, zero_point = self._quantized_input(node.inputs[0])
        # The original keeps its name, so that it is found again in profiles.
        weight_codes = self._constant(node, "weight_codes", parameters.quantize(weight))
        weight_zero = self._constant(node, "weight_zero_point", np.zeros((), np.int8))
        inputs = (codes, weight_codes, zero_point, weight_zero)
        product = self.edit.fresh(f"{node.name}_product")
        self.edit.change(node.name, op="MatMulInteger", inputs=inputs, outputs=(product,), attributes={})
        real = self.edit.fresh(f"{node.name}_real")
        self.edit.add(
            "Cast", (product,), (real,), name=self.edit.fresh(f"{node.name}_cast"), attributes=_FLOAT
        )
        scales = self.edit.fresh(f"{node.name}_scales")
        self._multiply(node, "scale", (scale, self._constant(node, "weight_scale", parameters.scale)), scales)
        self._finish(node, real, scales)

    def _finish(self, node: Node, real: str, scales: str) -> None:
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        scaled = self.edit.fresh(f"{node.name}_scaled") if bias else node.outputs[0]
        self._multiply(node, "rescale", (real, scales), scaled)
        if bias:
            name = self.edit.fresh(f"{node.name}_add_bias")
            self.edit.add("Add", (scaled, bias), node.outputs, name=name)

    def _multiply(self, node: Node, role: str, inputs: tuple[str, str], output: str) -> None:
        self.edit.add("Mul", inputs, (output,), name=self.edit.fresh(f"{node.name}_{role}"))

    def _quantized_input(self, value: str) -> tuple[str, str, str]:
        """Names of a value's codes, scale and zero point, made once for all readers."""
        if value not in self._quantized:
            stems = (f"{value}_codes", f"{value}_scale", f"{value}_zero_point")
            codes, scale, zero_point = (self.edit.fresh(stem) for stem in stems)
            name = self.edit.fresh(f"{value}_quantize")
            self.edit.add("DynamicQuantizeLinear", (value,), (codes, scale, zero_point), name=name)
            self._quantized[value] = (codes, scale, zero_point)
        return self._quantized[value]

    def _constant(self, node: Node, role: str, array: np.ndarray) -> str:
        return self.edit.set_constant(self.edit.fresh(f"{node.name}_{role}"), array)


class DynamicInt8Kind:
    """Offers dynamic int8 to networks that are mostly matrix products."""

    name = "dynamic_int8"
    form = Form.GRAPH

    def offers(self, network: Network, context: Context) -> Sequence[DynamicInt8]:
        is_possible = "onnxruntime" in context.device.runtimes and is_matrix_heavy(network.graph)
        return [DynamicInt8()] if is_possible else []

    def from_json(self, settings: Mapping[str, Any]) -> DynamicInt8:
        nodes = settings.get("nodes")
        return DynamicInt8(**{**settings, "nodes": None if nodes is None else tuple(nodes)})


KIND = DynamicInt8Kind()
