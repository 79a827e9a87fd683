"""Pooling: reductions over windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from taut.graph.ir import Node
from taut.kernels.base import Kernel
from taut.kernels.expression import RESULT, Expression, Load, apply, as_float, number
from taut.kernels.reduce import Reduce
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Deferred, Lowering, NotLowered, Pending, weights
from taut.runtimes.aot.ops.elementwise import float32_only
from taut.runtimes.aot.ops.geometry import Geometry
from taut.runtimes.aot.ops.reduction import apply_power, apply_root


def _pooled(
    windows: View,
    order: tuple[int, ...],
    rank: int,
    combine: str,
    element: Callable[[Expression], Expression] = lambda x: x,
) -> Deferred:
    window = windows.shape[2 + rank :]

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Reduce(place, element(as_float(windows)), window, combine, epilogue, "pool")]

    return Deferred(make, order)


def _geometry(node: Node, spatial: Sequence[int], out: Sequence[int]) -> Geometry:
    """Windows of a pooling; whether one may begin behind the end, onnx and its runtimes do not agree on."""
    geometry = Geometry.of(node, node.attributes["kernel_shape"], spatial, out)
    for size, made, stride, (before, _) in zip(spatial, out, geometry.strides, geometry.pads, strict=True):
        if (made - 1) * stride >= size + before:
            raise NotLowered(f"{node.op} {node.name!r} has a window that begins behind the end")
    return geometry


def _max_pool(lowering: Lowering, node: Node) -> None:
    _pool(lowering, node, "max")


def _average_pool(lowering: Lowering, node: Node) -> None:
    _pool(lowering, node, "sum")


def _pool(lowering: Lowering, node: Node, combine: str) -> None:
    """Codes are pooled as they are: their order is that of what they stand for, and so is their mean."""
    name, output = node.inputs[0], node.outputs[0]
    if lowering.dtype(name) != "float32":
        raise NotLowered(f"{node.op} {node.name!r} is computed in float32 only")
    shape, made = lowering.shape(name), lowering.shape(output)
    rank = len(shape) - 2
    geometry = _geometry(node, shape[2:], made[2:])
    codes = lowering.codes.get(name)
    view = lowering.view(name) if codes is None else codes.view
    fill = _least(lowering, name) if combine == "max" else 0.0 if codes is None else codes.affine.zero
    data = lowering.bordered(view, geometry.border(shape[2:], made[2:]), fill)
    deferred = _pooled(geometry.windows(data, made[2:]), data.order, rank, combine)
    epilogue: Expression = RESULT
    if combine == "sum":
        shares, window = _shares(node, geometry, shape[2:], made), math.prod(geometry.kernel)
        if codes is not None:
            epilogue = apply("sub", epilogue, number(codes.affine.zero * window))
        epilogue = apply("mul", epilogue, shares)
        if codes is not None:
            epilogue = apply("mul", epilogue, number(codes.affine.scale))
    elif codes is not None:
        epilogue = codes.affine.numbers(epilogue)
    lowering.define(output, Pending(epilogue, made, deferred))


def _least(lowering: Lowering, name: str) -> float:
    """What is never the largest."""
    codes = lowering.codes.get(name)
    return -math.inf if codes is None else float(np.iinfo(codes.affine.dtype).min)


def _shares(node: Node, geometry: Geometry, spatial: Sequence[int], made: Sequence[int]) -> Expression:
    """One over the elements that each window counts; beyond the padding nothing is counted."""
    counts = np.ones(made[2:], np.float32)
    for axis, (size, places) in enumerate(zip(spatial, made[2:], strict=True)):
        before, after = geometry.pads[axis]
        starts = np.arange(places) * geometry.strides[axis] - before
        reads = starts[:, None] + np.arange(geometry.kernel[axis]) * geometry.dilations[axis]
        low, high = (-before, size + after) if node.attributes.get("count_include_pad", 0) else (0, size)
        count = ((reads >= low) & (reads < high)).sum(axis=1)
        counts = counts * count.reshape([-1 if other == axis else 1 for other in range(len(spatial))])
    if (counts == counts.flat[0]).all():
        return number(1 / float(counts.flat[0]))
    return Load(weights((1 / counts).astype(np.float32)).broadcast(made))


def _lp_pool(lowering: Lowering, node: Node) -> None:
    """The root of the sum of powers; zeros around add nothing."""
    name, output, order = node.inputs[0], node.outputs[0], node.attributes.get("p", 2)
    shape, made = lowering.shape(name), lowering.shape(output)
    geometry = _geometry(node, shape[2:], made[2:])
    data = lowering.bordered(lowering.view(name), geometry.border(shape[2:], made[2:]), 0.0)
    windows = geometry.windows(data, made[2:])
    deferred = _pooled(windows, data.order, len(shape) - 2, "sum", partial(apply_power, order=order))
    lowering.define(output, Pending(apply_root(RESULT, order), made, deferred))


def _local_response(lowering: Lowering, node: Node) -> None:
    """x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta"""
    name, size = node.inputs[0], node.attributes["size"]
    shape = lowering.shape(name)
    before = (size - 1) // 2
    border = ((0, 0), (before, size - 1 - before), *[(0, 0)] * (len(shape) - 2))
    data = lowering.bordered(lowering.view(name), border, 0.0)
    windows = data.windows(1, shape[1], size)
    share = number(node.attributes.get("alpha", 1e-4) / size)
    base = apply("add", apply("mul", RESULT, share), number(node.attributes.get("bias", 1.0)))
    power = apply("pow", base, number(node.attributes.get("beta", 0.75)))
    squares = _pooled(windows, data.order, len(shape) - 2, "sum", partial(apply_power, order=2))
    result = apply("div", lowering.expression(name, shape), power)
    lowering.define(node.outputs[0], Pending(result, shape, squares))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": float32_only(_lp_pool),
    "LRN": float32_only(_local_response),
}
