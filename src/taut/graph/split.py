"""Cut a graph into consecutive parts at named values; running them in order computes the whole.

A part reads what earlier parts made and, freely, the graph's own inputs; constants, and nodes that read
constants alone, are copied to every part that needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from taut.core.errors import BadInput
from taut.graph.ir import Graph, Node, Value, reads


def split(graph: Graph, cuts: Sequence[Sequence[str]]) -> tuple[Graph, ...]:
    """Return one part more than there are cuts; a part's outputs are what later parts or the caller read.

    The types of crossing values must be known (``with_shapes``). Raises BadInput where a cut does not
    separate the graph, naming the values that cross beside it.
    """
    flow = _Flow(graph)
    parts: list[list[Node]] = []
    rest = set(flow.nodes)
    for cut in cuts:
        _refuse_strange(flow, cut)
        before = _before(flow, cut)
        _refuse_leak(flow, cut, before)
        parts.append([node for name, node in flow.nodes.items() if name in before & rest])
        rest -= before
        if not parts[-1] or not rest:
            raise BadInput(_named(cut), "leaves a part without nodes", "order cuts from first to last")
    parts.append([node for name, node in flow.nodes.items() if name in rest])
    return divided(graph, parts)


def divided(graph: Graph, groups: Sequence[Sequence[Node]]) -> tuple[Graph, ...]:
    """Return a part for each group of nodes; a group reads only what it or an earlier one makes.

    A node in no group reads constants alone and is copied to every part that needs it. The types of values
    that pass from group to group must be known.
    """
    return tuple(_part(graph, groups, place) for place in range(len(groups)))


def single_tensor_edges(graph: Graph) -> tuple[str, ...]:
    """Return the values at which a cut is crossed by that one tensor only, in topological order.

    The graph's own inputs do not count, since every part may read them.
    """
    flow = _Flow(graph)
    reach = _Reach(flow)
    return tuple(
        name
        for node in flow.nodes.values()
        for name in node.outputs
        if name and _is_single(flow, reach, name)
    )


class _Flow:
    """Who makes and who reads what, among the nodes that depend on an input."""

    def __init__(self, graph: Graph) -> None:
        is_constant = graph.constant_values.issuperset
        kept = [node for node in graph if not is_constant(filter(None, node.outputs))]
        self.nodes = {node.name: node for node in kept}
        self.maker = {name: node.name for node in kept for name in node.outputs if name}
        self.readers: dict[str, list[str]] = {name: [] for name in self.maker}
        for node in kept:
            for name in reads(node):
                if name in self.maker:
                    self.readers[name].append(node.name)

    def made_inputs(self, node: str) -> list[str]:
        return [name for name in reads(self.nodes[node]) if name in self.maker]

    def sources(self, node: str) -> list[str]:
        return [self.maker[name] for name in self.made_inputs(node)]

    def targets(self, node: str) -> list[str]:
        return [reader for name in self.nodes[node].outputs if name for reader in self.readers[name]]


def _before(flow: _Flow, cut: Sequence[str]) -> set[str]:
    """Nodes that the cut's values depend on, and side branches off them that do not come after the cut."""
    before: set[str] = set()
    pending = [flow.maker[name] for name in cut]
    while pending:  # first the ancestors, without side branches: they decide what comes after
        node = pending.pop()
        if node not in before:
            before.add(node)
            pending += flow.sources(node)
    after = _descendants(flow, cut, before)
    pending = [target for node in before for target in flow.targets(node)]
    while pending:
        node = pending.pop()
        if node not in before and node not in after:
            before.add(node)
            pending += [*flow.sources(node), *flow.targets(node)]
    return before


def _descendants(flow: _Flow, cut: Sequence[str], before: set[str]) -> set[str]:
    found: set[str] = set()
    pending = [reader for name in cut for reader in flow.readers[name]]
    while pending:
        node = pending.pop()
        if node not in found and node not in before:
            found.add(node)
            pending += flow.targets(node)
    return found


def _leaks(flow: _Flow, cut: Sequence[str], before: set[str]) -> list[str]:
    """Values beside the cut that are made before it and read after it."""
    return [
        name
        for name, maker in flow.maker.items()
        if maker in before and name not in cut and not before.issuperset(flow.readers[name])
    ]


