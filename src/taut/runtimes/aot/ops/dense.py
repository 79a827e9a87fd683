"""Convolution, its transpose, and matrix products: all are one kernel over different views."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taut.graph.ir import Node
from taut.kernels.base import Kernel
from taut.kernels.dense import DOTS, Dense, is_packable
from taut.kernels.expression import RESULT, Expression, Load, apply, as_float, map_views, number, with_result
from taut.kernels.map import Map
from taut.kernels.reduce import Reduce
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Deferred, Layout, Lowering, NotLowered, Pending, text_of, weights
from taut.runtimes.aot.ops.elementwise import float32_only
from taut.runtimes.aot.ops.geometry import Geometry
from taut.runtimes.aot.ops.operands import channels_last, is_depthwise, operands
from taut.runtimes.aot.ops.quantized import by_column


def _conv(lowering: Lowering, node: Node) -> None:
    found = operands(lowering, node)
    if found is None:
        raise NotLowered(f"Conv {node.name!r} reads {node.inputs[1]!r}, which is not constant")
    weight, output = found.weight, node.outputs[0]
    out = lowering.shape(output)[2:]
    order = channels_last(weight.ndim)
    geometry = Geometry.of(node, weight.shape[2:], found.x.shape[2:], out)
    border = geometry.border(found.x.shape[2:], out)
    if is_depthwise(lowering.graph, node):
        data = lowering.bordered(found.x, border, found.fill)
        deferred = _depthwise(geometry.windows(data, out), weight.astype(np.float32), data.order)
    else:
        layout = Layout(order=order if found.x_type else None, dtype=found.x_type)
        data = lowering.bordered(found.x, border, found.fill, layout)
        deferred = _convolution(geometry.windows(data, out), weight, node.attributes.get("group", 1))
    epilogue = found.result(lowering.shape(output), 1, _bias(lowering, node))
    lowering.define(output, Pending(epilogue, lowering.shape(output), deferred))


def _bias(lowering: Lowering, node: Node) -> np.ndarray | None:
    if len(node.inputs) < 3 or not node.inputs[2]:
        return None
    return lowering.known(node.inputs[2], node).astype(np.float32)


def _convolution(windows: View, weight: np.ndarray, groups: int) -> Deferred:
    """Groups are batches; a pixel sums over the window and the channels of its group."""
    rank = weight.ndim - 2
    x = windows.split(1, (groups, weight.shape[1]))
    spatial, window = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
    x = x.transpose((1, 0, *spatial, *window, 2))
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    packed = grouped.transpose((0, *range(3, 3 + rank), 2, 1))

    def axes(view: View) -> View:
        apart = view.split(1, (groups, view.shape[1] // groups))
        return apart.transpose((1, 0, *spatial, 2))

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Dense(x, packed, axes(place), 1, 1 + rank, map_views(epilogue, axes), "conv")]

    return Deferred(make, channels_last(2 + rank))


def _depthwise(windows: View, weight: np.ndarray, order: tuple[int, ...]) -> Deferred:
    """Each channel by itself: lanes over channels or over the width, as the input lies in memory."""
    rank = weight.ndim - 2
    kept, window = windows.shape[: 2 + rank], windows.shape[2 + rank :]
    by_tap = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))
    taps = weights(by_tap).transpose((rank, *range(rank)))
    taps = View(
        taps.buffer, (1, kept[1], *[1] * rank, *window), (0, taps.strides[0], *[0] * rank, *taps.strides[1:])
    )
    product = apply("mul", as_float(windows), Load(taps.broadcast(windows.shape)))

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Reduce(place, product, window, "sum", epilogue, "depthwise")]

    return Deferred(make, order)


@dataclass(frozen=True)
class _Phase:
    """Outputs of one remainder by the stride, along one axis: which taps they see, of which inputs."""

    start: int
    places: int
    taps: tuple[int, ...]
    first: int
    """Place of the input that the first output multiplies by the first tap"""


def _phases(size: int, kernel: int, stride: int, dilation: int, pad: int) -> Iterator[_Phase]:
    """Split outputs o by o mod stride: o = i stride + k dilation - pad, so taps of one phase step evenly."""
    for start in range(min(stride, size)):
        taps = tuple(k for k in range(kernel) if (start + pad - k * dilation) % stride == 0)
        first = (start + pad - taps[0] * dilation) // stride if taps else 0
        yield _Phase(start, -(-(size - start) // stride), taps, first)


def _conv_transpose(lowering: Lowering, node: Node) -> None:
    """One convolution for each remainder of the output's place by the stride (Dumoulin, arXiv 1603.07285)."""
    weight = lowering.known(node.inputs[1], node).astype(np.float32)
    shape, output = lowering.shape(node.inputs[0]), node.outputs[0]
    out = lowering.shape(output)[2:]
    rank, groups = len(out), node.attributes.get("group", 1)
    geometry = Geometry.of(node, weight.shape[2:], out, out)
    if any(d != 1 for d, s in zip(geometry.dilations, geometry.strides, strict=True) if s != 1):
        raise NotLowered(f"ConvTranspose {node.name!r} has strides and dilations")
    pads = _transposed_pads(node, geometry, shape[2:], out)
    along = [
        list(
            _phases(
                out[axis], geometry.kernel[axis], geometry.strides[axis], geometry.dilations[axis], pads[axis]
            )
        )
        for axis in range(rank)
    ]
    steps = [
        -dilation if stride == 1 else -1
        for dilation, stride in zip(geometry.dilations, geometry.strides, strict=True)
    ]
    border = (
        (0, 0),
        (0, 0),
        *[_reach(phases, step, size) for phases, step, size in zip(along, steps, shape[2:], strict=True)],
    )
    data = lowering.bordered(lowering.view(node.inputs[0]), border, 0.0)

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        kernels: list[Kernel] = []
        for phases in itertools.product(*along):
            slices = [slice(None)] * 2 + [
                slice(phase.start, None, stride)
                for phase, stride in zip(phases, geometry.strides, strict=True)
            ]

            def cut(view: View, slices: list[slice] = slices) -> View:
                return view.slice(slices)

            inner = map_views(epilogue, cut)
            if not all(phase.taps for phase in phases):
                kernels.append(Map(cut(place), with_result(inner, number(0.0)), "fill"))
                continue
            x = data
            for axis, (phase, step) in enumerate(zip(phases, steps, strict=True)):
                first = phase.first + border[2 + axis][0]
                x = x.windows(2 + axis, phase.places, len(phase.taps), 1, step, first)
            taps = weight
            for axis, phase in enumerate(phases):
                taps = np.take(taps, phase.taps, axis=2 + axis)
            grouped = taps.reshape(groups, -1, *taps.shape[1:])  # group, in, out / group, taps
            direct = grouped.swapaxes(1, 2).reshape(-1, taps.shape[0] // groups, *taps.shape[2:])
            kernels += _convolution(x, direct, groups).make(cut(place), inner)
        return kernels

    bias = _bias(lowering, node)
    shape = lowering.shape(output)
    epilogue = RESULT if bias is None else apply("add", RESULT, by_column(bias, shape, 1))
    deferred = Deferred(make, channels_last(2 + rank))
    lowering.define(output, Pending(epilogue, lowering.shape(output), deferred))


def _transposed_pads(node: Node, geometry: Geometry, spatial: Sequence[int], out: Sequence[int]) -> list[int]:
    """What is cut off before each axis; automatic padding follows from the sizes."""
    automatic = text_of(node, "auto_pad", "NOTSET")
    if "output_shape" not in node.attributes and not automatic.startswith("SAME"):
        return [before for before, _ in geometry.pads]
    extra = node.attributes.get("output_padding") or [0] * len(out)
    pads = []
    for axis, (size, made) in enumerate(zip(spatial, out, strict=True)):
        full = (
            (size - 1) * geometry.strides[axis] + (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1
        )
        total = max(0, full + extra[axis] - made)
        pads.append(total // 2 if automatic == "SAME_UPPER" else total - total // 2)
    return pads


def _reach(phases: Sequence[_Phase], step: int, size: int) -> tuple[int, int]:
    """How far outside its input an axis is read."""
    ends = [
        (phase.first + (len(phase.taps) - 1) * step, phase.first + phase.places - 1)
        for phase in phases
        if phase.taps
    ]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return max(0, -low), max(0, high - size + 1)


def _matmul(lowering: Lowering, node: Node) -> None:
    left, right = node.inputs
    if {lowering.dtype(left), lowering.dtype(right)} != {"float32"}:
        raise NotLowered(f"MatMul {node.name!r} is computed in float32 only")
    output = node.outputs[0]
    shape = lowering.shape(output)
    found = operands(lowering, node)
    if found is not None and found.x_type and found.weight.ndim == 2 and len(found.x.shape) > 1:
        epilogue = found.result(shape, len(shape) - 1, None)
        lowering.define(output, Pending(epilogue, shape, _packed_product(lowering, found.x, found.weight)))
        return
    a, b = _matrices(lowering.view(left), first=True), _matrices(lowering.plain(right), first=False)
    rows, columns = a.shape[-2], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    full = (*batch, rows, columns)
    deferred = _product(lowering, a, b, batch)

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        def matrix(view: View) -> View:
            found = view.reshape(full)
            assert found is not None, "axes of size one come and go freely"
            return found

        return deferred.make(matrix(place), map_views(epilogue, matrix))

    order = deferred.order if full == shape else tuple(range(len(shape)))
    lowering.define(output, Pending(RESULT, shape, Deferred(make, order)))


def _packed_product(lowering: Lowering, x: View, matrix: np.ndarray) -> Deferred:
    """x (..., k) times a constant matrix (k, n) in an arithmetic that takes in neighbours of x at once."""
    dtype = DOTS[str(matrix.dtype)].x
    if x.dtype != dtype or not is_packable(x, 1):
        x = lowering.ordered(x, tuple(range(len(x.shape))), dtype)
    return Deferred(
        lambda place, epilogue: [Dense(x, matrix, place, 0, len(x.shape) - 1, epilogue, "matmul")],
        tuple(range(len(x.shape))),
    )


def _matrices(view: View, *, first: bool) -> View:
    """A value as matrices; a vector is a row on the left and a column on the right."""
    if len(view.shape) == 1:
        view = view.split(0, (1, view.shape[0]) if first else (view.shape[0], 1))
    return view


def _product(lowering: Lowering, a: View, b: View, batch: tuple[int, ...]) -> Deferred:
    """a (batch, m, k) times b (batch, k, n): a constant goes to the side of the weights."""
    content_a, content_b = a.buffer.content, b.buffer.content
    turn = (*range(len(batch)), len(batch) + 1, len(batch))
    if content_a is not None and content_b is None:
        inner = _product(lowering, _turned(b), _turned(a), batch)

        def make_turned(place: View, epilogue: Expression) -> Sequence[Kernel]:
            return inner.make(place.transpose(turn), map_views(epilogue, lambda view: view.transpose(turn)))

        return Deferred(make_turned, tuple(turn[axis] for axis in inner.order))
    x = a.broadcast((*batch, *a.shape[-2:]))
    if content_b is not None and math.prod(b.shape[:-2]) == 1:
        # One matrix for all: every batch is more rows of it.
        matrix = _content(b).reshape(b.shape[-2:])
        return Deferred(
            lambda place, epilogue: [Dense(x, matrix, place, 0, len(batch) + 1, epilogue, "matmul")],
            _in_order(batch),
        )
    if content_b is None and b.strides[-1] != 1 and b.shape[-1] > 1:
        b = lowering.ordered(b, tuple(range(len(b.shape))))
    w: View | np.ndarray = b.broadcast((*batch, *b.shape[-2:]))
    if content_b is not None:
        w = np.broadcast_to(_content(b), (*batch, *b.shape[-2:]))
    return Deferred(
        lambda place, epilogue: [Dense(x, w, place, len(batch), 1, epilogue, "matmul")], _in_order(batch)
    )


def _in_order(batch: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(len(batch) + 2))


def _turned(view: View) -> View:
    return view.transpose((*range(len(view.shape) - 2), len(view.shape) - 1, len(view.shape) - 2))


def _content(view: View) -> np.ndarray:
    """The constant behind a view."""
    assert view.buffer.content is not None
    flat = view.buffer.content.reshape(-1)
    strides = [stride * flat.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, strides)


def _gemm(lowering: Lowering, node: Node) -> None:
    if {lowering.dtype(name) for name in node.inputs[:2]} != {"float32"}:
        raise NotLowered(f"Gemm {node.name!r} is computed in float32 only")
    shape = lowering.shape(node.outputs[0])
    found = operands(lowering, node)
    if found is not None and found.x_type and not node.attributes.get("transA", 0):
        epilogue = found.result(shape, 1, None)
        weight = found.weight.T if node.attributes.get("transB", 0) else found.weight
        deferred = _packed_product(lowering, found.x, np.ascontiguousarray(weight))
    else:
        a, b = lowering.view(node.inputs[0]), lowering.plain(node.inputs[1])
        a = _turned(a) if node.attributes.get("transA", 0) else a
        b = _turned(b) if node.attributes.get("transB", 0) else b
        epilogue, deferred = RESULT, _product(lowering, a, b, ())
    if (alpha := node.attributes.get("alpha", 1.0)) != 1.0:
        epilogue = apply("mul", epilogue, number(alpha))
    if len(node.inputs) > 2 and node.inputs[2]:
        added = lowering.expression(node.inputs[2], shape)
        if (beta := node.attributes.get("beta", 1.0)) != 1.0:
            added = apply("mul", added, number(beta))
        epilogue = apply("add", epilogue, added)
    lowering.define(node.outputs[0], Pending(epilogue, shape, deferred))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Conv": float32_only(_conv),
    "ConvTranspose": float32_only(_conv_transpose),
    "MatMul": _matmul,
    "Gemm": _gemm,
}
