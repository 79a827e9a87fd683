"""Cutting: the graph without the removed channels, physically smaller.

Constants lose their positions, sizes written into attributes and shape constants are rewritten, and the
recorded shapes of values shrink with them. A shape constant that changes gets a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node, Value
from taut.moves.prune.groups import Channels
from taut.moves.prune.shape_rules import slices


@dataclass(frozen=True)
class Kept:
    """Which positions of every tensor stay."""

    channels: Channels
    removed: np.ndarray
    """Atoms that go"""

    @staticmethod
    def units(channels: Channels, kept: Mapping[str, Sequence[int]]) -> Kept:
        """Keep the given units of each named group; groups not named stay whole."""
        stays = {name: set(units) for name, units in kept.items()}
        removed = [
            atom
            for name, units in stays.items()
            for unit, atom in enumerate(channels.unit_atoms[name])
            if unit not in units
        ]
        return Kept(channels, np.array(removed, np.int64))

    def mask(self, name: str, axis: int) -> np.ndarray | None:
        """One bool per position; None where the axis is fixed."""
        layout = self.channels.layouts.get(name, ())
        atoms = layout[axis] if axis < len(layout) else None
        return None if atoms is None else ~np.isin(atoms, self.removed)

    def size(self, name: str, axis: int) -> int | None:
        """New size of a followed axis; None where it is fixed."""
        mask = self.mask(name, axis)
        return None if mask is None else int(mask.sum())

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        return self.channels.graph.constants.get(node.inputs[index]) if index < len(node.inputs) else None

    def static_size(self, name: str, axis: int) -> int:
        """Size before cutting."""
        value = self.channels.graph.value(name)
        assert value is not None, f"the shape of {name} was known when channels were followed"
        return value.static_shape[axis]

    def rank(self, name: str) -> int:
        return len(self.channels.layouts.get(name, ()))


@dataclass(frozen=True)
class _Change:
    """New constant inputs of a node by index, and new attributes where they change."""

    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Any] | None = None


def cut_channels(kept: Kept) -> Graph:
    """Return the graph with only what is kept."""
    edit = Editor(kept.channels.graph)
    for node in kept.channels.graph.nodes:
        if node.op in _REWRITES:
            _apply(edit, node, _REWRITES[node.op](node, kept))
    for name in kept.channels.layouts:
        _shrink(edit, name, kept)
    return edit.graph()


def _apply(edit: Editor, node: Node, change: _Change) -> None:
    inputs = list(node.inputs)
    for index, array in change.constants.items():
        inputs += [""] * (index + 1 - len(inputs))
        inputs[index] = edit.set_constant(edit.fresh(f"{node.name}.size"), array)
    attributes = node.attributes if change.attributes is None else change.attributes
    edit.change(node.name, inputs=tuple(inputs), attributes=attributes)


def _shrink(edit: Editor, name: str, kept: Kept) -> None:
    """Cut a constant, or record the smaller shape of a value."""
    graph = kept.channels.graph
    masks = {axis: mask for axis in range(kept.rank(name)) if (mask := kept.mask(name, axis)) is not None}
    if name in graph.constants:
        array = graph.constants[name]
        for axis, mask in masks.items():
            array = np.compress(mask, array, axis)
        edit.set_constant(name, array)
    elif name in graph.values and masks:
        value = graph.values[name]
        sizes = [
            int(masks[axis].sum()) if axis in masks else size for axis, size in enumerate(value.shape or ())
        ]
        edit.set_value(Value(name, value.dtype, tuple(sizes)))


def _convolution(node: Node, kept: Kept) -> _Change:
    """Cut by whole groups: as many groups as are left."""
    mask = kept.mask(node.inputs[0], 1)
    if node.name not in kept.channels.whole_groups or mask is None:
        return _Change()
    groups = int(node.attributes["group"]) * int(mask.sum()) // len(mask)
    return _Change(attributes={**node.attributes, "group": groups})


def _target_shape(node: Node, kept: Kept) -> _Change:
    """Reshape, Expand: sizes of followed axes; -1 follows by itself, and so does 0 beside the same axis."""
    shape = kept.constant(node, 1)
    if shape is None:
        return _Change()
    sizes = [_new_size(kept, node.outputs[0], axis, int(size)) for axis, size in enumerate(shape)]
    for axis in (axis for axis, size in enumerate(sizes) if size == 0):
        left = kept.size(node.outputs[0], axis)
        if left != kept.size(node.inputs[0], axis):
            sizes[axis] = left or kept.static_size(node.outputs[0], axis)
    return _if_different(1, shape, sizes)


def _new_size(kept: Kept, name: str, axis: int, size: int) -> int:
    left = kept.size(name, axis)
    return size if left is None or size <= 1 else left


def _resize(node: Node, kept: Kept) -> _Change:
    sizes = kept.constant(node, 3)
    if sizes is None:
        return _Change()
    axes = node.attributes.get("axes", range(len(sizes)))
    new = [_new_size(kept, node.outputs[0], axis, int(size)) for axis, size in zip(axes, sizes, strict=True)]
    return _if_different(3, sizes, new)


def _split(node: Node, kept: Kept) -> _Change:
    axis = int(node.attributes.get("axis", 0)) % max(1, kept.rank(node.inputs[0]))
    if kept.mask(node.inputs[0], axis) is None:
        return _Change()
    sizes = [kept.size(name, axis) or kept.static_size(name, axis) for name in node.outputs]
    rest = {key: item for key, item in node.attributes.items() if key not in ("split", "num_outputs")}
    if kept.channels.graph.opsets.get("", 1) < 13:
        return _Change(attributes={**rest, "split": sizes})
    return _Change({1: np.array(sizes, np.int64)}, rest)


def _slice(node: Node, kept: Kept) -> _Change:
    """Start and end become the numbers of positions left before them."""
    rank = kept.rank(node.inputs[0])
    arguments = [kept.constant(node, index) for index in range(1, len(node.inputs))]
    masks = [kept.mask(node.inputs[0], axis) for axis in range(rank)]
    stretches = slices(node, arguments, rank) if any(mask is not None for mask in masks) else None
    if stretches is None:
        return _Change()
    bounds = [_new_bounds(stretch, masks[axis]) for axis, stretch in stretches.items()]
    starts, ends = np.array(bounds, np.int64).T
    return _Change({1: starts, 2: ends})


def _new_bounds(stretch: slice, mask: np.ndarray | None) -> tuple[int, int]:
    if mask is None:
        return stretch.start, stretch.stop
    start, end, _ = stretch.indices(len(mask))
    return int(mask[:start].sum()), int(mask[:end].sum())


def _pad(node: Node, kept: Kept) -> _Change:
    """As many zeros before and after as there are positions left of them."""
    amounts = kept.constant(node, 1)
    if amounts is None:
        return _Change()
    new = amounts.tolist()
    rank = len(new) // 2
    for axis in range(rank):
        mask = kept.mask(node.outputs[0], axis)
        if mask is not None and (amounts[axis] or amounts[axis + rank]):
            new[axis] = int(mask[: amounts[axis]].sum())
            new[axis + rank] = int(mask[len(mask) - amounts[axis + rank] :].sum())
    return _if_different(1, amounts, new)


def _if_different(index: int, old: np.ndarray, new: Sequence[int]) -> _Change:
    return _Change() if old.tolist() == list(new) else _Change({index: np.array(new, old.dtype)})


_REWRITES: dict[str, Callable[[Node, Kept], _Change]] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Reshape": _target_shape,
    "Expand": _target_shape,
    "Resize": _resize,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
}
