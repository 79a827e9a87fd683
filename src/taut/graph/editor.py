"""Rewriting: an Editor takes a graph, collects changes, and yields a new graph in topological order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.order import sort_nodes


class Editor:
    """Collects changes to a copy of a graph; ``graph()`` sorts, drops what nothing reads, and returns it.

    edit = Editor(graph)
    edit.remove("bn1")
    edit.redirect("bn1_out", "conv1_out")        # readers of bn1_out now read conv1_out
    smaller = edit.graph()
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: dict[str, Node] = dict(graph.by_name)
        self._constants: dict[str, np.ndarray] = dict(graph.constants)
        self._values: dict[str, Value] = dict(graph.values)
        self._outputs = list(graph.outputs)
        self._inputs = list(graph.inputs)
        self._opsets = dict(graph.opsets)
        self._taken = set(self._nodes) | set(self._constants) | set(self._values)
        self._taken |= {value.name for value in (*graph.inputs, *graph.outputs)}
        self._taken |= {output for node in graph.nodes for output in node.outputs}

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has yet."""
        name, number = stem, 1
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> Node:
        """Add a node under a name of its own."""
        assert name not in self._nodes, f"a node is already called {name}"
        node = Node(name, op, tuple(inputs), tuple(outputs), dict(attributes or {}), domain)
        self._nodes[name] = node
        self._taken |= {name, *outputs}
        return node

    def remove(self, name: str) -> None:
        """Remove a node; whoever read its outputs must be redirected."""
        del self._nodes[name]

    def change(self, name: str, **fields: Any) -> Node:
        """Replace fields of a node (op, inputs, outputs, attributes, domain); its name stays."""
        assert "name" not in fields, "a node keeps its name; remove it and add another"
        self._nodes[name] = replace(self._nodes[name], **fields)
        return self._nodes[name]

    def set_constant(self, name: str, array: np.ndarray) -> str:
        """Add or replace a constant and return its name."""
        self._constants[name] = np.asarray(array)
        self._taken.add(name)
        return name

    def set_value(self, value: Value) -> None:
        """Record the type of a value; an output's type is replaced."""
        self._outputs = [value if output.name == value.name else output for output in self._outputs]
        self._values[value.name] = value

    def set_inputs(self, inputs: Sequence[Value]) -> None:
        self._inputs = list(inputs)

    def set_outputs(self, outputs: Sequence[Value]) -> None:
        self._outputs = list(outputs)

    def forget_values(self) -> None:
        """Drop inferred types of intermediate values, which a change of shapes made stale."""
        self._values = {}

    def require_opset(self, version: int, domain: str = "") -> None:
        """Raise an opset's version to at least this one."""
        self._opsets[domain] = max(self._opsets.get(domain, version), version)

    def redirect(self, old: str, new: str, only: set[str] | None = None) -> None:
        """Let the readers of a value (or only the named nodes) read another one instead.

        Reading from within a subgraph counts; a graph output keeps its name and its maker.
        """
        for name, node in self._nodes.items():
            if old in reads(node) and (only is None or name in only):
                inputs = tuple(new if value == old else value for value in node.inputs)
                attributes = {key: _recaptured(item, old, new) for key, item in node.attributes.items()}
                self._nodes[name] = replace(node, inputs=inputs, attributes=attributes)

    def graph(self) -> Graph:
        """Return the new graph: sorted, without nodes and constants that no output depends on."""
        outputs = {output.name for output in self._outputs}
        nodes = sort_nodes(_live(list(self._nodes.values()), outputs))
        made = {output for node in nodes for output in node.outputs}
        read = {value for node in nodes for value in reads(node)} | outputs
        return replace(
            self._graph,
            nodes=tuple(nodes),
            inputs=tuple(self._inputs),
            outputs=tuple(self._outputs),
            constants={name: array for name, array in self._constants.items() if name in read},
            values={name: value for name, value in self._values.items() if name in made - outputs},
            opsets=dict(self._opsets),
        )


def _live(nodes: list[Node], wanted: set[str]) -> list[Node]:
    producers = {output: node for node in nodes for output in node.outputs if output}
    live: dict[str, Node] = {}
    pending = [producers[value] for value in wanted if value in producers]
    while pending:
        node = pending.pop()
        if node.name not in live:
            live[node.name] = node
            pending += [producers[value] for value in reads(node) if value in producers]
    return [node for node in nodes if node.name in live]


def _recaptured(attribute: Any, old: str, new: str) -> Any:
    """A copy of a subgraph (or list of them) that captures another value; anything else as it is."""
    if isinstance(attribute, list):
        return [_recaptured(item, old, new) for item in attribute]
    if not hasattr(attribute, "node"):
        return attribute
    graph = type(attribute)()
    graph.CopyFrom(attribute)
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for inner in node.attribute:
            _recapture_inner(inner, old, new)
    for output in graph.output:
        output.name = new if output.name == old else output.name
    return graph


def _recapture_inner(attribute: Any, old: str, new: str) -> None:
    if attribute.HasField("g"):
        attribute.g.CopyFrom(_recaptured(attribute.g, old, new))
    for graph in attribute.graphs:
        graph.CopyFrom(_recaptured(graph, old, new))
