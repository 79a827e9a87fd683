"""What each node costs by its shapes: multiply-accumulates, other operations, parameters, bytes.

Counted, not timed: caches, fusion and vectors are the business of measured tables. Nodes that only read
constants cost nothing, since runtimes compute them once; what they make counts as the weight of its reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.macs import FORMULAS, Shapes, Sizes


@dataclass(frozen=True)
class NodeCost:
    """Cost of one node for one run.

    node_costs(graph)[0]    NodeCost("conv1", "Conv", macs=27648, ..., parameters=108)
    """

    node: str
    op: str
    macs: int
    element_operations: int
    """Operations other than multiply-accumulates: one per element, of a pooling one per window element"""
    parameters: int
    """Elements of the floating-point and quantized constants it reads, scalars left out"""
    weight_bytes: int
    """Of constants as they are stored: int8 where they are dequantized on the way"""
    input_bytes: int
    """Of values that are not constant"""
    output_bytes: int
    is_complete: bool
    """False where a shape is dynamic or the operator unknown, so that the counts are too low"""

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written at least once; a view moves none, a lookup only the rows it takes."""
        if self.op in _VIEWS:
            return 0
        if self.op in _LOOKUPS:
            return 2 * self.output_bytes
        return self.weight_bytes + self.input_bytes + self.output_bytes


@dataclass(frozen=True)
class GraphCost:
    """Sum over the nodes; a constant that several nodes read counts once."""

    macs: int
    element_operations: int
    parameters: int
    weight_bytes: int
    moved_bytes: int
    incomplete: tuple[str, ...]
    """Names of nodes whose cost is not known in full"""


def node_costs(graph: Graph) -> tuple[NodeCost, ...]:
    """Return the cost of every node, in order. Shapes are inferred where the graph lacks them.

    Raises BadInput where an input is dynamic.
    """
    typed = _typed(graph)
    return tuple(_cost(typed, node) for node in typed)


def total_costs(graph: Graph) -> GraphCost:
    """Return the cost of the whole graph for one run. Raises BadInput where an input is dynamic."""
    typed = _typed(graph)
    costs = [_cost(typed, node) for node in typed]
    read = {name for node in typed if not _is_constant(typed, node) for name in reads(node)}
    return GraphCost(
        macs=sum(cost.macs for cost in costs),
        element_operations=sum(cost.element_operations for cost in costs),
        parameters=_stored_parameters(typed, read),
        weight_bytes=_weight_bytes(typed, read),
        moved_bytes=sum(cost.moved_bytes for cost in costs),
        incomplete=tuple(cost.node for cost in costs if not cost.is_complete),
    )


def value_bytes(value: Value) -> int:
    """Return the size of a static value; elements below a byte are packed."""
    return math.ceil(math.prod(value.static_shape) * element_bits(value.dtype) / 8)


def element_bits(dtype: str) -> int:
    """Return the bits of an element: the number in its name, such as 16 of ``bfloat16``."""
    if dtype == "bool":
        return 8
    found = re.search(r"\d+", dtype)
    return int(found.group()) if found else 0  # strings


def _typed(graph: Graph) -> Graph:
    values = [graph.value(name) for node in graph for name in node.outputs if name]
    if graph.is_static and all(value is not None and value.is_static for value in values):
        return graph
    from taut.graph.shapes import with_shapes  # imports onnx

    return with_shapes(graph)


def _cost(graph: Graph, node: Node) -> NodeCost:
    if _is_constant(graph, node):
        return NodeCost(node.name, node.op, 0, 0, 0, 0, 0, 0, is_complete=True)
    read = reads(node)
    touched = [graph.value(name) for name in (*read, *node.outputs) if name]
    is_complete = all(value is not None and value.is_static for value in touched) and _is_known(node)
    return NodeCost(
        node.name,
        node.op,
        macs=_macs(graph, node) if is_complete else 0,
        element_operations=_element_operations(graph, node) if is_complete else 0,
        parameters=_parameters(graph, read),
        weight_bytes=_weight_bytes(graph, read),
        input_bytes=_bytes(graph, [name for name in read if name not in graph.constant_values]),
        output_bytes=_bytes(graph, node.outputs),
        is_complete=is_complete,
    )


