"""Groups of channels that must be cut together: DepGraph (Fang et al., arXiv 2301.12900) on our graph.

DepGraph links layers pairwise and recurses; here every channel position is an atom that the operators'
rules carry along, so offsets in a concatenation, runs after a flatten, heads and equal shares of grouped
convolutions are all the same thing: atoms that were tied.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from taut.graph.editor import Editor
from taut.graph.fold import fold_constants, fold_shapes
from taut.graph.ir import Graph
from taut.moves.prune.operators import RULES
from taut.moves.prune.trace import Layout, Role, Tracer, Use

Positions = tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """What one constant loses: for each unit of the group, positions along an axis."""

    node: str
    constant: str
    axis: int
    role: Role
    positions: tuple[Positions, ...]


@dataclass(frozen=True)
class Group:
    """Units (channels, or runs of channels) of which any number may be removed, each everywhere at once.

    conv1 (3 -> 8 filters) -> bn1 -> relu -> flatten (8x4x4 -> 128) -> fc (128 -> 10) has one group:

        name="conv1", size=8
        Cut("conv1", "conv1.weight", 0, PRODUCES, ((0,), (1,), ..., (7,)))
        Cut("bn1", "bn1.scale", 0, CARRIES, ((0,), (1,), ..., (7,))), likewise bias, mean, variance
        Cut("fc", "fc.weight", 1, CONSUMES, ((0, ..., 15), (16, ..., 31), ..., (112, ..., 127)))

    and fc's outputs, which are the network's, are skipped.
    """

    name: str
    """Of the first producer in the graph"""
    size: int
    """How many units it has"""
    cuts: tuple[Cut, ...]
    subsets: tuple[Positions, ...] = ()
    """Sets of units that are some axis' only ones: of each, one must stay"""

    def having(self, role: Role) -> tuple[Cut, ...]:
        """Cuts of one role."""
        return tuple(cut for cut in self.cuts if cut.role is role)

    @property
    def channels_per_unit(self) -> int:
        """Filters of the first producer that one unit removes."""
        return len(self.having(Role.PRODUCES)[0].positions[0])


@dataclass(frozen=True)
class Skipped:
    """A producer of which some or all channels stay whole, and why."""

    node: str
    reason: str


