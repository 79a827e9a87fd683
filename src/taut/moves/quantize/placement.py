"""Placement: which nodes compute on integers, and what follows from it for every value around them.

Given the chosen nodes, three things are derived: which values are quantized, which of those every reader
sees quantized (they leave an integer kernel), and which values must share one scale. Nothing here looks at
data. Runtimes differ in one point: onnxruntime's integer convolution needs its result quantized too,
OpenVINO's is content with quantized inputs and may leave the result in float.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taut.core.errors import BadInput
from taut.graph import Graph, Node
from taut.moves.quantize.operators import Operands, is_carrier, operands, result, source
from taut.moves.quantize.targets import MATRIX_PRODUCTS, TARGETS, Target


@dataclass(frozen=True)
class Placement:
    """What is quantized.

    conv1 -> relu1 -> conv2, both convolutions chosen, for onnxruntime:
        nodes    {"conv1", "conv2"}
        groups   {"image": "image", "relu1_out": "relu1_out", "conv2_out": "conv2_out"}
        written  {"relu1_out", "conv2_out"}
    """

    nodes: frozenset[str]
    """That compute on integers or carry them"""
    groups: Mapping[str, str]
    """Quantized value -> the value whose parameters it shares, often itself"""
    written: frozenset[str]
    """Quantized values that all readers see quantized; of the others only ``nodes`` do"""

    def members(self, representative: str) -> tuple[str, ...]:
        return tuple(value for value, group in self.groups.items() if group == representative)


_CLAMPING = frozenset({"Clip", "HardSigmoid", "Relu"})


def quantizable_nodes(graph: Graph, target: str = "onnxruntime") -> tuple[str, ...]:
    """Return the names of all nodes that can compute on integers, in the graph's order."""
    return tuple(
        node.name
        for node in graph
        if node.op in TARGETS[target].operators and operands(graph, node) is not None
    )


def compute_nodes(graph: Graph, target: str = "onnxruntime") -> tuple[str, ...]:
    """Return the quantizable nodes that multiply matrices: those that a search decides on."""
    return tuple(name for name in quantizable_nodes(graph, target) if _multiplies(graph.by_name[name]))


def _multiplies(node: Node) -> bool:
    return node.op in MATRIX_PRODUCTS


def with_joints(graph: Graph, nodes: Iterable[str], target: str = "onnxruntime") -> tuple[str, ...]:
    """Add the additions, concatenations and poolings all of whose inputs come from chosen nodes.

    Left in float they would cost a conversion on every side, so they go along with their producers. A step
    with a constant does not: what is left of these after folding is part of some float formula.
    """
    chosen = set(nodes)
    possible = quantizable_nodes(graph, target)
    for name in possible:
        node = graph.by_name[name]
        if not _multiplies(node) and not _operands(graph, node).constants and _sources(graph, node) <= chosen:
            chosen.add(name)
    return tuple(name for name in possible if name in chosen)


def _sources(graph: Graph, node: Node) -> set[str]:
    """Names of the nodes that a node's activations come from; one from outside counts as ``""``."""
    nodes = [source(graph, value) for value in _activations(graph, node)]
    return {"" if made_by is None else made_by.name for made_by in nodes}


def place(graph: Graph, nodes: Sequence[str], target: str = "onnxruntime") -> Placement:
    """Derive the placement of chosen nodes; BadInput for one that the target cannot quantize."""
    _refuse_unknown(graph, nodes, target)
    chosen = [node for node in graph if node.name in set(nodes)]
    results = {result(graph, node): node for node in chosen}
    read = {value for node in chosen for value in _activations(graph, node)}
    carriers = _carriers(graph, sorted(read), set(results))
    read |= {carrier.inputs[0] for carrier in carriers}
    written = {output for carrier in carriers for output in carrier.outputs}
    if TARGETS[target].quantizes_results:
        optional = TARGETS[target].may_end_in_float
        written |= {value for value, node in results.items() if value in read or node.op not in optional}
    names = frozenset(node.name for node in (*chosen, *carriers))
    ties = _ties(graph, chosen, carriers, TARGETS[target])
    ordered = [value for value in _values(graph) if value in read | written]
    return Placement(names, _groups(ordered, ties), frozenset(written))


def _refuse_unknown(graph: Graph, nodes: Sequence[str], target: str) -> None:
    possible = set(quantizable_nodes(graph, target))
    for name in nodes:
        if name not in possible:
            what = f"is {graph.by_name[name].op}" if name in graph.by_name else "is not in the network"
            raise BadInput(f"node {name!r}", f"{what}, which {target} cannot quantize", "leave it out")


def _activations(graph: Graph, node: Node) -> list[str]:
    return [node.inputs[position] for position in _operands(graph, node).activations]


def _operands(graph: Graph, node: Node) -> Operands:
    found = operands(graph, node)
    assert found is not None, f"{node.name} is quantizable"
    return found


def _carriers(graph: Graph, read: Sequence[str], results: set[str]) -> list[Node]:
    """Carriers between a kernel's result and a quantized reader: they work on the codes."""
    carriers: dict[str, Node] = {}
    for value in read:
        chain: list[Node] = []
        node = graph.producer(value)
        while node is not None and value not in results and is_carrier(graph, node):
            chain.append(node)
            value = node.inputs[0]
            node = graph.producer(value)
        if value in results:
            carriers |= {carrier.name: carrier for carrier in chain}
    return [node for node in graph if node.name in carriers]


def _values(graph: Graph) -> list[str]:
    inputs = [value.name for value in graph.inputs]
    return [*inputs, *(output for node in graph for output in node.outputs)]


def _ties(graph: Graph, chosen: Sequence[Node], carriers: Sequence[Node], target: Target) -> list[list[str]]:
    """Values that must share one scale: around a carrier, and what a concatenation joins.

    Where inputs of a concatenation may differ, they share a scale only if that costs nothing: a Relu can
    vanish into the cast only while the range begins at its zero, and a Clip only while it ends at its bound.
    """
    ties = [[carrier.inputs[0], *carrier.outputs] for carrier in carriers]
    clamps = {result(graph, node): graph.producer(result(graph, node)) for node in chosen}
    for node in chosen:
        if _operands(graph, node).shares_scale:
            joined = [*_activations(graph, node), result(graph, node)]
            kinds = {_clamp(clamps.get(value)) for value in joined[:-1]}
            if not target.rescales_in_concat or kinds in ({""}, {"Relu"}):
                ties.append(joined)
    return ties


def _clamp(maker: Node | None) -> str:
    return maker.op if maker is not None and maker.op in _CLAMPING else ""


def _groups(values: Sequence[str], ties: Sequence[Sequence[str]]) -> dict[str, str]:
    """Unite tied values; each group goes by its first value."""
    groups = {value: value for value in values}
    for tie in ties:
        joined = {groups[value] for value in tie if value in groups}
        first = min(joined, key=values.index)
        groups = {value: first if group in joined else group for value, group in groups.items()}
    return groups
