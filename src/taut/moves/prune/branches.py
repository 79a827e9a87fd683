"""The move ``drop_branches``: whole residual branches go, and what they were added to stays.

Veit et al. (arXiv 1605.06431): a residual network goes on working without single branches, since other paths
remain. Where the time of a layer hardly depends on its width, this is what makes a network faster. Only
branches around an identity are offered: without the others nothing would be left of their stage but its
shortcut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved, NameMap
from taut.core.network import Network
from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node, reads

IDEMPOTENT = ("Relu", "Clip")
"""Applied to their own result they change nothing, given the same bounds"""


@dataclass(frozen=True)
class Branch:
    """y = Add(x, f(x)): the node that adds, and x."""

    add: Node
    identity: str


def residual_branches(graph: Graph) -> dict[str, Branch]:
    """Return the branches around identities by the name of their Add, in the graph's order."""
    found = (_branch(graph, node) for node in graph if node.op == "Add" and not node.domain)
    return {branch.add.name: branch for branch in found if branch is not None}


def nodes_of(graph: Graph, branch: Branch) -> tuple[str, ...]:
    """Return the nodes that go with a branch: what adds it, what nothing else reads, and a repeated Relu."""
    left = without_branch(graph, branch).by_name
    return tuple(node.name for node in graph if node.name not in left)


def _branch(graph: Graph, add: Node) -> Branch | None:
    if graph.is_output(add.outputs[0]) or _shape(graph, add.inputs[0]) != _shape(graph, add.inputs[1]):
        return None
    for identity, result in (add.inputs, add.inputs[::-1]):
        if _is_made_from(graph, result, identity):
            return Branch(add, identity)
    return None


def _is_made_from(graph: Graph, value: str, source: str) -> bool:
    pending, seen = [value], {value}
    while pending:
        node = graph.producer(pending.pop())
        read = set(reads(node)) - seen if node is not None else set()
        if source in read:
            return True
        seen |= read
        pending += read
    return False


def _shape(graph: Graph, value: str) -> tuple[int, ...] | None:
    known = graph.value(value)
    return known.static_shape if known is not None and known.is_static else None


@dataclass(frozen=True)
class DropBranches:
    """Remove residual branches: DropBranches(("blocks.1.add", "blocks.4.add"))."""

    branches: tuple[str, ...]
    """Names of the nodes that add them"""
    kind = "drop_branches"
    form = Form.MODULE

    def apply(self, network: Network, context: Context) -> Moved:  # noqa: ARG002
        """Return the shallower network; BadInput for a name that adds no branch to an identity."""
        graph = network.graph
        known = residual_branches(graph)
        for name in self.branches:
            if name not in known:
                names = ", ".join(known) or "none"
                raise BadInput(f"branch {name!r}", "is not added to an identity", f"branches: {names}")
        for name in self.branches:
            branch = residual_branches(graph).get(name)
            if branch is not None:  # else it went with one around it
                graph = without_branch(graph, branch)
        gone: dict[str, tuple[str, ...]] = {
            node.name: () for node in network.graph if node.name not in graph.by_name
        }
        return Moved(network.with_graph(graph), NameMap(gone))


def without_branch(graph: Graph, branch: Branch) -> Graph:
    """Return the graph in which the readers of the sum read the identity."""
    edit = Editor(graph)
    total, made_by = branch.add.outputs[0], graph.producer(branch.identity)
    edit.redirect(total, branch.identity)
    for node in graph.consumers(total):
        if made_by is not None and _repeats(made_by, node) and not graph.is_output(node.outputs[0]):
            edit.redirect(node.outputs[0], branch.identity)
    return edit.graph()


def _repeats(first: Node, second: Node) -> bool:
    """Whether the second node, given the first one's result, changes nothing."""
    same = (first.op, first.domain, first.attributes) == (second.op, second.domain, second.attributes)
    return same and first.op in IDEMPOTENT and first.inputs[1:] == second.inputs[1:]


class DropBranchesKind:
    """Offers each branch alone; a search chooses among them."""

    name = "drop_branches"
    form = Form.MODULE

    def offers(self, network: Network, context: Context) -> Sequence[DropBranches]:  # noqa: ARG002
        """Return one move for each branch; none for recurrent networks, which cannot be recovered."""
        if network.feedback:
            return []
        return [DropBranches((name,)) for name in residual_branches(network.graph)]

    def from_json(self, settings: Mapping[str, Any]) -> DropBranches:
        return DropBranches(tuple(str(name) for name in settings["branches"]))


KIND = DropBranchesKind()
