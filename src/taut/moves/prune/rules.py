"""How channels pass through operators that compute: (tracer, node) -> layouts of the node's outputs.

An operator without a rule freezes whatever reaches it. Reductions and norms over a channel axis are let
through: cutting changes their value a little, as it changes every value, but breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from taut.graph.ir import Node
from taut.moves.prune.trace import Axis, Layout, Role, Tracer

Rule = Callable[[Tracer, Node], list[Layout]]


def convolution(trace: Tracer, node: Node) -> list[Layout]:
    """Conv: data (batch, in, ...), weight (out, in / groups, ...)."""
    weight = trace.constant(node, 1)
    data = trace.layout(node.inputs[0])
    if weight is None or _has_atoms(data, except_axis=1):
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r}, whose weight is computed")
    groups = int(node.attributes.get("group", 1))
    out_channels, channels_per_group = weight.shape[:2]
    name = node.inputs[1]
    if groups > 1 and data[1] is not None and groups >= channels_per_group:
        made = _tie_whole_groups(trace, node, data[1].reshape(groups, channels_per_group), out_channels)
        trace.tie_constant(node, name, 0, made)
    else:
        trace.tie_constant(node, name, 1, _tie_across(trace, data[1], groups), Role.CONSUMES)
        made = np.tile(trace.atoms.new(out_channels // groups), groups)
        trace.tie_constant(node, name, 0, made, Role.PRODUCES)
    _tie_bias(trace, node, made)
    return [(None, made, *data[2:])]


def transposed_convolution(trace: Tracer, node: Node) -> list[Layout]:
    """ConvTranspose: data (batch, in, ...), weight (in, out / groups, ...)."""
    weight = trace.constant(node, 1)
    data = trace.layout(node.inputs[0])
    if weight is None or _has_atoms(data, except_axis=1):
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r}, whose weight is computed")
    groups = int(node.attributes.get("group", 1))
    in_channels, out_per_group = weight.shape[:2]
    name = node.inputs[1]
    if groups > 1 and data[1] is not None and groups >= in_channels // groups:
        per_group = data[1].reshape(groups, in_channels // groups)
        made = _tie_whole_groups(trace, node, per_group, groups * out_per_group)
        trace.tie_constant(node, name, 0, data[1])
    else:
        _tie_across(trace, data[1], groups)
        trace.tie_constant(node, name, 0, data[1], Role.CONSUMES)
        per_group_made = trace.atoms.new(out_per_group)
        made = np.tile(per_group_made, groups)
        trace.tie_constant(node, name, 1, per_group_made, Role.PRODUCES)
    _tie_bias(trace, node, made)
    return [(None, made, *data[2:])]


def _tie_whole_groups(trace: Tracer, node: Node, per_group: np.ndarray, out_channels: int) -> np.ndarray:
    """Make each group of a grouped convolution one unit, inputs (groups, in) and outputs alike."""
    trace.atoms.tie(per_group, per_group[:, :1])
    trace.whole_groups.add(node.name)
    return np.repeat(per_group[:, 0], out_channels // len(per_group))


def _tie_across(trace: Tracer, channels: Axis, groups: int) -> Axis:
    """Tie the channels at equal positions of all groups, so that every group loses the same number."""
    if channels is None:
        return None
    per_group = channels.reshape(groups, -1)
    trace.atoms.tie(per_group, per_group[:1])
    return per_group[0]


def _tie_bias(trace: Tracer, node: Node, channels: np.ndarray) -> None:
    if len(node.inputs) > 2 and node.inputs[2]:
        _tie_per_channel(trace, node, node.inputs[2], channels)


def _tie_per_channel(trace: Tracer, node: Node, name: str, channels: Axis) -> None:
    """Tie a vector with one entry per channel."""
    if name in trace.graph.constants:
        trace.tie_constant(node, name, 0, channels)
    else:
        trace.tie(node, channels, trace.layout(name)[0])


def gemm(trace: Tracer, node: Node) -> list[Layout]:
    """Gemm: rows (batch, in) times a constant matrix; the addend broadcasts."""
    data = trace.layout(node.inputs[0])
    if trace.constant(node, 1) is None or node.attributes.get("transA") or _has_atoms(data, except_axis=1):
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r} in a form without a rule")
    in_axis = 1 if node.attributes.get("transB") else 0
    made = _tie_matrix(trace, node, node.inputs[1], in_axis, data[1])
    operands = [Operand("", (None, made), (None, len(made)))]
    if len(node.inputs) > 2 and node.inputs[2]:
        operands.append(_operand(trace, node.inputs[2]))
    return [_aligned(trace, node, operands)]


def matmul(trace: Tracer, node: Node) -> list[Layout]:
    """MatMul: a constant matrix makes channels; two activations tie their contracted and batch axes."""
    for index, in_axis, data_axis in ((1, 0, -1), (0, 1, -2)):
        matrix = trace.constant(node, index)
        layout = list(trace.layout(node.inputs[1 - index]))
        if matrix is not None and matrix.ndim == 2 and len(layout) >= 2:
            layout[data_axis] = _tie_matrix(trace, node, node.inputs[index], in_axis, layout[data_axis])
            return [tuple(layout)]
    left, right = (_operand(trace, name) for name in node.inputs)
    if min(len(left.layout), len(right.layout)) < 2 or left.name in trace.graph.constants:
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r} in a form without a rule")
    if right.name in trace.graph.constants:
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r} in a form without a rule")
    trace.tie(node, left.layout[-1], right.layout[-2])
    batch = _aligned(trace, node, [left.without_last(2), right.without_last(2)])
    return [(*batch, left.layout[-2], right.layout[-1])]


def _tie_matrix(trace: Tracer, node: Node, name: str, in_axis: int, channels: Axis) -> np.ndarray:
    made = trace.atoms.new(trace.graph.constants[name].shape[1 - in_axis])
    trace.tie_constant(node, name, in_axis, channels, Role.CONSUMES)
    trace.tie_constant(node, name, 1 - in_axis, made, Role.PRODUCES)
    return made


@dataclass(frozen=True)
class Operand:
    """A tensor that takes part in broadcasting."""

    name: str
    layout: Layout
    sizes: tuple[int | None, ...]

    def without_last(self, axes: int) -> Operand:
        return Operand(self.name, self.layout[:-axes], self.sizes[:-axes])


def _operand(trace: Tracer, name: str) -> Operand:
    return Operand(name, trace.layout(name), trace.shape(name) or ())


def elementwise(trace: Tracer, node: Node) -> list[Layout]:
    """One output of the inputs' broadcast shape; constants with an entry per channel are cut along."""
    return [_aligned(trace, node, [_operand(trace, name) for name in node.inputs if name])]


