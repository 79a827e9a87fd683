"""How channels pass through operators that move, join or cut axes: (tracer, node) -> layouts of the outputs.

A reshape that splits an axis into several cannot keep every position apart: one of the new axes is followed
and the others become fixed, so positions that differ only along those are cut together. In attention the
followed axis is the heads; elsewhere (channel shuffle, decomposed group norm) the one that leaves most units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from taut.graph.ir import Node
from taut.moves.prune.trace import Axis, Layout, Tracer

# Operators that lie between the split into heads and the product of two activations.
_WITHIN_ATTENTION = {
    "Add",
    "Cast",
    "Div",
    "Gather",
    "Identity",
    "Mul",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
}
_WITHIN_ATTENTION |= {"Softmax", "Unsqueeze"}


def reshape(trace: Tracer, node: Node) -> list[Layout]:
    """Reshape, Flatten, Squeeze, Unsqueeze: block by block of axes with equal products."""
    if node.op == "Reshape" and trace.constant(node, 1) is None:
        return trace.freeze_node(node, f"is reshaped by {node.name!r} to a computed shape")
    data = trace.layout(node.inputs[0])
    old, new = trace.shape(node.inputs[0]) or (), trace.shape(node.outputs[0]) or ()
    blocks = _matching_blocks(old, new)
    if blocks is None:
        trace.freeze(data, f"is regrouped by {node.op} {node.name!r} with sizes that are not known")
        return [(None,) * len(new)]
    layout: list[Axis] = []
    for before, after in blocks:
        flat = _merged(trace, node, data[before], old[before])
        layout += [None] * len(new[after]) if flat is None else _divided(trace, node, flat, new[after])
    return [tuple(layout)]


def _matching_blocks(
    old: Sequence[int | None], new: Sequence[int | None]
) -> list[tuple[slice, slice]] | None:
    """Pair the shortest runs of axes that hold equally many elements; None where sizes are unknown.

    (1, 8, 4, 4) -> (1, 128) pairs [1] with [1] and [8, 4, 4] with [128].
    """
    if None in old or None in new or 0 in old:
        return None
    blocks = []
    i = j = 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while _product(old[start_i:i]) != _product(new[start_j:j]):
            if _product(old[start_i:i]) < _product(new[start_j:j]):
                i += 1
            else:
                j += 1
        blocks.append((slice(start_i, i), slice(start_j, j)))
    return blocks


def _product(sizes: Sequence[int | None]) -> int:
    return math.prod(size for size in sizes if size is not None)


def _merged(trace: Tracer, node: Node, axes: Layout, sizes: Sequence[int | None]) -> Axis:
    """Atoms of the block's elements in memory order; None where no axis is followed."""
    followed = [index for index, atoms in enumerate(axes) if atoms is not None]
    if len(followed) > 1:
        trace.freeze(axes, f"is merged with another channel axis by {node.op} {node.name!r}")
        return None
    if not followed:
        return None
    atoms = axes[followed[0]]
    assert atoms is not None
    spread = atoms.reshape([-1 if index == followed[0] else 1 for index in range(len(axes))])
    return np.broadcast_to(spread, [size or 1 for size in sizes]).reshape(-1)


def _divided(trace: Tracer, node: Node, flat: np.ndarray, sizes: Sequence[int | None]) -> list[Axis]:
    """Put the block's atoms on the one new axis that is followed, tying what differs along the others."""
    if not sizes:
        return []
    cube = trace.atoms.roots(flat).reshape([size or 1 for size in sizes])
    axis = _followed_axis(trace, node, cube)
    line = _line(cube, axis)
    trace.atoms.tie(cube, line)
    return [line.ravel() if other == axis else None for other in range(cube.ndim)]


def _followed_axis(trace: Tracer, node: Node, cube: np.ndarray) -> int:
    wide = [axis for axis in range(cube.ndim) if cube.shape[axis] > 1]
    exact = [axis for axis in wide if (cube == _line(cube, axis)).all()]
    if exact or not wide:
        return (exact or [0])[0]
    if len(wide) > 1 and _feeds_attention(trace, node):
        return max(wide[:-1], key=lambda axis: cube.shape[axis])
    return max(wide, key=lambda axis: _units_along(cube, axis))


def _line(cube: np.ndarray, axis: int) -> np.ndarray:
    """The elements along one axis at position 0 of the others; the rank is kept."""
    return cube[tuple(slice(None) if other == axis else slice(0, 1) for other in range(cube.ndim))]


