"""Which constants of a graph are weights.

The file does not say; the place does: kernels, matrices, embeddings, scales and biases. Single numbers in
sums and products are part of an activation's formula, and large ones in a sum are masks.
"""

from __future__ import annotations

import numpy as np

from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node
from taut.graph.torch_ops.tensors import is_float

_NORMALIZATIONS = ("Batch", "Layer", "Instance", "Group", "RMS")
_PLACES: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    **{f"{kind}Normalization": (1, 2) for kind in _NORMALIZATIONS},
    "PRelu": (1,),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3),
    "RNN": (1, 2, 3),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Einsum": (0, 1),
    "Gather": (0,),
}
"""Inputs of an operator that are weights where they are constants"""
_PASS_ON = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast"}
_PASS_ON |= {"QuantizeLinear", "DequantizeLinear"}
MASK_MAGNITUDE = 1e4
"""Masks add -inf, -1e9 or a type's smallest number (-65504 for float16); no bias is near"""


def trainable(graph: Graph) -> frozenset[str]:
    """Return names of the constants that training may change."""
    fixed = statistics(graph)
    floats = [name for name, array in graph.constants.items() if is_float(array) and name not in fixed]
    return frozenset(name for name in floats if _is_weight(graph, name, graph.constants[name]))


def statistics(graph: Graph) -> frozenset[str]:
    """Return names of the constants that hold batch norm's running mean and variance."""
    read = {name for node in _batch_norms(graph) for name in node.inputs[3:5]}
    return frozenset(read & set(graph.constants))


def with_own_statistics(graph: Graph) -> Graph:
    """Return a graph whose running statistics are read by one batch norm alone, as training updates them."""
    edit, has_changed = Editor(graph), False
    for node in _batch_norms(graph):
        inputs = list(node.inputs)
        for place in (3, 4):
            name = inputs[place]
            if name in graph.constants and _count_readers(graph, name) > 1:
                inputs[place] = edit.set_constant(edit.fresh(name), graph.constants[name].copy())
                has_changed = True
        edit.change(node.name, inputs=tuple(inputs))
    return edit.graph() if has_changed else graph


def _batch_norms(graph: Graph) -> list[Node]:
    return [node for node in graph if node.op == "BatchNormalization" and not node.domain]


def _count_readers(graph: Graph, name: str) -> int:
    return sum(node.inputs.count(name) for node in graph.consumers(name))


def _is_weight(graph: Graph, name: str, array: np.ndarray) -> bool:
    return any(
        _is_weight_at(graph, node, place, array)
        for node in graph.consumers(name)
        for place, read in enumerate(node.inputs)
        if read == name
    )


def _is_weight_at(graph: Graph, node: Node, place: int, array: np.ndarray) -> bool:
    if node.op in _PASS_ON and place == 0:
        return _is_weight(graph, node.outputs[0], array)
    if node.op == "Add":
        return array.size > 1 and bool(np.all(np.abs(array) < MASK_MAGNITUDE))
    if node.op == "Mul":
        return sum(size > 1 for size in array.shape) == 1
    return place in _PLACES.get(node.op, ())
