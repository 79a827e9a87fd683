"""The move ``prune``: channels are removed group by group, and what read them is refitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved, NameMap
from taut.core.network import Network
from taut.core.task import Task
from taut.graph.ir import Graph
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import Channels, Group, trace_channels
from taut.moves.prune.importance import Importance, best_units, unit_scores
from taut.moves.prune.in_order import cut_and_refit_in_order
from taut.moves.prune.reconstruct import cut_and_refit, stored_moments

SHARES = (0.5, 0.75)
"""Of each group's units, offered as they stand"""
MIN_SAMPLES = 64
"""Fewer inputs say little about gradients and moments: weights alone decide then"""


@dataclass(frozen=True)
class ChannelPrune:
    """Keep so many units of each named group, those that matter most; groups not named stay whole.

    ChannelPrune(keep=(("conv1", 8), ("block2/conv", 24)))
    """

    keep: tuple[tuple[str, int], ...] = ()
    """Group name (its first producer's node) -> units: channels, or heads, or runs that go together"""
    importance: str = Importance.SURGEON
    reconstruct: bool = True
    """Refit what reads the channels by least squares; needs inputs in the train split"""
    kind = "prune"
    form = Form.MODULE

    def apply(self, network: Network, context: Context) -> Moved:
        """Return the smaller network; BadInput for a group that is not there or a count out of range."""
        channels = traced(network.graph)
        counts = _checked(self.keep, channels)
        self._refuse_without_inputs(context.task)
        scores = unit_scores(channels, Importance(self.importance), context)
        units = {
            name: best_units(channels.by_name[name], scores[name], count)
            for name, count in counts.items()
            if count < channels.by_name[name].size
        }
        small = self._realised(Kept.units(channels, units), len(units), context)
        gone = {node.name: () for node in network.graph if node.name not in small.by_name}
        return Moved(network.with_graph(small), NameMap(gone))

    def _refuse_without_inputs(self, task: Task) -> None:
        if task.train is None and (self.reconstruct or self.importance in ("taylor", "surgeon")):
            way_out = "give data with a train split, or importance l1 without reconstruction"
            raise BadInput(f"prune on task {task.name!r}", "needs inputs to look at", way_out)

    def _realised(self, kept: Kept, cut_groups: int, context: Context) -> Graph:
        if not self.reconstruct:
            return cut_channels(kept)
        if cut_groups <= 1:  # nothing before the readers changed: moments tell all, at once
            return cut_and_refit(kept, stored_moments(kept.channels, context))
        assert context.task.train is not None
        return cut_and_refit_in_order(kept, context.task.train, context.threads)

    def group_sizes(self, graph: Graph) -> dict[str, int]:
        """Group name -> units it has, in the graph's order."""
        return {group.name: group.size for group in traced(graph).groups}

    def touched_nodes(self, graph: Graph) -> dict[str, tuple[str, ...]]:
        """Group name -> nodes that shrink with it: those that make, carry or read its channels."""
        return {group.name: _nodes_of(traced(graph), group) for group in traced(graph).groups}

    def rounded(self, size: int, share: float) -> int:
        """So many units of a group of the given size, in steps that kernels like; never none."""
        step = 8 if size >= 64 else 4 if size >= 16 else 1
        return min(size, max(step, round(size * share / step) * step))

    def uniform(self, graph: Graph, share: float) -> ChannelPrune:
        """Return this move with every group cut to the same share."""
        sizes = self.group_sizes(graph).items()
        keep = ((name, self.rounded(size, share)) for name, size in sizes)
        return replace(self, keep=tuple(keep))


def _checked(keep: Sequence[tuple[str, int]], channels: Channels) -> dict[str, int]:
    for name, count in keep:
        group = channels.by_name.get(name)
        if group is None:
            reason = next(
                (skip.reason for skip in channels.skipped if skip.node == name), "makes no channels"
            )
            known = ", ".join(channels.by_name) or "none"
            raise BadInput(f"prune group {name!r}", f"cannot be cut: it {reason}", f"groups: {known}")
        if not 1 <= count <= group.size:
            raise BadInput(f"prune group {name!r}", f"cannot keep {count}", f"keep 1 to {group.size}")
    return dict(keep)


@dataclass(frozen=True, eq=False)
class _ByContent:
    """A graph that is equal to another one with the same digest."""

    graph: Graph

    def __hash__(self) -> int:
        return hash(self.graph.digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByContent) and other.graph.digest() == self.graph.digest()


def traced(graph: Graph) -> Channels:
    """Follow the graph's channels; the last few graphs are remembered."""
    return _traced(_ByContent(graph))


@lru_cache(maxsize=4)
def _traced(key: _ByContent) -> Channels:
    return trace_channels(key.graph)


def _nodes_of(channels: Channels, group: Group) -> tuple[str, ...]:
    """Nodes with a constant that is cut, and nodes whose outputs carry the group's units."""
    cut = {item.node for item in group.cuts}
    atoms = np.array(channels.unit_atoms[group.name])
    touched = []
    for node in channels.graph.nodes:
        axes = (axis for name in node.outputs for axis in channels.layouts.get(name, ()) if axis is not None)
        if node.name in cut or any(np.isin(axis, atoms).any() for axis in axes):
            touched.append(node.name)
    return tuple(touched)


@dataclass(frozen=True)
class ChannelPruneKind:
    """Offers uniform cuts; a search replaces ``keep``."""

    name: str = "prune"
    form: Form = Form.MODULE

    def offers(self, network: Network, context: Context) -> Sequence[ChannelPrune]:
        """Return uniform cuts, the deepest first; none where nothing can be cut.

        None for recurrent networks either: the training loop does not feed state back, so what is lost could
        not be recovered.
        """
        if network.feedback or not traced(network.graph).groups:
            return ()
        has_inputs = _has_inputs(context.task)
        importance = Importance.SURGEON if has_inputs else Importance.L1
        move = ChannelPrune(importance=str(importance), reconstruct=has_inputs)
        return tuple(move.uniform(network.graph, share) for share in SHARES)

    def from_json(self, settings: Mapping[str, Any]) -> ChannelPrune:
        keep = tuple((str(name), int(count)) for name, count in settings["keep"])
        return ChannelPrune(**{**settings, "keep": keep})


def _has_inputs(task: Task) -> bool:
    return task.train is not None and len(task.train) >= MIN_SAMPLES and not task.is_random


KIND = ChannelPruneKind()
