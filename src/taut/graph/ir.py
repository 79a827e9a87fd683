"""Our graph of a network: nodes in topological order over named values, with constants as numpy arrays.

Operators are ONNX's, with their attributes; node names are kept from where the network came from. A graph
is immutable: rewriting goes through ``Editor`` and yields a new one. Nodes with subgraphs (If, Loop) and
operators we do not know are carried along whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Dimension = int | str | None
"""A size, the name of a dynamic size, or unknown"""


@dataclass(frozen=True)
class Value:
    """What flows along an edge."""

    name: str
    dtype: str
    """numpy's name: ``float32``, ``int64``, ``bool``; ``bfloat16`` through ml_dtypes"""
    shape: tuple[Dimension, ...] | None
    """None: the rank is unknown"""

    @property
    def is_static(self) -> bool:
        return self.shape is not None and all(isinstance(size, int) for size in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        assert self.is_static and self.shape is not None, f"{self.name} has the dynamic shape {self.shape}"
        return tuple(size for size in self.shape if isinstance(size, int))


@dataclass(frozen=True)
class Node:
    """One operator. An absent optional input is the empty string, as in ONNX."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """int, float, str, bytes, numpy array, list of these; a subgraph stays an onnx.GraphProto"""
    domain: str = ""


@dataclass(frozen=True)
class Graph:
    """Nodes, constants and boundary of one network part.

    graph.nodes[0]              Node("conv1", "Conv", ("image", "conv1.weight"), ("conv1_out",), {...})
    graph.constants["conv1.weight"].shape                  (16, 3, 3, 3)
    graph.producer("conv1_out").name                       "conv1"
    [node.name for node in graph.consumers("conv1_out")]   ["relu1"]
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    values: Mapping[str, Value] = field(default_factory=dict)
    """Intermediate values whose type is known (shape inference); inputs and outputs have their own"""
    opsets: Mapping[str, int] = field(default_factory=lambda: {"": 20})
    functions: tuple[Any, ...] = ()
    """Model-local functions (onnx.FunctionProto), carried along"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file says besides the network (labels, alphabets); carried along, not part of the digest"""

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _producers(self) -> Mapping[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def _consumers(self) -> Mapping[str, tuple[Node, ...]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in reads(node):
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @cached_property
    def constant_values(self) -> frozenset[str]:
        """Constants and what nodes make of constants alone, such as dequantized weights."""
        names = set(self.constants)
        for node in self.nodes:
            read = reads(node)
            if read and names.issuperset(read):
                names.update(filter(None, node.outputs))
        return frozenset(names)

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for an input or a constant."""
        return self._producers.get(value)

    def consumers(self, value: str) -> tuple[Node, ...]:
        """Nodes that read a value, each once; a node whose subgraph captures the value is one of them."""
        return self._consumers.get(value, ())

    @cached_property
    def _typed(self) -> Mapping[str, Value]:
        boundary = {value.name: value for value in (*self.inputs, *self.outputs)}
        return {**self.values, **boundary}

    def value(self, name: str) -> Value | None:
        """Type of a value or constant; None where it is not known."""
        if name in self.constants:
            array = self.constants[name]
            return Value(name, str(array.dtype), array.shape)
        return self._typed.get(name)

    @property
    def is_static(self) -> bool:
        """Whether every input has a fixed shape."""
        return all(value.is_static for value in self.inputs)

    def is_output(self, value: str) -> bool:
        return any(output.name == value for output in self.outputs)

    def digest(self) -> str:
        """Content hash of structure and constants; the graph's own name does not count."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        sha.update(json.dumps([sorted(self.opsets.items()), _stable(self.functions)]).encode())
        for value in (*self.inputs, *self.outputs):
            sha.update(f"{value.name} {value.dtype} {value.shape}".encode())
        for node in self.nodes:
            attributes = json.dumps({key: _stable(item) for key, item in sorted(node.attributes.items())})
            sha.update(
                f"{node.name} {node.domain}:{node.op} {node.inputs} {node.outputs} {attributes}".encode()
            )
        for name in sorted(self.constants):
            sha.update(f"{name} {_stable(self.constants[name])}".encode())
        return sha.hexdigest()


def reads(node: Node) -> tuple[str, ...]:
    """Return the values a node reads, each once: its inputs and what its subgraphs capture from outside."""
    captured = (name for item in node.attributes.values() for name in _captured(item))
    return tuple(dict.fromkeys(name for name in (*node.inputs, *captured) if name))


def _captured(attribute: Any) -> list[str]:
    """Names that the subgraphs of an attribute read without making them."""
    items = attribute if isinstance(attribute, (list, tuple)) else [attribute]
    return [name for item in items if hasattr(item, "node") for name in _free_names(item)]


def _free_names(graph: Any) -> list[str]:
    made = {value.name for value in (*graph.input, *graph.initializer)}
    made |= {sparse.values.name for sparse in graph.sparse_initializer}
    made |= {output for node in graph.node for output in node.output}
    read = [name for node in graph.node for name in node.input]
    for node in graph.node:
        for inner in node.attribute:
            read += _captured([inner.g, *inner.graphs])
    read += [output.name for output in graph.output]
    return [name for name in read if name and name not in made]


def _stable(attribute: Any) -> Any:
    """A JSON form of an attribute that is equal for equal content."""
    if isinstance(attribute, np.ndarray):
        return [str(attribute.dtype), attribute.shape, hashlib.sha256(_content(attribute)).hexdigest()]
    if hasattr(attribute, "SerializeToString"):
        return hashlib.sha256(attribute.SerializeToString(deterministic=True)).hexdigest()
    if isinstance(attribute, bytes):
        return attribute.hex()
    if isinstance(attribute, float):
        return float(np.float32(attribute))  # ONNX stores float attributes in single precision
    if isinstance(attribute, (list, tuple)):
        return [_stable(item) for item in attribute]
    return attribute


def _content(array: np.ndarray) -> bytes:
    if array.dtype == object:  # strings: the array itself holds addresses
        return json.dumps(array.tolist()).encode()
    return np.ascontiguousarray(array).tobytes()