@dataclass(frozen=True)
class Channels:
    """Everything that was found about a graph's channels; what cutting needs to know."""

    graph: Graph
    layouts: dict[str, Layout]
    """Of values and constants; equal atoms are cut together"""
    groups: tuple[Group, ...]
    skipped: tuple[Skipped, ...]
    whole_groups: frozenset[str]
    unit_atoms: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Group name -> the atom of each unit"""

    @cached_property
    def by_name(self) -> dict[str, Group]:
        return {group.name: group for group in self.groups}


def without_groups(channels: Channels, nodes: Collection[str]) -> Channels:
    """Return the channels without the groups that any of the nodes takes part in, which then stay whole."""
    groups = tuple(group for group in channels.groups if not any(cut.node in nodes for cut in group.cuts))
    return replace(channels, groups=groups)


def group_widths(group: Group, device_multiple: int = 8) -> tuple[int, ...]:
    """Numbers of units worth trying, largest first: all of them, then those with channels in multiples."""
    step = device_multiple // math.gcd(device_multiple, group.channels_per_unit)
    return (group.size, *range((group.size - 1) // step * step, 0, -step))


def trace_channels(graph: Graph) -> Channels:
    """Follow every channel through the graph and find what must be cut together.

    The graph of the result has constants of their own where exporters let unrelated nodes share equal ones,
    and shapes that are known are constants in it, so that they can be rewritten.
    """
    trace = _follow(_with_own_vectors(fold_constants(fold_shapes(graph))))
    layouts = {
        name: tuple(None if axis is None else trace.atoms.roots(axis) for axis in layout)
        for name, layout in trace.layouts.items()
    }
    return _assemble(trace, layouts)


def _with_own_vectors(graph: Graph) -> Graph:
    """Give every node its own copy of biases, norms and slopes; shared weight matrices stay shared."""
    edit = Editor(graph)
    for name, array in graph.constants.items():
        for node in graph.consumers(name)[1:] if array.size > 1 and max(array.shape) == array.size else ():
            edit.redirect(name, edit.set_constant(edit.fresh(f"{name}.{node.name}"), array), {node.name})
    return edit.graph()


def _follow(graph: Graph) -> Tracer:
    trace = Tracer(graph)
    for node in graph.nodes:
        rule = RULES.get(node.op)
        if rule is None or node.domain not in ("", "ai.onnx"):
            layouts = trace.freeze_node(node, f"reaches {node.op} {node.name!r}, which has no rule")
        elif any(trace.shape(name) is None for name in (*filter(None, node.inputs), node.outputs[0])):
            layouts = trace.freeze_node(node, f"reaches {node.op} {node.name!r}, whose shapes are not known")
        else:
            layouts = rule(trace, node)
        for name, layout in zip(node.outputs, layouts, strict=False):
            trace.layouts[name] = _without_single(trace, layout)
    for output in graph.outputs:
        trace.freeze(trace.layout(output.name), f"reaches the output {output.name!r}")
    trace.freeze_contradictions()
    return trace


def _without_single(trace: Tracer, layout: Layout) -> Layout:
    """An axis of size 1 cannot shrink, and must not be mistaken for a channel axis in broadcasting."""
    trace.freeze((axis for axis in layout if axis is not None and len(axis) == 1), "is the only channel")
    return tuple(None if axis is None or len(axis) == 1 else axis for axis in layout)


def _assemble(trace: Tracer, layouts: dict[str, Layout]) -> Channels:
    skipped: dict[str, Skipped] = {}
    families: list[_Family] = []
    for use in trace.uses:
        if use.role is Role.PRODUCES:
            atoms = _axis(layouts, use).tolist()
            reasons = [trace.atoms.reason(atom) for atom in atoms]
            for reason in filter(None, reasons):
                skipped.setdefault(use.node, Skipped(use.node, reason))
            _join(families, use.node, [atom for atom, why in zip(atoms, reasons, strict=True) if why is None])
    for family in families:
        if len(family.units) == 1:
            skipped.setdefault(family.name, Skipped(family.name, "can only be cut all at once"))
    families = [family for family in families if len(family.units) > 1]
    return Channels(
        trace.graph,
        layouts,
        _groups(families, trace.uses, layouts),
        tuple(skipped.values()),
        frozenset(trace.whole_groups),
        {family.name: tuple(family.units) for family in families},
    )


@dataclass
class _Family:
    """A group in the making: atom -> number of its unit, in the order in which producers bring them."""

    name: str
    units: dict[int, int]


def _join(families: list[_Family], name: str, atoms: Sequence[int]) -> None:
    """Add a producer's atoms to the family that has one of them; families that now share one become one."""
    if not atoms:
        return
    touched = [family for family in families if not family.units.keys().isdisjoint(atoms)]
    first = touched[0] if touched else _Family(name, {})
    if not touched:
        families.append(first)
    for atom in (*(atom for family in touched[1:] for atom in family.units), *atoms):
        first.units.setdefault(atom, len(first.units))
    for family in touched[1:]:
        families.remove(family)


def _groups(
    families: Sequence[_Family], uses: Iterable[Use], layouts: Mapping[str, Layout]
) -> tuple[Group, ...]:
    owner = {atom: (family.name, unit) for family in families for atom, unit in family.units.items()}
    sizes = {family.name: len(family.units) for family in families}
    cuts: dict[str, dict[tuple[str, int], Cut]] = {name: {} for name in sizes}
    for use in uses:
        for name, found in _found_on(_axis(layouts, use), owner).items():
            positions = tuple(tuple(found.get(unit, ())) for unit in range(sizes[name]))
            cut = Cut(use.node, use.constant, use.axis, use.role, positions)
            cuts[name].setdefault((use.constant, use.axis), cut)
    subsets: dict[str, set[Positions]] = {name: set() for name in sizes}
    axes = {axis.tobytes(): axis for layout in layouts.values() for axis in layout if axis is not None}
    for axis in axes.values():
        for name, found in _found_on(axis, owner).items():
            if len(found) < sizes[name]:
                subsets[name].add(tuple(sorted(found)))
    return tuple(
        Group(name, size, tuple(cuts[name].values()), tuple(sorted(subsets[name])))
        for name, size in sizes.items()
    )


def _axis(layouts: Mapping[str, Layout], use: Use) -> np.ndarray:
    axis = layouts[use.constant][use.axis]
    assert axis is not None, f"{use} without atoms"
    return axis


def _found_on(axis: np.ndarray, owner: Mapping[int, tuple[str, int]]) -> dict[str, dict[int, list[int]]]:
    """Group name -> unit -> positions on an axis."""
    found: dict[str, dict[int, list[int]]] = {}
    for position, atom in enumerate(axis.tolist()):
        if atom in owner:
            name, unit = owner[atom]
            found.setdefault(name, {}).setdefault(unit, []).append(position)
    return found
