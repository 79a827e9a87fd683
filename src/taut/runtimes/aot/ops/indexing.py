"""Operators that address elements by number: views where the numbers follow strides, else a look-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from taut.graph.ir import Node
from taut.kernels.expression import Expression, Load, apply, number
from taut.kernels.gather import Gather
from taut.kernels.scatter import COMBINED, Scatter
from taut.kernels.view import View, affine_steps
from taut.runtimes.aot.lowering import Lowering, NotLowered, Pending, text_of, weights


def taken(lowering: Lowering, view: View, axis: int, numbers: np.ndarray) -> View:
    """Elements along an axis by constant numbers, in the numbers' shape; copied where no strides lead."""
    positive = np.where(numbers < 0, numbers + view.shape[axis], numbers)
    if (found := view.take(axis, positive)) is not None:
        return found
    return _looked_up(lowering, view, axis, weights(positive.astype(np.int32)))


def _looked_up(lowering: Lowering, view: View, axis: int, numbers: View) -> View:
    """The places are the axes before, which have the same numbers, and those of the numbers."""
    outer, inner = view.shape[:axis], view.shape[axis + 1 :]
    places = (*outer, *numbers.shape)
    out = lowering.allocate((*places, *inner), view.dtype)
    ahead = view.transpose((axis, *range(axis), *range(axis + 1, len(view.shape))))
    x = _standing_still(ahead, 1 + axis, numbers.shape)
    rows = _standing_still(numbers.broadcast((*outer, *numbers.shape)), len(places), (1,))
    lowering.add(Gather(out, x, rows))
    return out


def _standing_still(view: View, at: int, sizes: Sequence[int]) -> View:
    """The view with new axes along which it does not move."""
    return View(
        view.buffer,
        (*view.shape[:at], *sizes, *view.shape[at:]),
        (*view.strides[:at], *[0] * len(sizes), *view.strides[at:]),
        view.offset,
    )