def _units_along(cube: np.ndarray, axis: int) -> int:
    """How many units remain if an axis is followed: positions that share an atom become one."""
    distinct, atoms = np.unique(cube, return_inverse=True)
    positions = np.indices(cube.shape, sparse=True)[axis] + len(distinct)
    edges = (atoms.ravel(), np.broadcast_to(positions, cube.shape).ravel())
    count = len(distinct) + cube.shape[axis]
    return int(connected_components(coo_array((np.ones(cube.size), edges), (count, count)))[0])


def _feeds_attention(trace: Tracer, node: Node) -> bool:
    """Whether a reshape's result reaches a product of two activations before it is regrouped again."""
    waiting = [node]
    seen: set[str] = set()
    while waiting:
        for value in waiting.pop().outputs:
            for reader in trace.graph.consumers(value):
                if reader.op == "MatMul" and not any(name in trace.graph.constants for name in reader.inputs):
                    return True
                is_passed = reader.op in _WITHIN_ATTENTION or _keeps_wide_axes(trace, reader)
                if is_passed and reader.name not in seen:
                    seen.add(reader.name)
                    waiting.append(reader)
    return False


def _keeps_wide_axes(trace: Tracer, node: Node) -> bool:
    """Whether a Reshape only adds or removes axes of size 1."""
    shapes = [trace.shape(name) or () for name in (node.inputs[0], node.outputs[0])]
    before, after = ([size for size in shape if size != 1] for shape in shapes)
    return node.op == "Reshape" and before == after


def transpose(trace: Tracer, node: Node) -> list[Layout]:
    """Transpose: axes change places."""
    data = trace.layout(node.inputs[0])
    order = node.attributes.get("perm", range(len(data))[::-1])
    return [tuple(data[axis] for axis in order)]


def concat(trace: Tracer, node: Node) -> list[Layout]:
    """Concat: positions line up one input after the other; the other axes are tied."""
    layouts = [trace.layout(name) for name in node.inputs]
    rank = len(layouts[0])
    axis = int(node.attributes["axis"]) % rank
    out = [_tied_axis(trace, node, other, layouts) for other in range(rank)]
    if any(layout[axis] is not None for layout in layouts):
        out[axis] = np.concatenate([_filled(trace, node, name, axis) for name in node.inputs])
    return [tuple(out)]


def _tied_axis(trace: Tracer, node: Node, axis: int, layouts: Sequence[Layout]) -> Axis:
    if axis == int(node.attributes["axis"]) % len(layouts[0]):
        return None
    if all(layout[axis] is None for layout in layouts):
        return None
    constants = [name for name in node.inputs if name in trace.graph.constants]
    moving = [
        layout[axis] for name, layout in zip(node.inputs, layouts, strict=True) if name not in constants
    ]
    common = moving[0] if moving else None
    for other in moving[1:]:
        common = trace.tie(node, common, other)
    for name in constants:
        trace.tie_constant(node, name, axis, common)
    return common


def _filled(trace: Tracer, node: Node, name: str, axis: int) -> np.ndarray:
    """The axis' atoms; frozen ones where the axis is fixed."""
    atoms = trace.layout(name)[axis]
    if atoms is not None:
        return atoms
    made = trace.atoms.new((trace.shape(name) or ())[axis] or 1)
    trace.freeze((made,), f"is fixed where it joins at {node.op} {node.name!r}")
    return made


