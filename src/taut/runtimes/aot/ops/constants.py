"""Operators whose results follow from shapes and constants, where folding left them: they are weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from taut.graph.ir import Node
from taut.runtimes.aot.lowering import Lowering, weights


def _constant_of_shape(lowering: Lowering, node: Node) -> None:
    """One element for all."""
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32))).reshape(())
    lowering.define(node.outputs[0], weights(value).broadcast(lowering.shape(node.outputs[0])))


def _range(lowering: Lowering, node: Node) -> None:
    start, step = (lowering.known(node.inputs[place], node).item() for place in (0, 2))
    (count,) = lowering.shape(node.outputs[0])
    content = (start + step * np.arange(count)).astype(lowering.dtype(node.outputs[0]))
    lowering.define(node.outputs[0], weights(content))


def _eye_like(lowering: Lowering, node: Node) -> None:
    rows, columns = lowering.shape(node.outputs[0])
    eye = np.eye(rows, columns, node.attributes.get("k", 0), lowering.dtype(node.outputs[0]))
    lowering.define(node.outputs[0], weights(eye))


def _shape(lowering: Lowering, node: Node) -> None:
    stretch = slice(node.attributes.get("start", 0), node.attributes.get("end"))
    lowering.define(node.outputs[0], weights(np.array(lowering.shape(node.inputs[0])[stretch], np.int64)))


def _size(lowering: Lowering, node: Node) -> None:
    count = np.array(np.prod(lowering.shape(node.inputs[0]), dtype=np.int64))
    lowering.define(node.outputs[0], weights(count))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "EyeLike": _eye_like,
    "Shape": _shape,
    "Size": _size,
}
