"""Which graph nodes a runtime's kernels cover, as far as names tell.

A runtime fuses, renames and folds; what survives are some names. Each kernel claims the nodes whose own name,
or whose output's name, it still carries. A node that nobody claims went into the kernel that reads it or,
where none does, into the one that feeds it. So a fused chain is right whenever one of its ends kept its name;
where a runtime renamed both, the chain counts to its neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from taut.graph.ir import Node

FOLDED = "folded"
"""Where a node ran that no kernel covers: it was computed when the model was loaded, or dropped"""


def owners(nodes: Sequence[Node], claims: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return node name -> kernel; claims are kernel -> names of nodes or values that it carries."""
    makers = {output: node for node in nodes for output in node.outputs}
    by_name = {node.name: node for node in nodes} | makers
    owner: dict[str, str] = {}
    for kernel, names in claims.items():
        for name in names:
            if name in by_name:
                owner.setdefault(by_name[name].name, kernel)
    _spread_to_producers(nodes, makers, owner)
    _spread_to_consumers(nodes, makers, owner)
    return owner


def covered(owner: Mapping[str, str], kernel: str) -> tuple[str, ...]:
    """Return the nodes that a kernel owns, in graph order."""
    return tuple(node for node, name in owner.items() if name == kernel)


def _spread_to_producers(nodes: Sequence[Node], makers: Mapping[str, Node], owner: dict[str, str]) -> None:
    for node in reversed(nodes):
        if node.name in owner:
            for value in node.inputs:
                if value in makers:
                    owner.setdefault(makers[value].name, owner[node.name])


def _spread_to_consumers(nodes: Sequence[Node], makers: Mapping[str, Node], owner: dict[str, str]) -> None:
    for node in nodes:
        feeders = [owner[makers[v].name] for v in node.inputs if v in makers and makers[v].name in owner]
        if node.name not in owner and feeders:
            owner[node.name] = feeders[0]