def _aligned(trace: Tracer, node: Node, operands: Sequence[Operand]) -> Layout:
    """Tie axes that meet under broadcasting (aligned at the last) and return the result's layout."""
    rank = max(len(operand.layout) for operand in operands)
    return tuple(_meet(trace, node, operands, back) for back in range(rank, 0, -1))


def _meet(trace: Tracer, node: Node, operands: Sequence[Operand], back: int) -> Axis:
    """Tie the axes at the position counted from the last; axes of size 1 stretch and stay out."""
    wide = [operand for operand in operands if len(operand.sizes) >= back and operand.sizes[-back] != 1]
    moving = [operand.layout[-back] for operand in wide if operand.name not in trace.graph.constants]
    if not moving:
        return None
    axis = moving[0]
    for other in moving[1:]:
        if axis is not None or other is not None:
            axis = trace.tie(node, axis, other)
    for operand in wide:
        if operand.name in trace.graph.constants:
            trace.tie_constant(node, operand.name, len(operand.layout) - back, axis)
    return axis


def batch_norm(trace: Tracer, node: Node) -> list[Layout]:
    """BatchNormalization and InstanceNormalization: every further input has an entry per channel."""
    data = trace.layout(node.inputs[0])
    for name in node.inputs[1:]:
        _tie_per_channel(trace, node, name, data[1])
    return [data]


def group_norm(trace: Tracer, node: Node) -> list[Layout]:
    """GroupNormalization: every group loses the same number of channels."""
    data = trace.layout(node.inputs[0])
    groups = int(node.attributes["num_groups"])
    per_group = _tie_across(trace, data[1], groups)
    for name in node.inputs[1:]:
        if per_group is not None and trace.shape(name) != (groups,):  # before opset 21: an entry per group
            _tie_per_channel(trace, node, name, data[1])
    return [data]


def softmax(trace: Tracer, node: Node) -> list[Layout]:
    """Softmax and its kin weigh positions of their axis against one another: that axis stays whole."""
    data = trace.layout(node.inputs[0])
    is_flattening = trace.graph.opsets.get("", 1) < 13
    axis = int(node.attributes.get("axis", 1 if is_flattening else -1)) % max(1, len(data))
    stop = len(data) if is_flattening else axis + 1
    trace.freeze(data[axis:stop], f"is normalised by {node.op} {node.name!r}")
    return [(*data[:axis], *([None] * (stop - axis)), *data[stop:])]


def spatial(trace: Tracer, node: Node) -> list[Layout]:
    """Pooling: (batch, channels, ...) -> the same channels."""
    data = trace.layout(node.inputs[0])
    if len(node.outputs) > 1 or _has_atoms(data, except_axis=1):
        return trace.freeze_node(node, f"reaches {node.op} {node.name!r} in a form without a rule")
    return [data]


def passes(trace: Tracer, node: Node) -> list[Layout]:
    """Operators on single elements with one input that matters."""
    return [trace.layout(node.inputs[0])]


def reduction(trace: Tracer, node: Node) -> list[Layout]:
    """Reduce...: reduced axes vanish, the others pass."""
    data = trace.layout(node.inputs[0])
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        axes = trace.constant(node, 1)
        if axes is None:
            return trace.freeze_node(node, f"reaches {node.op} {node.name!r}, whose axes are computed")
    if axes is None and node.attributes.get("noop_with_empty_axes"):
        return [data]
    reduced = {int(axis) % len(data) for axis in (range(len(data)) if axes is None else axes)}
    if node.attributes.get("keepdims", 1):
        return [tuple(None if axis in reduced else data[axis] for axis in range(len(data)))]
    return [tuple(data[axis] for axis in range(len(data)) if axis not in reduced)]


def _has_atoms(layout: Layout, except_axis: int) -> bool:
    return any(atoms is not None for axis, atoms in enumerate(layout) if axis != except_axis)
