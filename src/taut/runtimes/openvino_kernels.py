"""What OpenVINO runs for a graph: its executable graph, and the nodes that each kernel covers.

OpenVINO takes operators apart and names the last piece after the ONNX node; the piece that works may have a
name of its own. Such a heavy kernel claims the nearest node of its sort above what it feeds, before the named
pieces around it get their turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from taut.graph.ir import Graph, Node
from taut.runtimes.base import Placed
from taut.runtimes.coverage import FOLDED, Coverage, Kernel

_PRECISIONS = {
    "f32": "float32",
    "bf16": "bfloat16",
    "f16": "float16",
    "i8": "int8",
    "u8": "int8",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
}
_NO_KERNELS = {"Input", "Output", "Const"}
_CONVOLUTIONS = {"Conv", "ConvTranspose", "ConvInteger"}
_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger"}
_RECURRENT = {"GRU", "LSTM", "RNN"}
_HEAVY = {
    "Convolution": _CONVOLUTIONS,
    "Deconvolution": _CONVOLUTIONS,
    "FullyConnected": _PRODUCTS,
    "MatMul": _PRODUCTS,
    "RNNSeq": _RECURRENT,
    "RNNCell": _RECURRENT,
}
_REACH = 8
"""Nodes looked at above a kernel's readers: enough for the pieces of a GRU, too few to reach the next one"""


@dataclass(frozen=True)
class Executed:
    """One node of the executable graph."""

    name: str
    layer: str
    primitive: str
    precision: str
    originals: tuple[str, ...]
    """Names that OpenVINO says it was made of"""
    feeds: tuple[str, ...]


def executed(compiled: Any) -> dict[str, Executed]:
    """Return what a compiled model runs by name, in order; inputs, outputs and constants left out."""
    nodes = [_executed(node) for node in compiled.get_runtime_model().get_ordered_ops()]
    return {node.name: node for node in nodes if node.layer not in _NO_KERNELS}


def _executed(node: Any) -> Executed:
    told = {key: value.astype(str) for key, value in node.get_rt_info().items()}
    readers = [reader.get_node() for output in node.outputs() for reader in output.get_target_inputs()]
    return Executed(
        node.get_friendly_name(),
        told["layerType"],
        told["primitiveType"],
        _PRECISIONS.get(told["runtimePrecision"], told["runtimePrecision"]),
        tuple(told["originalLayersNames"].split(",")),
        tuple(reader.get_friendly_name() for reader in readers),
    )


def coverage(graph: Graph, nodes: dict[str, Executed]) -> Coverage:
    """Match a graph with what runs for it."""
    kernels = [Kernel(node.name, (node.name, *node.originals), node.feeds) for node in nodes.values()]
    named = Coverage(graph.nodes, kernels)
    hidden = [node for node in nodes.values() if node.layer in _HEAVY and not named.has_claims(node.name)]
    found = [
        Kernel(node.name, _nearest_of_sort(graph, named.nodes(node.name), _HEAVY[node.layer]), node.feeds)
        for node in hidden
    ]
    replaced = {kernel.name for kernel in found}
    return Coverage(graph.nodes, [*found, *(kernel for kernel in kernels if kernel.name not in replaced)])


def _nearest_of_sort(graph: Graph, below: Sequence[str], operators: set[str]) -> tuple[str, ...]:
    """Breadth first against the flow, the named nodes included, to the first node of one of the operators."""
    met: list[Node] = [graph.by_name[name] for name in below]
    for node in met:
        if node.op in operators:
            return (node.name,)
        feeders = [graph.producer(value) for value in node.inputs]
        met += [
            feeder for feeder in feeders if feeder is not None and feeder not in met and len(met) < _REACH
        ]
    return ()


def place(graph: Graph, compiled: Any) -> list[Placed]:
    """Return where every node of the graph runs."""
    kernels = executed(compiled)
    owner = coverage(graph, kernels).owner
    return [_placed(node, kernels.get(owner.get(node.name, ""))) for node in graph]


def _placed(node: Node, kernel: Executed | None) -> Placed:
    if kernel is None:
        return Placed(node.name, FOLDED, "", node.op)
    return Placed(node.name, kernel.primitive, kernel.precision, node.op)