def split(trace: Tracer, node: Node) -> list[Layout]:
    """Split: each output gets its stretch of the axis."""
    data = trace.layout(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(data)
    atoms = data[axis]
    if atoms is None:
        return [data for _ in node.outputs]
    sizes = [(trace.shape(name) or (None,) * len(data))[axis] for name in node.outputs]
    if None in sizes or (len(node.inputs) > 1 and node.inputs[1] and trace.constant(node, 1) is None):
        return trace.freeze_node(node, f"is split by {node.name!r} into computed sizes")
    pieces = np.split(atoms, np.cumsum([size or 0 for size in sizes])[:-1])
    return [(*data[:axis], piece, *data[axis + 1 :]) for piece in pieces]


def slice_(trace: Tracer, node: Node) -> list[Layout]:
    """Slice: a followed axis may be cut to one stretch; other axes are left to the operator."""
    data = list(trace.layout(node.inputs[0]))
    if all(atoms is None for atoms in data):
        return [tuple(data)]
    stretches = slices(node, [trace.constant(node, index) for index in range(1, len(node.inputs))], len(data))
    if stretches is None:
        return trace.freeze_node(node, f"is sliced by {node.name!r} in a form without a rule")
    for axis, stretch in stretches.items():
        atoms = data[axis]
        if atoms is not None and (stretch.step or 1) != 1:
            return trace.freeze_node(node, f"is sliced with steps by {node.name!r}")
        data[axis] = None if atoms is None else atoms[stretch]
    return [tuple(data)]


def slices(node: Node, arguments: Sequence[np.ndarray | None], rank: int) -> dict[int, slice] | None:
    """Axis -> slice of a Slice node with constant arguments (starts, ends, axes, steps); None otherwise."""
    if len(arguments) < 2 or any(
        array is None and name for array, name in zip(arguments, node.inputs[1:], strict=True)
    ):
        return None
    starts, ends = arguments[0], arguments[1]
    assert starts is not None and ends is not None
    axes = arguments[2] if len(arguments) > 2 and arguments[2] is not None else np.arange(len(starts))
    steps = arguments[3] if len(arguments) > 3 and arguments[3] is not None else np.ones(len(starts), int)
    rows = zip(axes, starts, ends, steps, strict=True)
    return {int(axis) % rank: slice(int(start), int(end), int(step)) for axis, start, end, step in rows}


def pad(trace: Tracer, node: Node) -> list[Layout]:
    """Pad: zeros added along a followed axis are positions of their own that may be cut like others."""
    data = list(trace.layout(node.inputs[0]))
    amounts = trace.constant(node, 1)
    if amounts is None or len(amounts) != 2 * len(data) or (len(node.inputs) > 3 and node.inputs[3]):
        return trace.freeze_node(node, f"is padded by {node.name!r} in a form without a rule")
    for axis, atoms in enumerate(data):
        before, after = int(amounts[axis]), int(amounts[axis + len(data)])
        if atoms is None or before == after == 0:
            continue
        if min(before, after) < 0 or node.attributes.get("mode", "constant") != "constant":
            return trace.freeze_node(node, f"is padded by {node.name!r} in a form without a rule")
        data[axis] = np.concatenate([trace.atoms.new(before), atoms, trace.atoms.new(after)])
    return [tuple(data)]


def same_size_axes(trace: Tracer, node: Node) -> list[Layout]:
    """Resize, Upsample, Tile: axes that keep their size pass, a followed axis that changes is frozen."""
    data = trace.layout(node.inputs[0])
    old, new = trace.shape(node.inputs[0]) or (), trace.shape(node.outputs[0]) or ()
    keeps = [before is not None and before == after for before, after in zip(old, new, strict=True)]
    changed = [axis for axis, is_kept in zip(data, keeps, strict=True) if not is_kept]
    trace.freeze(changed, f"is resized by {node.op} {node.name!r}")
    return [tuple(axis if is_kept else None for axis, is_kept in zip(data, keeps, strict=True))]


def expand(trace: Tracer, node: Node) -> list[Layout]:
    """Expand: axes of size 1 stretch, the others pass."""
    if trace.constant(node, 1) is None:
        return trace.freeze_node(node, f"is expanded by {node.name!r} to a computed shape")
    data = trace.layout(node.inputs[0])
    rank = len(trace.shape(node.outputs[0]) or ())
    return [((None,) * (rank - len(data)) + data)]


def gather(trace: Tracer, node: Node) -> list[Layout]:
    """Gather: constant indices pick from an axis that is not followed; its place is taken by theirs."""
    data = trace.layout(node.inputs[0])
    indices = trace.shape(node.inputs[1]) or ()
    axis = int(node.attributes.get("axis", 0)) % len(data)
    is_index_followed = any(atoms is not None for atoms in trace.layout(node.inputs[1]))
    if data[axis] is not None or is_index_followed or node.inputs[0] in trace.graph.constants:
        return trace.freeze_node(node, f"is picked from by {node.op} {node.name!r}")
    return [(*data[:axis], *((None,) * len(indices)), *data[axis + 1 :])]


def depth_to_space(trace: Tracer, node: Node) -> list[Layout]:
    """DepthToSpace: the blocksize² channels that become one channel's pixels are tied."""
    data = trace.layout(node.inputs[0])
    if data[1] is None:
        return [data]
    block = int(node.attributes["blocksize"])
    is_depth_first = node.attributes.get("mode", "DCR") == "DCR"
    pixels = data[1].reshape(block * block, -1) if is_depth_first else data[1].reshape(-1, block * block).T
    trace.atoms.tie(pixels, pixels[:1])
    return [(None, pixels[0], None, None)]


def space_to_depth(trace: Tracer, node: Node) -> list[Layout]:
    """SpaceToDepth: every channel returns once per pixel of a block."""
    data = trace.layout(node.inputs[0])
    if data[1] is None:
        return [data]
    return [(None, np.tile(data[1], int(node.attributes["blocksize"]) ** 2), None, None)]
