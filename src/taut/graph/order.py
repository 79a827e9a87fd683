"""Topological order of nodes, as close to the given order as it can be."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from taut.graph.ir import Node, reads


class Cycle(ValueError):
    """No order exists; the message names a node on the cycle or behind it."""


def sort_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Sort so that every value is made before it is read: of the ready nodes the earliest listed is next.

    Kahn's algorithm; a list that is sorted already stays as it is. Raises Cycle.
    """
    maker = {output: place for place, node in enumerate(nodes) for output in node.outputs if output}
    before = [{maker[name] for name in reads(node) if name in maker} for node in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for place, makers in enumerate(before):
        for earlier in makers:
            after[earlier].append(place)
    ready = [place for place, makers in enumerate(before) if not makers]
    ordered: list[Node] = []
    while ready:
        place = heapq.heappop(ready)
        ordered.append(nodes[place])
        for later in after[place]:
            before[later].discard(place)
            if not before[later]:
                heapq.heappush(ready, later)
    if len(ordered) < len(nodes):
        stuck = next(node for node, makers in zip(nodes, before, strict=True) if makers)
        raise Cycle(f"a cycle goes through or leads to node {stuck.name!r}")
    return ordered