def _gather(lowering: Lowering, node: Node) -> None:
    view = lowering.view(node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(view.shape)
    numbers = lowering.constant(node.inputs[1])
    if numbers is not None:
        made = taken(lowering, view, axis, numbers)
    else:
        made = _looked_up(lowering, view, axis, lowering.view(node.inputs[1]))
    lowering.define(node.outputs[0], made)


def _gather_elements(lowering: Lowering, node: Node) -> None:
    """Each place has a number along one axis and stays where it is along the others."""
    data, numbers = lowering.view(node.inputs[0]), lowering.view(node.inputs[1])
    axis = node.attributes.get("axis", 0) % len(data.shape)
    out = lowering.allocate(numbers.shape, data.dtype)
    rows = _standing_still(numbers, len(numbers.shape), (1,))
    lowering.add(Gather(out, _seen_along(data, axis, numbers.shape), rows))
    lowering.define(node.outputs[0], out)


def _seen_along(data: View, axis: int, places: Sequence[int]) -> View:
    """(an axis, places) of data: an element for each number along the axis, from each place."""
    rank = len(data.shape)
    numbered = View(data.buffer, (data.shape[axis],), (data.strides[axis],), data.offset)
    along = [0 if place == axis else data.strides[place] for place in range(rank)]
    return View(numbered.buffer, (*numbered.shape, *places), (*numbered.strides, *along), numbered.offset)


def _gather_nd(lowering: Lowering, node: Node) -> None:
    """Rows of numbers that follow strides are a view; others are looked up."""
    data, batch = lowering.view(node.inputs[0]), node.attributes.get("batch_dims", 0)
    constant = lowering.constant(node.inputs[1])
    if constant is not None and not batch and (place := _addressed(data, constant)) is not None:
        lowering.define(node.outputs[0], place)
        return
    rows = lowering.view(node.inputs[1])
    out = lowering.allocate(lowering.shape(node.outputs[0]), data.dtype)
    lowering.add(Gather(out, _seen_by_rows(data, rows, batch), rows))
    lowering.define(node.outputs[0], out)


def _seen_by_rows(data: View, rows: View, batch: int) -> View:
    """(numbered, places, inner) of data: after the batches, a row has a number for each of the next axes."""
    depth = rows.shape[-1]
    numbered = range(batch, batch + depth)
    turned = data.transpose((*numbered, *range(batch), *range(batch + depth, len(data.shape))))
    return _standing_still(turned, depth + batch, rows.shape[batch:-1])


def _addressed(data: View, rows: np.ndarray) -> View | None:
    """The elements that rows of numbers address, or None where no strides lead there."""
    depth = rows.shape[-1]
    sizes, strides = np.array(data.shape[:depth]), np.array(data.strides[:depth])
    positive = np.where(rows < 0, rows + sizes, rows)
    offsets = (positive * strides).sum(axis=-1)
    steps = affine_steps(offsets)
    if steps is None:
        return None
    first = int(offsets.reshape(-1)[0]) if offsets.size else 0
    return View(
        data.buffer,
        (*offsets.shape, *data.shape[depth:]),
        (*steps, *data.strides[depth:]),
        data.offset + first,
    )


def _scatter_nd(lowering: Lowering, node: Node) -> None:
    """Updates are computed where their numbers lead, if strides do; else they are put there one by one."""
    combine, constant = _combine(node), lowering.constant(node.inputs[1])
    data = _changeable(lowering, node.inputs[0])
    place = _addressed(data, constant) if constant is not None else None
    if place is not None and combine == "none" and _is_injective(place):
        lowering.write(node.inputs[2], place)
    else:
        rows, updates = lowering.view(node.inputs[1]), lowering.plain(node.inputs[2])
        lowering.add(Scatter(data, _seen_by_rows(data, rows, 0), rows, updates, combine))
    lowering.define(node.outputs[0], data)


def _scatter_elements(lowering: Lowering, node: Node) -> None:
    combine = _combine(node)
    data = _changeable(lowering, node.inputs[0])
    numbers, updates = lowering.view(node.inputs[1]), lowering.plain(node.inputs[2])
    axis = node.attributes.get("axis", 0) % len(data.shape)
    rows = _standing_still(numbers, len(numbers.shape), (1,))
    lowering.add(Scatter(data, _seen_along(data, axis, numbers.shape), rows, updates, combine))
    lowering.define(node.outputs[0], data)


def _combine(node: Node) -> str:
    combine = text_of(node, "reduction", "none")
    if combine not in COMBINED:
        raise NotLowered(f"{node.op} {node.name!r} has the reduction {combine!r}")
    return combine


def _changeable(lowering: Lowering, name: str) -> View:
    """The value to be overwritten: in place if nothing else reads it and no two elements are one."""
    data = lowering.plain(name)
    return data if lowering.owns(name) and _is_injective(data) else lowering.ordered(data)


def _is_injective(view: View) -> bool:
    """Whether each element surely lies by itself: every stride steps over all that lies within."""
    reach = 0
    axes = [(abs(stride), size) for stride, size in zip(view.strides, view.shape, strict=True) if size > 1]
    for stride, size in sorted(axes):
        if stride <= reach:
            return False
        reach += stride * (size - 1)
    return True


def _one_hot(lowering: Lowering, node: Node) -> None:
    """A comparison of each number with its place; numbers below zero count from the end."""
    shape, numbers = lowering.shape(node.outputs[0]), lowering.view(node.inputs[0])
    axis = node.attributes.get("axis", -1) % len(shape)
    spread = Load(_standing_still(numbers, axis, (shape[axis],)))

    def is_at(first: int) -> Expression:
        places = np.arange(first, first + shape[axis]).astype(numbers.dtype)
        along = weights(places).split(0, (shape[axis], *[1] * (len(shape) - 1 - axis)))
        return apply("equal", spread, Load(along.broadcast(shape)))

    values = lowering.view(node.inputs[2])
    off, on = (Load(values.at(0, place).broadcast(shape)) for place in (0, 1))
    is_on = is_at(0)
    if not numbers.dtype.startswith("u"):
        is_on = apply("or", is_on, is_at(-shape[axis]))
    lowering.define(node.outputs[0], Pending(apply("where", is_on, on, off), shape))


def _trilu(lowering: Lowering, node: Node) -> None:
    """What lies on the other side of the diagonal is zero."""
    shape, dtype = lowering.shape(node.outputs[0]), lowering.dtype(node.outputs[0])
    diagonal = 0
    if len(node.inputs) > 1 and node.inputs[1]:
        diagonal = int(lowering.known(node.inputs[1], node).item())
    ones = np.ones(shape[-2:], bool)
    kept = np.triu(ones, diagonal) if node.attributes.get("upper", 1) else np.tril(ones, diagonal)
    mask = Load(weights(kept).broadcast(shape))
    x = lowering.expression(node.inputs[0], shape)
    lowering.define(node.outputs[0], Pending(apply("where", mask, x, number(0, dtype), dtype=dtype), shape))


def _reverse_sequence(lowering: Lowering, node: Node) -> None:
    """Each batch has constant numbers along the time."""
    view = lowering.view(node.inputs[0])
    lengths = lowering.known(node.inputs[1], node)
    batch, time = node.attributes.get("batch_axis", 1), node.attributes.get("time_axis", 0)
    steps = np.arange(view.shape[time])
    numbers = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    others = [axis for axis in range(len(view.shape)) if axis not in (batch, time)]
    out = lowering.allocate(view.shape, view.dtype)
    ahead = _standing_still(view.transpose((time, batch, *others)), 2, (view.shape[time],))
    rows = weights(numbers.astype(np.int32)[..., None])
    lowering.add(Gather(out.transpose((batch, time, *others)), ahead, rows))
    lowering.define(node.outputs[0], out)


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterND": _scatter_nd,
    "ScatterElements": _scatter_elements,
    "Scatter": _scatter_elements,
    "OneHot": _one_hot,
    "Trilu": _trilu,
    "ReverseSequence": _reverse_sequence,
}