def _is_constant(graph: Graph, node: Node) -> bool:
    return graph.constant_values.issuperset(filter(None, node.outputs))


def _is_known(node: Node) -> bool:
    has_subgraph = any(hasattr(item, "node") for item in node.attributes.values())
    return (node.domain == "" or (node.domain, node.op) in FORMULAS) and not has_subgraph


def _macs(graph: Graph, node: Node) -> int:
    formula = FORMULAS.get((node.domain, node.op))
    if formula is None:
        return 0
    inputs = tuple(_shape(graph, name) for name in node.inputs)
    outputs = tuple(_shape(graph, name) for name in node.outputs)
    return formula(Shapes(inputs, outputs, node.attributes))


def _shape(graph: Graph, name: str) -> Sizes | None:
    value = graph.value(name)
    return value.static_shape if value is not None else None


def _element_operations(graph: Graph, node: Node) -> int:
    if node.op in _VIEWS | _LOOKUPS | _MOVES or (node.domain, node.op) in FORMULAS:
        return 0
    if "kernel_shape" in node.attributes:
        return math.prod(node.attributes["kernel_shape"]) * _elements(graph, node.outputs[0])
    return max((_elements(graph, name) for name in (*node.inputs, *node.outputs) if name), default=0)


def _elements(graph: Graph, name: str) -> int:
    return math.prod(_shape(graph, name) or ())


def _bytes(graph: Graph, names: Iterable[str]) -> int:
    values = [graph.value(name) for name in names if name]
    return sum(value_bytes(value) for value in values if value is not None and value.is_static)


def _parameters(graph: Graph, read: Iterable[str]) -> int:
    """Elements of constant values of rank 1 or more; wide integers are shapes and indices, no parameters."""
    values = [graph.value(name) for name in read if name in graph.constant_values]
    return sum(
        math.prod(value.static_shape)
        for value in values
        if value is not None and value.is_static and value.shape and _is_weight(value)
    )


def _stored_parameters(graph: Graph, read: Iterable[str]) -> int:
    """Elements of the constants behind these values; several views of one constant count it once."""
    dequantized = [node.inputs for node in graph if node.op == "DequantizeLinear"]
    scales = {name for inputs in dequantized for name in inputs[1:]}
    quantized = {inputs[0] for inputs in dequantized}
    stored = [graph.value(name) for name in _stored(graph, read) - scales]
    return sum(
        math.prod(value.static_shape)
        for value in stored
        if value is not None and value.shape and (value.name in quantized or _is_weight(value))
    )


def _is_weight(value: Value) -> bool:
    return "float" in value.dtype or ("int" in value.dtype and element_bits(value.dtype) <= 8)


def _weight_bytes(graph: Graph, read: Iterable[str]) -> int:
    return _bytes(graph, _stored(graph, read))


def _stored(graph: Graph, read: Iterable[str]) -> set[str]:
    """The constants from which the constant values among these are made."""
    found: set[str] = set()
    pending = [name for name in read if name in graph.constant_values]
    while pending:
        name = pending.pop()
        maker = graph.producer(name)
        if maker is None:
            found.add(name)
        else:
            pending += reads(maker)
    return found


_VIEWS = frozenset(["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size"])
"""Give a buffer another shape, or tell its shape"""
_LOOKUPS = frozenset(["Gather", "GatherElements", "GatherND"])
_MOVES = frozenset(
    [
        "Transpose",
        "Concat",
        "Split",
        "Slice",
        "Pad",
        "Expand",
        "Tile",
        "DepthToSpace",
        "SpaceToDepth",
        "Shape",
    ]
)
"""Copy without computing"""
