"""What is largest or smallest along an axis, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from taut.graph.ir import Node
from taut.kernels.cumulate import Cumulate
from taut.kernels.expression import Load, apply, number
from taut.kernels.map import Map
from taut.kernels.rank import Rank
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Lowering, weights
from taut.runtimes.aot.ops.elementwise import float32_only


def _last(view: View, axis: int) -> View:
    """The view with an axis moved to the end."""
    return view.transpose([*(place for place in range(len(view.shape)) if place != axis), axis])


def _ranked(
    lowering: Lowering, view: View, axis: int, count: int, *, is_largest: bool, is_last: bool = False
) -> tuple[View, View]:
    """The best elements along an axis, and their numbers."""
    shape = [count if place == axis else size for place, size in enumerate(view.shape)]
    values, numbers = lowering.allocate(shape, view.dtype), lowering.allocate(shape, "int64")
    kernel = Rank(_last(values, axis), _last(numbers, axis), _last(view, axis), is_largest, is_last)
    lowering.add(kernel)
    return values, numbers


def _extreme(lowering: Lowering, node: Node) -> None:
    view = lowering.plain(node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(view.shape)
    is_last = bool(node.attributes.get("select_last_index", 0))
    _, numbers = _ranked(lowering, view, axis, 1, is_largest=node.op == "ArgMax", is_last=is_last)
    lowering.define(node.outputs[0], lowering.reshaped(numbers, lowering.shape(node.outputs[0])))


def _top_k(lowering: Lowering, node: Node) -> None:
    """Sorted even where any order would do."""
    view = lowering.plain(node.inputs[0])
    axis = node.attributes.get("axis", -1) % len(view.shape)
    count = node.attributes["k"] if len(node.inputs) < 2 else lowering.known(node.inputs[1], node).item()
    is_largest = bool(node.attributes.get("largest", 1))
    made = _ranked(lowering, view, axis, int(count), is_largest=is_largest)
    for name, place in zip(node.outputs, made, strict=False):
        if name:
            lowering.define(name, place)


def _hardmax(lowering: Lowering, node: Node) -> None:
    """One where the first of the largest lies; before opset 13 of all axes from one on."""
    view, shape = lowering.plain(node.inputs[0]), lowering.shape(node.outputs[0])
    is_old = lowering.graph.opsets[""] < 13
    axis = node.attributes.get("axis", 1 if is_old else -1) % len(shape)
    rows: Sequence[int] = shape
    if is_old:
        rows = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
        axis = 1
    _, found = _ranked(lowering, lowering.reshaped(view, rows), axis, 1, is_largest=True)
    numbers = weights(np.arange(rows[axis])).split(0, (rows[axis], *[1] * (len(rows) - 1 - axis)))
    is_there = apply("equal", Load(found.broadcast(rows)), Load(numbers.broadcast(rows)))
    out = lowering.allocate(rows, "float32")
    lowering.add(Map(out, apply("where", is_there, number(1), number(0))))
    lowering.define(node.outputs[0], lowering.reshaped(out, shape))


def _running_sum(lowering: Lowering, node: Node) -> None:
    """Backwards over reversed views."""
    view = lowering.plain(node.inputs[0])
    axis = int(lowering.known(node.inputs[1], node).item()) % len(view.shape)
    out = lowering.allocate(view.shape, view.dtype)
    step = -1 if node.attributes.get("reverse", 0) else 1
    turn = [slice(None)] * (len(view.shape) - 1) + [slice(None, None, step)]
    is_exclusive = bool(node.attributes.get("exclusive", 0))
    lowering.add(Cumulate(_last(out, axis).slice(turn), _last(view, axis).slice(turn), is_exclusive))
    lowering.define(node.outputs[0], out)


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "ArgMax": _extreme,
    "ArgMin": _extreme,
    "TopK": _top_k,
    "Hardmax": float32_only(_hardmax),
    "CumSum": _running_sum,
}
