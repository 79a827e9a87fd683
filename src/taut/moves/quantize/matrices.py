"""Matrix products with a constant matrix: what dynamic and weight-only quantization work on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from taut.core.errors import BadInput
from taut.graph import Graph, Node
from taut.graph.costs import node_costs
from taut.moves.quantize.operators import operands

# Below it the products are too small a share of the work for a faster one to show.
_HEAVY_SHARE = 0.5


def matrix(graph: Graph, node: Node) -> np.ndarray | None:
    """Return the constant matrix (in, out) of a MatMul or Gemm; None for any other node."""
    if node.op not in ("Gemm", "MatMul") or node.attributes.get("transA", 0):
        return None
    found = operands(graph, node)
    if found is None or found.weight is None:
        return None
    weight = graph.constants[node.inputs[found.weight]]
    if weight.ndim != 2:
        return None
    return weight.T if node.attributes.get("transB", 0) else weight


def is_matrix_heavy(graph: Graph) -> bool:
    """Tell whether most of the multiplications are products with constant matrices."""
    costs = node_costs(graph)
    heavy = sum(cost.macs for cost in costs if matrix(graph, graph.by_name[cost.node]) is not None)
    return heavy > _HEAVY_SHARE * sum(cost.macs for cost in costs)


def chosen_nodes(graph: Graph, nodes: Sequence[str] | None, possible: Iterable[str], what: str) -> list[Node]:
    """Return the named nodes, all possible ones for None; BadInput for a name that is not possible."""
    names = list(possible)
    for name in nodes or ():
        if name not in names:
            raise BadInput(f"node {name!r}", f"has no constant {what}", "leave it out")
    return [graph.by_name[name] for name in (names if nodes is None else nodes)]
