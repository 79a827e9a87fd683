"""Folding of constant factors and summands into the layer before them.

Exporters leave a bias as an Add behind its layer, and learned scales as Mul and Add behind a convolution.
Such a step is a batch normalisation of mean 0 and variance 1, so it is written as one and folded like one.
"""

from __future__ import annotations

import numpy as np

from taut.graph.editor import Editor
from taut.graph.fold import fold_batch_norm
from taut.graph.ir import Graph, Node

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_STEPS = frozenset({"Add", "Div", "Mul", "Sub"})


def fold_affine(graph: Graph) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """Fold Add, Sub, Mul and Div by a constant, and batch norms, into the Conv, ConvTranspose or Gemm before.

    Only constants of one number, or of one per channel. Needs the types of values (``with_shapes``). Returns
    the folded nodes' names as well: step -> (layer,).
    """
    names: dict[str, tuple[str, ...]] = {}
    while True:
        graph, folded = fold_batch_norm(_with_steps_as_norms(graph))
        if not folded:
            return graph, names
        names |= folded


def _with_steps_as_norms(graph: Graph) -> Graph:
    edit = Editor(graph)
    for node in graph:
        affine = _affine(graph, node) if node.op in _STEPS and node.domain == "" else None
        if affine is not None:
            value, scale, shift = affine
            statistics = (scale, shift, np.zeros_like(scale), np.ones_like(scale))
            names = [
                edit.set_constant(edit.fresh(f"{node.name}.{role}"), array)
                for role, array in zip(("scale", "shift", "mean", "variance"), statistics, strict=True)
            ]
            attributes = {"epsilon": 0.0}
            edit.change(node.name, op="BatchNormalization", inputs=(value, *names), attributes=attributes)
    return edit.graph()


def _affine(graph: Graph, node: Node) -> tuple[str, np.ndarray, np.ndarray] | None:
    """The value a layer gives, and the step on it as scale and shift per channel; None where it is none."""
    left, right = node.inputs
    is_right = right in graph.constants
    value, constant = (left, graph.constants[right]) if is_right else (right, graph.constants.get(left))
    shape = _shape_of_layer(graph, value, node.outputs[0])
    if constant is None or shape is None or (node.op == "Div" and not is_right):
        return None
    numbers = _per_channel(constant, shape)
    if numbers is None or (node.op == "Div" and not numbers.all()):
        return None
    return (value, *_scale_and_shift(node.op, numbers, is_right))


def _scale_and_shift(op: str, numbers: np.ndarray, is_right: bool) -> tuple[np.ndarray, np.ndarray]:
    zeros, ones = np.zeros_like(numbers), np.ones_like(numbers)
    if op == "Mul":
        return numbers, zeros
    if op == "Div":
        return 1 / numbers, zeros
    if op == "Add":
        return ones, numbers
    return (ones, -numbers) if is_right else (-ones, numbers)


def _shape_of_layer(graph: Graph, value: str, result: str) -> tuple[int, ...] | None:
    """Shape of what a layer of constant weights gives to one reader that keeps it."""
    layer, before, after = graph.producer(value), graph.value(value), graph.value(result)
    if layer is None or layer.op not in _LAYERS or graph.is_output(value) or before is None or after is None:
        return None
    is_constant = all(name in graph.constants for name in layer.inputs[1:] if name)
    is_only_reader = len(graph.consumers(value)) == 1
    is_kept = before.is_static and before.shape == after.shape
    return before.static_shape if is_constant and is_only_reader and is_kept else None


def _per_channel(constant: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The constant as (channels,), if it is one number or one per channel along axis 1."""
    if constant.ndim > len(shape):
        return None
    aligned = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    if any(size != 1 for axis, size in enumerate(aligned.shape) if axis != 1):
        return None
    return np.broadcast_to(aligned.reshape(-1), shape[1:2]).copy()
