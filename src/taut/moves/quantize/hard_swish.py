"""HardSwish in a form that can run on integers: x * HardSigmoid(x).

Exporters write it as one node or as the four of x * clip(x + 3, 0, 6) / 6 (Howard et al., arXiv 1905.02244);
either way it would be a stretch of floats between two integer kernels. With HardSigmoid set apart, both
factors have an integer kernel. OpenVINO fuses the other forms, and not this one: it is left alone there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from taut.graph import Editor, Graph, Node
from taut.graph.shapes import with_shapes
from taut.moves.quantize.operators import only_reader

_ATTRIBUTES = {"alpha": 1 / 6, "beta": 0.5}


@dataclass(frozen=True)
class _Chain:
    """The four nodes of x * clip(x + 3, 0, 6) / 6."""

    shift: Node
    clip: Node
    product: Node
    division: Node

    @property
    def value(self) -> str:
        return next(name for name in self.product.inputs if name != self.clip.outputs[0])


def with_hard_sigmoids(graph: Graph) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """Return the graph with every HardSwish as HardSigmoid and Mul, and what became of the nodes left out."""
    edit = Editor(graph)
    names: dict[str, tuple[str, ...]] = {}
    for node in graph:
        if node.op == "HardSwish":
            name, gate = edit.fresh(f"{node.name}_gate"), edit.fresh(f"{node.name}_gate_out")
            edit.add("HardSigmoid", node.inputs, (gate,), name=name, attributes=_ATTRIBUTES)
            edit.change(node.name, op="Mul", inputs=(node.inputs[0], gate))
    for chain in _chains(graph):
        edit.change(chain.clip.name, op="HardSigmoid", inputs=(chain.value,), attributes=_ATTRIBUTES)
        edit.change(chain.product.name, outputs=chain.division.outputs)
        for removed, kept in ((chain.shift, chain.clip), (chain.division, chain.product)):
            edit.remove(removed.name)
            names[removed.name] = (kept.name,)
    return with_shapes(edit.graph()), names


def _chains(graph: Graph) -> Iterator[_Chain]:
    for clip in graph:
        shift = graph.producer(clip.inputs[0]) if clip.op == "Clip" else None
        product = only_reader(graph, clip.outputs[0])
        division = None if product is None else only_reader(graph, product.outputs[0])
        if shift is None or product is None or division is None:
            continue
        chain = _Chain(shift, clip, product, division)
        if only_reader(graph, shift.outputs[0]) is clip and _is_hard_swish(graph, chain):
            yield chain


def _is_hard_swish(graph: Graph, chain: _Chain) -> bool:
    return (
        [_number(graph, name) for name in chain.clip.inputs[1:]] == [0, 6]
        and chain.shift.op == "Add"
        and 3 in [_number(graph, name) for name in chain.shift.inputs]
        and chain.product.op == "Mul"
        and chain.value in chain.shift.inputs
        and _is_a_sixth(graph, chain.division)
    )


def _is_a_sixth(graph: Graph, node: Node) -> bool:
    numbers = [_number(graph, name) for name in node.inputs]
    if node.op == "Div":
        return numbers[1] == 6
    return node.op == "Mul" and any(number is not None and np.isclose(number, 1 / 6) for number in numbers)


def _number(graph: Graph, name: str) -> float | None:
    """A constant of one element."""
    array = graph.constants.get(name)
    return float(array.reshape(())) if array is not None and array.size == 1 else None
