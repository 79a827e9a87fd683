"""Operators that address elements by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from taut.graph.ir import Node
from taut.kernels.expression import Load
from taut.kernels.gather import Gather
from taut.kernels.map import Map
from taut.kernels.view import View, affine_steps
from taut.runtimes.aot.lowering import Lowering, NotLowered, text_of


def _gather(lowering: Lowering, node: Node) -> None:
    """Numbers that follow a stride are a view; others are looked up."""
    view = lowering.view(node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(view.shape)
    indices = lowering.constant(node.inputs[1])
    output = node.outputs[0]
    if indices is not None:
        positive = np.where(indices < 0, indices + view.shape[axis], indices)
        if (found := view.take(axis, positive)) is not None:
            lowering.define(output, found)
            return
    place = lowering.allocate(lowering.shape(output), view.dtype)
    lowering.add(Gather(place, view, lowering.view(node.inputs[1]), axis))
    lowering.define(output, place)


def _gather_nd(lowering: Lowering, node: Node) -> None:
    """Rows of numbers that follow strides are a view."""
    indices = lowering.known(node.inputs[1], node)
    place = _addressed(lowering.view(node.inputs[0]), indices)
    if place is None or node.attributes.get("batch_dims", 0):
        raise NotLowered(f"GatherND {node.name!r} reads where no strides lead")
    lowering.define(node.outputs[0], place)


def _scatter_nd(lowering: Lowering, node: Node) -> None:
    """Updates are written where their numbers say; in place where nothing else reads the data."""
    if node.attributes.get("reduction", b"none") not in (b"none", "none"):
        raise NotLowered(f"ScatterND {node.name!r} combines elements")
    name, output = node.inputs[0], node.outputs[0]
    indices = lowering.known(node.inputs[1], node)
    data = lowering.view(name)
    if not lowering.owns(name):
        data = lowering.ordered(data)
    place = _addressed(data, indices)
    if place is None:
        raise NotLowered(f"ScatterND {node.name!r} writes where no strides lead")
    lowering.write(node.inputs[2], place)
    lowering.define(output, data)


def _addressed(data: View, indices: np.ndarray) -> View | None:
    """The elements that rows of numbers address; a row has a number for each of the first axes."""
    depth = indices.shape[-1]
    sizes, strides = np.array(data.shape[:depth]), np.array(data.strides[:depth])
    positive = np.where(indices < 0, indices + sizes, indices)
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


def _resize(lowering: Lowering, node: Node) -> None:
    """Nearest by whole factors: each element is repeated."""
    view, shape = lowering.view(node.inputs[0]), lowering.shape(node.outputs[0])
    mode = node.attributes.get("mode", b"nearest")
    factors = [made // size for made, size in zip(shape, view.shape, strict=True)]
    is_whole = all(
        size * factor == made for size, factor, made in zip(view.shape, factors, shape, strict=True)
    )
    if mode not in (b"nearest", "nearest") or not is_whole or not _repeats(node):
        raise NotLowered(f"{node.op} {node.name!r} interpolates")
    spread = view
    for axis in reversed(range(len(shape))):
        spread = spread.split(axis, (view.shape[axis], 1))
    wide = spread.broadcast([size for pair in zip(view.shape, factors, strict=True) for size in pair])
    place = lowering.place_of(node.outputs[0], view.order)
    apart = place
    for axis in reversed(range(len(shape))):
        apart = apart.split(axis, (view.shape[axis], factors[axis]))
    lowering.add(Map(apart, Load(wide), "copy"))
    lowering.define(node.outputs[0], place)


def _repeats(node: Node) -> bool:
    """Whether each element is taken so many times: how coordinates are rounded decides."""

    if node.op == "Upsample":
        return True
    transform = text_of(node, "coordinate_transformation_mode", "half_pixel")
    rounding = text_of(node, "nearest_mode", "round_prefer_floor")
    if transform == "asymmetric":
        return rounding == "floor"
    return transform in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Gather": _gather,
    "GatherND": _gather_nd,
    "ScatterND": _scatter_nd,
    "Resize": _resize,
    "Upsample": _resize,
}
