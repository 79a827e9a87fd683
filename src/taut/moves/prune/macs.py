"""Multiply-accumulates of a graph as a function of its groups' widths, without cutting anything.

A node's count is a product over axes, so each group that shrinks an axis scales it by what is left of it.
Exact where every unit has equally many positions on an axis, which all rules but odd slices give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taut.graph.costs import node_costs
from taut.graph.ir import Node
from taut.moves.prune.groups import Channels
from taut.moves.prune.trace import Role


@dataclass(frozen=True)
class _Axis:
    """One axis of a node: positions that stay, and positions per unit of each group."""

    fixed: float
    per_unit: Mapping[str, float]
    size: int

    def share(self, widths: Mapping[str, int]) -> float:
        moving = sum(count * widths[name] for name, count in self.per_unit.items())
        return (self.fixed + moving) / self.size


@dataclass(frozen=True)
class WidthCosts:
    """Counts of all nodes; ``total({group: units kept, ...})`` needs the width of every group."""

    macs: Mapping[str, int]
    """By node, of the whole graph"""
    axes: Mapping[str, Sequence[_Axis]]
    sizes: Mapping[str, int]
    """Units of each group"""

    @staticmethod
    def of(channels: Channels) -> WidthCosts:
        counts = {cost.node: cost.macs for cost in node_costs(channels.graph) if cost.macs}
        nodes = [node for node in channels.graph if node.name in counts]
        axes = {node.name: _axes(channels, node) for node in nodes}
        return WidthCosts(counts, axes, {group.name: group.size for group in channels.groups})

    def node(self, name: str, widths: Mapping[str, int]) -> float:
        """Multiply-accumulates of one node at the given widths."""
        return self.macs[name] * float(np.prod([axis.share(widths) for axis in self.axes[name]]))

    def total(self, widths: Mapping[str, int]) -> float:
        """Multiply-accumulates of the graph at the given widths."""
        return sum(self.node(name, widths) for name in self.macs)


def _axes(channels: Channels, node: Node) -> list[_Axis]:
    """Axes of the node's output, and of its weight those that are summed over."""
    summed = {
        (cut.constant, cut.axis)
        for group in channels.groups
        for cut in group.having(Role.CONSUMES)
        if cut.constant in node.inputs
    }
    made = channels.layouts.get(node.outputs[0], ())
    read = tuple(channels.layouts[name][axis] for name, axis in summed)
    return [_axis(channels, atoms) for atoms in (*made, *read) if atoms is not None]


def _axis(channels: Channels, atoms: np.ndarray) -> _Axis:
    counts = {
        group.name: int(np.isin(atoms, channels.unit_atoms[group.name]).sum()) for group in channels.groups
    }
    per_unit = {name: count / channels.by_name[name].size for name, count in counts.items() if count}
    return _Axis(len(atoms) - sum(counts.values()), per_unit, len(atoms))
