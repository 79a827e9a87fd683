"""Operators that move elements: arithmetic on views where strides can say it, one copy where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from taut.graph.ir import Node
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Codes, Lowering, NotLowered, Pending, text_of
from taut.runtimes.aot.ops.quantized import affine_of, only_quantizer, write_codes


def _transpose(lowering: Lowering, node: Node) -> None:
    rank = len(lowering.shape(node.inputs[0]))
    axes = node.attributes.get("perm") or list(reversed(range(rank)))
    lowering.move(node.inputs[0], node.outputs[0], lambda view: view.transpose(axes))


def _reshape(lowering: Lowering, node: Node) -> None:
    """Whatever changes the shape alone, or nothing."""
    name, output = node.inputs[0], node.outputs[0]
    shape = lowering.shape(output)
    value = lowering.values.get(name)
    if isinstance(value, Pending) and value.deferred is None and value.shape == shape:
        lowering.define(output, value)
    else:
        lowering.move(name, output, lambda view: lowering.reshaped(view, shape))


def _dropout(lowering: Lowering, node: Node) -> None:
    """Nothing is dropped while a network runs."""
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training and lowering.known(training, node).item():
        raise NotLowered(f"Dropout {node.name!r} trains")
    _reshape(lowering, node)


def _expand(lowering: Lowering, node: Node) -> None:
    shape = lowering.shape(node.outputs[0])
    lowering.move(node.inputs[0], node.outputs[0], lambda view: view.broadcast(shape))


def _slice(lowering: Lowering, node: Node) -> None:
    shape = lowering.shape(node.inputs[0])
    starts, ends, axes, steps = _slice_bounds(lowering, node)
    slices = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        slices[axis % len(shape)] = _python_slice(int(start), int(end), int(step), shape[axis])
    lowering.move(node.inputs[0], node.outputs[0], lambda view: view.slice(slices))


def _slice_bounds(lowering: Lowering, node: Node) -> tuple[Sequence[int], ...]:
    """Starts, ends, axes and steps, from attributes before opset 10 and from inputs since."""
    if "starts" in node.attributes:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes = node.attributes.get("axes") or list(range(len(starts)))
        return starts, ends, axes, [1] * len(starts)
    given = [lowering.known(name, node).tolist() if name else None for name in node.inputs[1:]]
    given += [None] * (4 - len(given))
    starts, ends = given[0], given[1]
    assert starts is not None and ends is not None
    return starts, ends, given[2] or list(range(len(starts))), given[3] or [1] * len(starts)


def _python_slice(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's bounds, which are cut off at the ends, as Python's."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step)


def _split(lowering: Lowering, node: Node) -> None:
    rank = len(lowering.shape(node.inputs[0]))
    axis = node.attributes.get("axis", 0) % rank
    start = 0
    for output in node.outputs:
        size = lowering.shape(output)[axis]
        slices = [slice(None)] * rank
        slices[axis] = slice(start, start + size)
        lowering.move(node.inputs[0], output, partial(View.slice, slices=slices))
        start += size


def _concat(lowering: Lowering, node: Node) -> None:
    """Inputs that are pending are computed in their slice; as codes, where the whole is to be quantized."""
    output = node.outputs[0]
    shape = lowering.shape(output)
    axis = node.attributes.get("axis", 0) % len(shape)
    quantizer = only_quantizer(lowering, output)
    affine = None if quantizer is None else affine_of(lowering.graph, quantizer)
    stored = output if quantizer is None else quantizer.outputs[0]
    place = lowering.place_of(stored, _order_of(lowering, node.inputs))
    start = 0
    for name in node.inputs:
        size = lowering.shape(name)[axis]
        slices = [slice(None)] * len(shape)
        slices[axis] = slice(start, start + size)
        if size and affine is None:
            lowering.write(name, place.slice(slices))
        elif size and affine is not None:
            write_codes(lowering, name, affine, place.slice(slices))
        start += size
    if affine is None:
        lowering.define(output, place)
    else:
        lowering.define_codes(output, Codes(place, affine))


def _order_of(lowering: Lowering, names: Sequence[str]) -> tuple[int, ...]:
    """The order of axes of the largest input."""
    largest = max(names, key=lambda name: np.prod(lowering.shape(name)))
    value = lowering.values.get(largest)
    return value.order if value is not None else tuple(range(len(lowering.shape(largest))))


def _tile(lowering: Lowering, node: Node) -> None:
    """Repeats are a broadcast axis before each axis."""
    repeats, shape = lowering.known(node.inputs[1], node).tolist(), lowering.shape(node.outputs[0])

    def tiled(view: View) -> View:
        spread = view.reshape([size for one in view.shape for size in (1, one)])
        assert spread is not None, "axes of size one need no copy"
        wide = spread.broadcast([size for pair in zip(repeats, view.shape, strict=True) for size in pair])
        return lowering.reshaped(wide, shape)

    lowering.move(node.inputs[0], node.outputs[0], tiled)


def _depth_to_space(lowering: Lowering, node: Node) -> None:
    batch, channels, height, width = lowering.shape(node.inputs[0])
    block, is_column_row = node.attributes["blocksize"], text_of(node, "mode", "DCR") == "CRD"
    inner = channels // block**2
    split = (batch, inner, block, block) if is_column_row else (batch, block, block, inner)
    turn = (0, 1, 4, 2, 5, 3) if is_column_row else (0, 3, 4, 1, 5, 2)
    _turn_split(lowering, node, (*split, height, width), turn)


def _space_to_depth(lowering: Lowering, node: Node) -> None:
    batch, channels, height, width = lowering.shape(node.inputs[0])
    block = node.attributes["blocksize"]
    split = (batch, channels, height // block, block, width // block, block)
    _turn_split(lowering, node, split, (0, 3, 5, 1, 2, 4))


def _turn_split(lowering: Lowering, node: Node, split: Sequence[int], turn: Sequence[int]) -> None:
    """Axes split, transposed and joined again."""
    shape = lowering.shape(node.outputs[0])

    def turned(view: View) -> View:
        apart = view.reshape(split)
        assert apart is not None, "an axis can always be split"
        return lowering.reshaped(apart.transpose(turn), shape)

    lowering.move(node.inputs[0], node.outputs[0], turned)


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Transpose": _transpose,
    "Identity": _reshape,
    "Dropout": _dropout,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Expand": _expand,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
