"""Weight-only quantization: constant matrices and tables of embeddings in 8 or 4 bits, activations in float.

It makes the file smaller, and faster what waits for its weights to be read: products with one or a few rows.
Needs no calibration data. onnxruntime has one kernel for it, MatMulNBits, with a scale for each group of a
column; OpenVINO multiplies straight from int8 behind a DequantizeLinear, with a scale for each column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved
from taut.core.network import Network
from taut.graph import Editor, Graph, Node
from taut.graph.shapes import with_shapes
from taut.moves.quantize.matrices import chosen_nodes, is_matrix_heavy, matrix
from taut.moves.quantize.opset import raise_opset
from taut.moves.quantize.qdq import QDQ_OPSET, WeightQuantizer
from taut.moves.quantize.ranges import MinMax, parameters_of
from taut.moves.quantize.schemes import PerGroup, Scheme

_TARGETS = ("onnxruntime", "openvino")
_DOMAIN = "com.microsoft"
# The kernel quantizes activations group by group and computes in int8; in float it was three times slower
# than the product with float weights.
_INT8_COMPUTE = 4


@dataclass(frozen=True)
class WeightOnly:
    """Keep the weights of products and look-ups in few bits.

    WeightOnly()                       8 bits
    WeightOnly(("mlp",), bits=4)
    """

    nodes: tuple[str, ...] | None = None
    """None: every MatMul, Gemm and Gather with a constant matrix"""
    bits: int = 8
    group_size: int = 32
    """Neighbours of a column that share a scale, in MatMulNBits"""
    target: str = "onnxruntime"
    kind = "weight_only"
    form = Form.GRAPH

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise BadInput(f"{self.bits} bits", "have no kernel", "one of: 4, 8")
        if self.target not in _TARGETS:
            raise BadInput(f"target {self.target!r}", "has no kernel", f"one of: {', '.join(_TARGETS)}")

    def apply(self, network: Network, context: Context) -> Moved:  # noqa: ARG002
        """Return a copy with smaller weights. Raises BadInput for a node without a constant matrix."""
        graph = with_shapes(raise_opset(network.graph, QDQ_OPSET))
        writer = _Writer(graph)
        for node in chosen_nodes(graph, self.nodes, weighty_nodes(graph), "matrix"):
            if node.op == "Gather":
                writer.write_table(node)
            elif self.target == "openvino" and self.bits == 8:
                writer.write_columns(node)
            else:
                writer.write_groups(node, self.bits, self.group_size)
        return Moved(network.with_graph(with_shapes(writer.edit.graph())))


def weighty_nodes(graph: Graph) -> tuple[str, ...]:
    """Return the names of products and look-ups with a constant matrix, in the graph's order."""
    return tuple(node.name for node in graph if matrix(graph, node) is not None or _is_look_up(graph, node))


def _is_look_up(graph: Graph, node: Node) -> bool:
    table = graph.constants.get(node.inputs[0]) if node.op == "Gather" else None
    is_matrix = table is not None and table.ndim == 2 and table.dtype == np.float32
    return is_matrix and node.attributes.get("axis", 0) == 0


class _Writer:
    """Rewrites nodes one by one; each keeps its name."""

    def __init__(self, graph: Graph) -> None:
        self.edit = Editor(graph)
        self.edit.require_opset(QDQ_OPSET)
        self._graph = graph

    def write_groups(self, node: Node, bits: int, group_size: int) -> None:
        """Let MatMulNBits do a product; codes (out, groups, bytes of a group), unsigned around the middle."""
        weight = matrix(self._graph, node)
        assert weight is not None
        depth, width = weight.shape
        rows = np.pad(weight.T, ((0, 0), (0, -depth % group_size)))
        parameters = parameters_of(rows, Scheme(bits, is_signed=False), PerGroup(group_size, 1), MinMax())
        codes = parameters.quantize(rows).reshape(width, -1, group_size)
        if bits == 4:
            codes = codes[..., ::2] | codes[..., 1::2] << 4
        stored = self._constant(node, "codes", codes), self._constant(node, "scale", parameters.scale.ravel())
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        inputs = (node.inputs[0], *stored, *(("", "", bias) if bias else ()))
        attributes = {"K": depth, "N": width, "bits": bits, "block_size": group_size}
        attributes["accuracy_level"] = _INT8_COMPUTE
        self.edit.change(node.name, op="MatMulNBits", domain=_DOMAIN, inputs=inputs, attributes=attributes)
        self.edit.require_opset(1, _DOMAIN)

    def write_columns(self, node: Node) -> None:
        """Put a matrix behind DequantizeLinear, one scale for each column."""
        axis = 0 if node.attributes.get("transB", 0) else 1
        codes, scale, zero_point = self._quantized(node, self._graph.constants[node.inputs[1]], axis)
        restored = self.edit.fresh(f"{node.name}_weight")
        self._dequantize(node, (codes, scale, zero_point), restored, axis)
        self.edit.change(node.name, inputs=(node.inputs[0], restored, *node.inputs[2:]))

    def write_table(self, node: Node) -> None:
        """Look up codes, and dequantize only what was looked up, one scale for each column."""
        codes, scale, zero_point = self._quantized(node, self._graph.constants[node.inputs[0]], 1)
        found = self.edit.fresh(f"{node.name}_found")
        self.edit.change(node.name, inputs=(codes, node.inputs[1]), outputs=(found,))
        # Codes come as the last axis, whatever the shape of the indices.
        self._dequantize(node, (found, scale, zero_point), node.outputs[0], axis=-1)

    def _quantized(self, node: Node, weight: np.ndarray, axis: int) -> tuple[str, str, str]:
        parameters = WeightQuantizer().parameters(weight, axis)
        codes = self._constant(node, "codes", parameters.quantize(weight))
        scale = self._constant(node, "scale", parameters.scale)
        return codes, scale, self._constant(node, "zero_point", parameters.zero_point)

    def _dequantize(self, node: Node, inputs: tuple[str, str, str], output: str, axis: int) -> None:
        name = self.edit.fresh(f"{node.name}_dequantize")
        self.edit.add("DequantizeLinear", inputs, (output,), name=name, attributes={"axis": axis})

    def _constant(self, node: Node, role: str, array: np.ndarray) -> str:
        return self.edit.set_constant(self.edit.fresh(f"{node.name}_weight_{role}"), array)


class WeightOnlyKind:
    """Offers smaller weights to networks that are mostly matrix products."""

    name = "weight_only"
    form = Form.GRAPH

    def offers(self, network: Network, context: Context) -> Sequence[WeightOnly]:
        if not is_matrix_heavy(network.graph):
            return []
        targets = [name for name in _TARGETS if name in context.device.runtimes]
        # Scales of 8-bit groups are a tenth of the file at 32 neighbours; 8 bits stand 128 as well.
        sizes = ((8, 128), (4, 32))
        return [WeightOnly(None, bits, size, target) for target in targets for bits, size in sizes]

    def from_json(self, settings: Mapping[str, Any]) -> WeightOnly:
        nodes = settings.get("nodes")
        return WeightOnly(**{**settings, "nodes": None if nodes is None else tuple(nodes)})


KIND = WeightOnlyKind()