class _Reach:
    """For each node, as bit sets over nodes: what comes after it, and who reads from its ancestors."""

    def __init__(self, flow: _Flow) -> None:
        self.bit = {name: 1 << place for place, name in enumerate(flow.nodes)}
        self.after: dict[str, int] = {}
        for name in reversed(flow.nodes):
            self.after[name] = 0
            for target in flow.targets(name):
                self.after[name] |= self.bit[target] | self.after[target]
        self.readers = {name: self.bits(flow.targets(name)) for name in flow.nodes}
        self.ancestor_readers: dict[str, int] = {}
        for name in flow.nodes:
            self.ancestor_readers[name] = 0
            for source in flow.sources(name):
                self.ancestor_readers[name] |= self.readers[source] | self.ancestor_readers[source]

    def bits(self, names: Iterable[str]) -> int:
        total = 0
        for name in names:
            total |= self.bit[name]
        return total


def _is_single(flow: _Flow, reach: _Reach, value: str) -> bool:
    readers = flow.readers[value]
    if not readers:
        return False
    after = reach.bits(readers)
    for reader in readers:
        after |= reach.after[reader]
    maker = flow.maker[value]
    # Nearly every value fails here, in one operation on bits; the rest may still leak through side branches.
    if reach.ancestor_readers[maker] & after:
        return False
    return not _leaks(flow, (value,), _before(flow, (value,)))


def _refuse_strange(flow: _Flow, cut: Sequence[str]) -> None:
    strange = [name for name in cut if name not in flow.maker]
    if strange or not cut:
        raise BadInput(
            _named(strange or cut), "is made by no node of the graph", "cut at values between nodes"
        )


def _refuse_leak(flow: _Flow, cut: Sequence[str], before: set[str]) -> None:
    leaks = _leaks(flow, cut, before)
    if leaks:
        raise BadInput(
            _named(cut), f"does not separate the graph: {_listed(leaks)} cross too", "add them to the cut"
        )


def _named(names: Sequence[str]) -> str:
    return f"cut at {_listed(names) or 'nothing'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _part(graph: Graph, parts: Sequence[Sequence[Node]], place: int) -> Graph:
    own = {name for node in parts[place] for name in node.outputs if name}
    is_last = place == len(parts) - 1
    ends = [
        value for value in graph.outputs if value.name in own or (is_last and _is_given(graph, value.name))
    ]
    later = {name for part in parts[place + 1 :] for node in part for name in reads(node)}
    crossing = [name for name in own & later if not graph.is_output(name)]
    grouped = {node.name for part in parts for node in part}
    nodes = _with_constant_makers(graph, parts[place], [value.name for value in ends], grouped)
    made = {name for node in nodes for name in node.outputs}
    wanted = {name for node in nodes for name in reads(node)} | {value.name for value in ends}
    inputs = wanted - made - set(graph.constants)
    return replace(
        graph,
        name=f"{graph.name}.{place}",
        inputs=tuple(_typed(graph, name) for name in _in_order(graph, inputs)),
        outputs=(*(_typed(graph, name) for name in _in_order(graph, crossing)), *ends),
        nodes=tuple(nodes),
        constants={name: array for name, array in graph.constants.items() if name in wanted},
        values={name: value for name, value in graph.values.items() if name in made.difference(crossing)},
    )


def _with_constant_makers(
    graph: Graph, part: Sequence[Node], ends: Sequence[str], grouped: set[str]
) -> list[Node]:
    """The part with the nodes of no group that make what it reads, or ends in, of constants alone."""
    names = {node.name for node in part}
    pending = [*ends, *(name for node in part for name in reads(node))]
    while pending:
        value = pending.pop()
        maker = graph.producer(value)
        if maker is not None and maker.name not in names | grouped:
            names.add(maker.name)
            pending += reads(maker)
    return [node for node in graph if node.name in names]


def _in_order(graph: Graph, names: Iterable[str]) -> list[str]:
    """The names as the graph lists them: its inputs, then what its nodes make."""
    wanted = set(names)
    listed = [*(value.name for value in graph.inputs), *(name for node in graph for name in node.outputs)]
    return [name for name in listed if name in wanted]


def _is_given(graph: Graph, name: str) -> bool:
    return name in graph.constant_values or any(value.name == name for value in graph.inputs)


def _typed(graph: Graph, name: str) -> Value:
    value = graph.value(name)
    if value is None:
        raise BadInput(f"cut at {name!r}", "has no known type", "infer shapes first")
    return value
