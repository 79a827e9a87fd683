"""The state of following channels through a graph: which atoms lie on which axis of which tensor.

A layout has one entry per axis: an array with one atom per position, or None for an axis whose size is
fixed (batch, height, width, whatever no producer made). Constants have layouts like values: an axis of a
weight that must shrink with a channel axis carries its atoms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from taut.graph.ir import Graph, Node, reads
from taut.moves.prune.atoms import Atoms

Axis = np.ndarray | None
Layout = tuple[Axis, ...]


class Role(StrEnum):
    """What cutting a position of a constant removes."""

    PRODUCES = "produces"
    """The filter that makes the channel"""
    CONSUMES = "consumes"
    """The weights that read the channel"""
    CARRIES = "carries"
    """What belongs to one channel: bias, norm, slope, depthwise filter"""


@dataclass(frozen=True)
class Use:
    """A node reads a constant of which one axis carries atoms."""

    node: str
    constant: str
    axis: int
    role: Role


@dataclass
class Tracer:
    """What the operators' rules read and write; nodes are visited in topological order."""

    graph: Graph
    atoms: Atoms = field(default_factory=Atoms)
    layouts: dict[str, Layout] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    whole_groups: set[str] = field(default_factory=set)
    """Grouped convolutions whose groups are cut as a whole, so that ``group`` shrinks"""
    _tied_axes: set[tuple[str, str, int]] = field(default_factory=set)

    def layout(self, name: str) -> Layout:
        """Layout of a value or constant; all fixed where nothing is known."""
        return self.layouts.get(name) or self.fixed(name)

    def fixed(self, name: str) -> Layout:
        """The layout of a tensor whose axes are all fixed; empty where its rank is unknown."""
        return (None,) * len(self.shape(name) or ())

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """Known sizes of a tensor; None where the rank is unknown."""
        value = self.graph.value(name)
        if value is None or value.shape is None:
            return None
        return tuple(size if isinstance(size, int) else None for size in value.shape)

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """The array that a node reads as its input number ``index``; None where it is absent or computed."""
        return self.graph.constants.get(node.inputs[index]) if index < len(node.inputs) else None

    def tie(self, node: Node, left: Axis, right: Axis) -> Axis:
        """Tie two axes of equal size and return the common one; a fixed axis freezes the other."""
        if left is None or right is None:
            self.freeze((left, right), f"meets a fixed axis at {node.op} {node.name!r}")
            return None
        self.atoms.tie(left, right)
        return left

    def tie_constant(self, node: Node, name: str, axis: int, atoms: Axis, role: Role = Role.CARRIES) -> None:
        """Let an axis of a constant shrink with the atoms."""
        if atoms is None:
            return
        layout = list(self.layout(name))
        earlier = layout[axis]
        if earlier is None:
            layout[axis] = atoms
            self.layouts[name] = tuple(layout)
        else:
            self.atoms.tie(earlier, atoms)
        self.uses.append(Use(node.name, name, axis, role))
        self._tied_axes.add((node.name, name, axis))

    def freeze(self, layout: Iterable[Axis], reason: str) -> None:
        """Forbid cutting any atom of the axes."""
        for atoms in layout:
            if atoms is not None:
                self.atoms.freeze(atoms, reason)

    def freeze_node(self, node: Node, reason: str) -> list[Layout]:
        """Freeze everything that a node reads; its outputs are fixed."""
        for name in reads(node):
            self.freeze(self.layout(name), reason)
        return [self.fixed(name) for name in node.outputs]

    def freeze_contradictions(self) -> None:
        """Freeze the axes of constants that one node cuts and another one needs whole."""
        for use in self.uses:
            for node in self.graph.consumers(use.constant):
                if (node.name, use.constant, use.axis) not in self._tied_axes:
                    reason = f"{use.constant!r} is needed whole by {node.name!r}"
                    self.freeze((self.layout(use.constant)[use.axis],), reason)
