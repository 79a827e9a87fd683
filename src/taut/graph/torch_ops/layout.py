"""Operators that move, repeat or cut elements: reshape, transpose, slice, pad, split, expand.

Reshape follows a batch of another size than the graph declares: the axis of the target that begins where
the differing axis of the input does takes the difference. ``follows_batch`` in ``to_torch`` says whether a
whole graph gives per-sample results that way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Known, Run, Site
from taut.graph.torch_ops.tensors import to_tensor


def reshape(site: Site) -> Run:
    declared, wanted = site.shape(0), _wanted_shape(site)
    is_zero_kept = site.attribute("allowzero", 0) == 1
    if declared is None or wanted is None:
        read = site.integers(1)
        return lambda x, shape: x.reshape(_target(x.shape, read(shape), is_zero_kept))
    count, target = math.prod(declared), _without_minus_one(declared, _target(declared, wanted, is_zero_kept))

    def run(x: Tensor, *_shape: Tensor) -> Tensor:
        return x.reshape(target if x.numel() == count else _followed(x.shape, declared, target))

    return run


def _followed(shape: Sequence[int], declared: Sequence[int], target: Sequence[int]) -> list[int]:
    """The target for an input one of whose axes has another size than declared."""
    places = zip(shape, declared, strict=True)
    axis = next(place for place, (size, stated) in enumerate(places) if size != stated)
    outer = math.prod(declared[:axis])
    begins = [math.prod(target[:place]) for place in range(len(target))]
    taking = begins.index(outer) if outer in begins else sum(begin < outer for begin in begins) - 1
    return [-1 if place == taking else size for place, size in enumerate(target)]


def _wanted_shape(site: Site) -> list[int] | None:
    if "shape" in site.node.attributes:  # opset 1
        return site.settings("shape", 1)
    known = site.static(1)
    return None if known is None else [int(size) for size in known]


def _target(shape: Sequence[int], wanted: Sequence[int], is_zero_kept: bool) -> list[int]:
    """A zero means: as in the input."""
    if is_zero_kept:
        return list(wanted)
    return [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]


def _without_minus_one(shape: Sequence[int], target: list[int]) -> tuple[int, ...]:
    rest = math.prod(size for size in target if size != -1)
    return tuple(math.prod(shape) // max(rest, 1) if size == -1 else size for size in target)


def flatten(site: Site) -> Run:
    axis = site.attribute("axis", 1)

    def run(x: Tensor) -> Tensor:
        place = axis + x.dim() if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:place]), math.prod(x.shape[place:]))

    return run


def squeeze(site: Site) -> Run:
    axes = site.settings("axes", 1)
    if axes is None:
        return lambda x, *_axes: x.squeeze()
    places = tuple(axes)
    return lambda x, *_axes: x.squeeze(places)


def unsqueeze(site: Site) -> Run:
    axes = site.settings("axes", 1) or []

    def run(x: Tensor, *_axes: Tensor) -> Tensor:
        rank = x.dim() + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return run


def transpose(site: Site) -> Run:
    order = site.attribute("perm")
    if order is None:
        return lambda x: x.permute(tuple(reversed(range(x.dim()))))
    return lambda x: x.permute(order)


def expand(site: Site) -> Run:
    read = site.integers(1)
    return lambda x, shape: x.expand(torch.broadcast_shapes(x.shape, read(shape)))


def tile(site: Site) -> Run:
    read = site.integers(1)
    return lambda x, repeats: x.repeat(read(repeats))


def concat(site: Site) -> Run:
    axis = site.attribute("axis", 1)
    return lambda *inputs: torch.cat(list(inputs) if axis == 0 else _with_one_batch(inputs), axis)


def _with_one_batch(inputs: Sequence[Tensor]) -> list[Tensor]:
    """A constant made for one sample (a class token) is repeated for a larger batch."""
    batch = max(x.shape[0] for x in inputs)
    return [x if x.shape[0] == batch else x.expand(batch, *x.shape[1:]) for x in inputs]


def split(site: Site) -> Run:
    """Sizes in an attribute (before opset 13) or an input, else equal parts, the last one smaller."""
    axis, sizes = site.attribute("axis", 0), site.settings("split", 1)
    if sizes is not None:
        return lambda x, *_sizes: torch.split(x, sizes, axis)
    parts = site.attribute("num_outputs", len(site.node.outputs))
    return lambda x: torch.split(x, -(-x.shape[axis] // parts), axis)


def slice_(site: Site) -> Run:
    """Starts, ends, axes, steps: attributes before opset 10, inputs since."""
    if site.opset < 10:
        lists = [site.attribute(name) for name in ("starts", "ends", "axes")]
        return lambda x: _sliced(x, *lists)
    read = [site.integers(index) for index in range(1, len(site.node.inputs))]

    def run(x: Tensor, *given: Tensor | None) -> Tensor:
        lists = zip(read, given, strict=False)
        return _sliced(x, *[None if tensor is None else reader(tensor) for reader, tensor in lists])

    return run


def _sliced(
    x: Tensor,
    *lists: Sequence[int] | None,
) -> Tensor:
    """Lists of starts, ends, axes and steps, of which the last two may be absent."""
    starts, ends, axes, steps = [*lists, None, None][:4]
    assert starts is not None and ends is not None, "a slice has starts and ends"
    places = zip(starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True)
    for start, end, axis, step in places:
        x = _cut(x, axis % x.dim(), slice(start, end, step))
    return x


def _cut(x: Tensor, axis: int, cut: slice) -> Tensor:
    """Python's slices clamp as ONNX's do; torch has none that run backwards."""
    start, stop, step = cut.indices(x.shape[axis])
    if step == 1:
        return x.narrow(axis, start, max(stop - start, 0))
    if step > 0:
        return x[(slice(None),) * axis + (slice(start, stop, step),)]
    return x.index_select(axis, torch.tensor(range(start, stop, step), dtype=torch.long, device=x.device))


def pad(site: Site) -> Run:
    """Pads and value are attributes before opset 11, inputs since; axes are an input since 18."""
    mode = site.attribute("mode", "constant")
    pads, axes = site.settings("pads", 1), site.settings("axes", 3)
    site.require(pads is not None, "sizes")
    value = site.attribute("value", 0.0) if site.opset < 11 else site.scalar(2, 0)
    count = len(pads or []) // 2
    pairs = list(zip(axes or range(count), (pads or [])[:count], (pads or [])[count:], strict=True))
    if mode == "constant":
        return lambda x, *_settings: F.pad(x, _torch_pads(x.dim(), pairs), value=value)
    return lambda x, *_settings: _pad_from_within(x, pairs, _WITHIN[mode])


def _torch_pads(rank: int, pairs: Sequence[tuple[int, int, int]]) -> list[int]:
    """Torch lists pads from the last axis to the first."""
    flat = [0] * (2 * rank)
    for axis, before, after in pairs:
        place = 2 * (rank - 1 - axis % rank)
        flat[place : place + 2] = [before, after]
    return flat


def _pad_from_within(
    x: Tensor, pairs: Sequence[tuple[int, int, int]], source: Callable[[int, int], int]
) -> Tensor:
    for axis, before, after in pairs:
        if before or after:
            size = x.shape[axis]
            places = [source(place, size) for place in range(-before, size + after)]
            x = x.index_select(axis, torch.tensor(places, dtype=torch.long, device=x.device))
    return x


def _reflected(place: int, size: int) -> int:
    period = max(2 * (size - 1), 1)
    return min(place % period, period - place % period) if size > 1 else 0


_WITHIN: dict[str, Callable[[int, int], int]] = {
    "reflect": _reflected,
    "edge": lambda place, size: min(max(place, 0), size - 1),
    "wrap": lambda place, size: place % size,
}


def shape(site: Site) -> Run | Known:
    start, end, declared = site.attribute("start", 0), site.attribute("end"), site.shape(0)
    if declared is not None:
        return Known(np.array(declared[start:end], np.int64))
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.long, device=x.device)


def size(site: Site) -> Run | Known:
    declared = site.shape(0)
    if declared is not None:
        return Known(np.array(math.prod(declared), np.int64))
    return lambda x: torch.tensor(x.numel(), device=x.device)


def constant_of_shape(site: Site) -> Run:
    read, given = site.integers(0), site.attribute("value")
    value = torch.zeros(1) if given is None else to_tensor(given)
    return lambda sizes: torch.full(read(sizes), value.item(), dtype=value.dtype, device=sizes.device)


def range_(_site: Site) -> Run:
    return lambda start, limit, delta: torch.arange(
        start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device
    )


def triangle(site: Site) -> Run:
    keep: Any = torch.triu if site.attribute("upper", 1) else torch.tril
    diagonal = int(site.scalar(1, 0))
    return lambda x, *_diagonal: keep(x, diagonal)


def depth_to_space(site: Site) -> Run:
    """Torch's pixel_shuffle takes the block from the inner channels (CRD); DCR from the outer ones."""
    block = site.attribute("blocksize")
    if site.attribute("mode", "DCR") == "CRD":
        return lambda x: F.pixel_shuffle(x, block)

    def run(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, block, block, channels // block**2, height, width)
        return x.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * block, width * block)

    return run


def space_to_depth(site: Site) -> Run:
    block = site.attribute("blocksize")
    site.require(site.attribute("mode", "DCR") == "DCR", "order of channels")

    def run(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // block, block, width // block, block)
        return x.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, height // block, width // block)

    return run


OPERATORS: dict[str, Builder] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "Tile": tile,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "Trilu": triangle,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
