"""Operators that move elements: arithmetic on views where strides can say it, one copy where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from taut.graph.ir import Node
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Codes, Lowering, NotLowered, Pending
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


def _pad(lowering: Lowering, node: Node) -> None:
    """Constant padding is a border; the other modes read by number."""
    rank = len(lowering.shape(node.inputs[0]))
    if "pads" in node.attributes:
        pads, value = node.attributes["pads"], node.attributes.get("value", 0.0)
    else:
        pads = lowering.known(node.inputs[1], node).tolist()
        value = (
            lowering.known(node.inputs[2], node).item() if len(node.inputs) > 2 and node.inputs[2] else 0.0
        )
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [axis % rank for axis in lowering.known(node.inputs[3], node).tolist()]
    border = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        border[axis] = (int(pads[place]), int(pads[place + len(axes)]))
    if node.attributes.get("mode", b"constant") not in (b"constant", "constant"):
        raise NotLowered(f"Pad {node.name!r} repeats elements")
    view = lowering.view(node.inputs[0])
    source = _cropped(view, border)
    kept = tuple((max(before, 0), max(after, 0)) for before, after in border)
    if not any(side for pair in kept for side in pair):
        lowering.define(node.outputs[0], source)
        return
    if source == view:
        lowering.define(node.outputs[0], lowering.bordered(view, kept, value))
        return
    raise NotLowered(f"Pad {node.name!r} crops and pads at once")


def _cropped(view: View, border: Sequence[tuple[int, int]]) -> View:
    """Negative padding cuts off."""
    slices = [
        slice(max(-before, 0), size - max(-after, 0))
        for size, (before, after) in zip(view.shape, border, strict=True)
    ]
    return view.slice(slices)


def _tile(lowering: Lowering, node: Node) -> None:
    """Repeats are a broadcast axis before each axis."""
    repeats = lowering.known(node.inputs[1], node).tolist()
    view = lowering.view(node.inputs[0])
    spread = view.reshape([size for one in view.shape for size in (1, one)])
    assert spread is not None, "axes of size one need no copy"
    wide = spread.broadcast([size for pair in zip(repeats, view.shape, strict=True) for size in pair])
    lowering.define(node.outputs[0], lowering.reshaped(wide, lowering.shape(node.outputs[0])))


def _depth_to_space(lowering: Lowering, node: Node) -> None:
    view, block = lowering.view(node.inputs[0]), node.attributes["blocksize"]
    batch, channels, height, width = view.shape
    is_column_row = node.attributes.get("mode", b"DCR") in (b"CRD", "CRD")
    inner = channels // block**2
    split = (batch, inner, block, block) if is_column_row else (batch, block, block, inner)
    apart = view.reshape((*split, height, width))
    assert apart is not None, "an axis can always be split"
    turned = apart.transpose((0, 1, 4, 2, 5, 3) if is_column_row else (0, 3, 4, 1, 5, 2))
    lowering.define(node.outputs[0], lowering.reshaped(turned, lowering.shape(node.outputs[0])))


def _space_to_depth(lowering: Lowering, node: Node) -> None:
    view, block = lowering.view(node.inputs[0]), node.attributes["blocksize"]
    batch, channels, height, width = view.shape
    apart = view.reshape((batch, channels, height // block, block, width // block, block))
    assert apart is not None, "an axis can always be split"
    turned = apart.transpose((0, 3, 5, 1, 2, 4))
    lowering.define(node.outputs[0], lowering.reshaped(turned, lowering.shape(node.outputs[0])))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Transpose": _transpose,
    "Identity": _reshape,
    "Dropout": _reshape,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Expand": _expand,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Pad": _pad,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
