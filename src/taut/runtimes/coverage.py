"""Which graph nodes a runtime's kernels cover, as far as names tell.

A runtime fuses, renames, folds and inserts; what survives are some names. A kernel claims the nodes whose
own name, or whose output's name, it still carries; the first claim counts. A node that nobody claims went
into the kernel that reads it or, where none does, into the one that feeds it. So a fused chain is right
whenever one of its ends kept its name. An inserted kernel (a change of layout) counts with the one it feeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taut.graph.ir import Node

FOLDED = "folded"
"""Where a node ran that no kernel covers: it was computed when the model was loaded, or dropped"""


@dataclass(frozen=True)
class Kernel:
    """What runs after a runtime has optimised a graph."""

    name: str
    claims: tuple[str, ...]
    """Names of nodes or values that it still carries; may hold names that are neither"""
    feeds: tuple[str, ...]
    """Kernels that read its outputs"""


class Coverage:
    """Matches nodes and kernels in both directions.

    coverage = Coverage(graph.nodes, [Kernel("conv1+relu1", ("relu1_out",), ())])
    coverage.owner                       {"conv1": "conv1+relu1", "relu1": "conv1+relu1"}
    coverage.nodes("conv1+relu1")        ("conv1", "relu1")
    """

    def __init__(self, nodes: Sequence[Node], kernels: Sequence[Kernel]) -> None:
        self._claimed = _claimed(nodes, kernels)
        self._readers = {kernel.name: kernel.feeds for kernel in kernels}
        self._feeders = _reversed(self._readers)
        self.owner = _owners(nodes, self._claimed)
        order = {node.name: number for number, node in enumerate(nodes)}
        self._owned: dict[str, list[str]] = {}
        for node in sorted(self.owner, key=order.__getitem__):
            self._owned.setdefault(self.owner[node], []).append(node)

    def nodes(self, kernel: str) -> tuple[str, ...]:
        """Return the nodes that a kernel covers, in graph order; of an inserted one those that it serves."""
        own = self._own(kernel)
        return own or self._nearest(kernel, self._readers) or self._nearest(kernel, self._feeders)

    def has_claims(self, kernel: str) -> bool:
        """Whether a kernel carries the name of any node or of its output."""
        return bool(self._claimed.get(kernel))

    def _own(self, kernel: str) -> tuple[str, ...]:
        return tuple(self._owned.get(kernel, ())) or self._claimed.get(kernel, ())

    def _nearest(self, kernel: str, links: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
        """Breadth first along the links to the first kernel with nodes of its own."""
        met = [kernel]
        for name in met:
            for neighbour in links.get(name, ()):
                if self._own(neighbour):
                    return self._own(neighbour)
                if neighbour not in met:
                    met.append(neighbour)
        return ()


def _claimed(nodes: Sequence[Node], kernels: Sequence[Kernel]) -> dict[str, tuple[str, ...]]:
    """Kernel -> nodes whose names it carries."""
    nodes_by_name = {node.name: node.name for node in nodes}
    nodes_by_value = {output: node.name for node in nodes for output in node.outputs if output}
    known = nodes_by_value | nodes_by_name
    return {
        kernel.name: tuple(dict.fromkeys(known[name] for name in kernel.claims if name in known))
        for kernel in kernels
    }


def _owners(nodes: Sequence[Node], claimed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    makers = {output: node.name for node in nodes for output in node.outputs if output}
    owner: dict[str, str] = {}
    for kernel, names in claimed.items():
        for name in names:
            owner.setdefault(name, kernel)
    feeders = {node.name: [makers[value] for value in node.inputs if value in makers] for node in nodes}
    for node in reversed(nodes):
        for feeder in feeders[node.name] if node.name in owner else ():
            owner.setdefault(feeder, owner[node.name])
    for node in nodes:
        kernels = [owner[feeder] for feeder in feeders[node.name] if feeder in owner]
        if kernels:
            owner.setdefault(node.name, kernels[0])
    return owner


def _reversed(links: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    reverse: dict[str, list[str]] = {}
    for name, targets in links.items():
        for target in targets:
            reverse.setdefault(target, []).append(name)
    return reverse
