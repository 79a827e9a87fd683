"""Static shapes: dynamic inputs get the given sizes, then every value its type and shape.

Nodes are walked in order. Of each, onnx infers the outputs from the types of the inputs and from the
contents that are known; contents of small values, such as a shape that is cut and glued together, are
computed on the way, so a Reshape by them is static too. Of an operator that onnx does not know the shape is
taken from running it, or stays as the file says. What depends on data stays dynamic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx

from taut.core.errors import BadInput
from taut.graph.ir import Dimension, Graph, Node, Value
from taut.graph.single_node import compute, infer_outputs, is_computable, why_not_inferred

_SMALL = 1024
"""Elements of a value whose contents are followed: shapes, axes, scales and small index tables"""


def with_shapes(graph: Graph, sizes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Return the graph with static inputs and with the type of every value that can be known.

    Raises BadInput where a dynamic input has no size, or a size contradicts the graph.
    """
    inputs, symbols = _fixed_inputs(graph, sizes or {})
    walk = TypeWalk(graph, inputs, symbols)
    for node in graph:
        walk.visit(node)
    made = [name for node in graph for name in node.outputs if name in walk.types]
    return replace(
        graph,
        inputs=inputs,
        outputs=tuple(walk.types.get(value.name, value) for value in graph.outputs),
        values={name: walk.types[name] for name in made if not graph.is_output(name)},
    )


class TypeWalk:
    """Types and known contents of everything before the node that is visited next.

    Nodes are visited in topological order, each once; ``types`` then has what could be known so far.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Value], symbols: Mapping[str, int]) -> None:
        self._graph = graph
        self._symbols = symbols
        self.types = {value.name: value for value in inputs}
        self._known = {name: array for name, array in graph.constants.items() if array.size <= _SMALL}
        for name in graph.constants:
            value = graph.value(name)
            assert value is not None
            self.types[name] = value

    def visit(self, node: Node) -> None:
        """Learn the types of the node's outputs, and their contents where they are small and known."""
        inferred = infer_outputs(self._graph, node, self.types, self._known)
        if not inferred and not onnx.defs.has(node.op, node.domain) and not self._is_stated(node):
            inferred = self._shapes_from_running(node)
        for name in filter(None, node.outputs):
            value = self._completed(name, inferred.get(name))
            if value is not None:
                self.types[name] = value
        self._follow_contents(node)

    def complaint(self, node: Node) -> str | None:
        """What onnx finds wrong with a node whose inputs are known; None where it finds nothing."""
        return why_not_inferred(self._graph, node, self.types, self._known)

    def _is_stated(self, node: Node) -> bool:
        stated = [self._graph.value(name) for name in node.outputs if name]
        return all(value is not None and value.is_static for value in stated)

    def _completed(self, name: str, inferred: Value | None) -> Value | None:
        """What was inferred, with unknown sizes taken from the file where it states them."""
        stated = self._graph.value(name)
        if stated is None:
            return inferred
        stated = replace(stated, shape=_substituted(stated.shape, self._symbols))
        if inferred is None:
            return stated
        if inferred.shape is None or stated.shape is None or len(inferred.shape) != len(stated.shape):
            return inferred if inferred.shape is not None else replace(inferred, shape=stated.shape)
        pairs = zip(inferred.shape, stated.shape, strict=True)
        return replace(inferred, shape=tuple(mine if isinstance(mine, int) else said for mine, said in pairs))

    def _follow_contents(self, node: Node) -> None:
        if node.op == "Shape" and node.domain == "":
            self._follow_shape(node)
        elif is_computable(node, self._known) and self._is_small(node):
            self._known.update(compute(self._graph, node, self._known) or {})

    def _follow_shape(self, node: Node) -> None:
        source = self.types.get(node.inputs[0])
        if source is not None and source.is_static:
            start, end = node.attributes.get("start", 0), node.attributes.get("end")
            self._known[node.outputs[0]] = np.array(source.static_shape[start:end], np.int64)

    def _is_small(self, node: Node) -> bool:
        if node.op == "NonZero":  # its output's size depends on data, but it is bounded by its input's
            return True
        values = [self.types.get(name) for name in node.outputs if name]
        return all(value and value.is_static and math.prod(value.static_shape) <= _SMALL for value in values)

    def _shapes_from_running(self, node: Node) -> dict[str, Value]:
        """Types of what a node makes of zeros and of ones, if both runs agree."""
        zeros, ones = (self._run_on(node, fill) for fill in (0, 1))
        if zeros is None or ones is None:
            return {}
        return {name: value for name, value in zeros.items() if ones[name] == value}

    def _run_on(self, node: Node, fill: int) -> dict[str, Value] | None:
        contents: dict[str, np.ndarray] = {}
        for name in filter(None, node.inputs):
            value = self.types.get(name)
            if value is None or not value.is_static:
                return None
            filled = np.full(value.static_shape, fill, value.dtype)
            contents[name] = self._graph.constants.get(name, self._known.get(name, filled))
        outputs = compute(self._graph, node, contents)
        if outputs is None:
            return None
        return {name: Value(name, str(array.dtype), array.shape) for name, array in outputs.items()}


def _fixed_inputs(
    graph: Graph, sizes: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[Value, ...], dict[str, int]]:
    """The inputs with static shapes, and what the names of sizes turned out to be."""
    unknown = [name for name in sizes if name not in {value.name for value in graph.inputs}]
    if unknown:
        names = ", ".join(value.name for value in graph.inputs)
        raise BadInput(f"--shape {unknown[0]}", "names no input of the model", f"its inputs are {names}")
    symbols: dict[str, int] = {}
    for value in graph.inputs:
        if value.name in sizes:
            _bind(value, sizes[value.name], symbols)
    fixed = [
        replace(value, shape=sizes.get(value.name, _substituted(value.shape, symbols)))
        for value in graph.inputs
    ]
    dynamic = [value for value in fixed if not value.is_static]
    if dynamic:
        raise _no_size(dynamic)
    return tuple(fixed), symbols


def _bind(value: Value, given: tuple[int, ...], symbols: dict[str, int]) -> None:
    """Check a given shape against the input's and note what the names of its sizes stand for."""
    flag = f"--shape {value.name}={_joined(given)}"
    way_out = f"input {value.name!r} has the shape {describe_shape(value.shape)}"
    if any(size < 1 for size in given):
        raise BadInput(flag, "has a size below 1", way_out)
    if value.shape is None:
        return
    if len(given) != len(value.shape):
        raise BadInput(flag, f"has {len(given)} sizes where the model wants {len(value.shape)}", way_out)
    for size, wanted in zip(given, value.shape, strict=True):
        expected = symbols.setdefault(wanted, size) if isinstance(wanted, str) else wanted
        if expected is not None and size != expected:
            raise BadInput(flag, f"gives {size} where the model has {expected} ({wanted})", way_out)


def _no_size(dynamic: Sequence[Value]) -> BadInput:
    shapes = [
        f"input {value.name!r} has the dynamic shape {describe_shape(value.shape)}" for value in dynamic
    ]
    flags = [f"--shape {value.name}={_joined(_example(value))}" for value in dynamic]
    return BadInput(", ".join(shapes), "its sizes are needed", f"give {' '.join(flags)}, with your sizes")


def _example(value: Value) -> tuple[int, ...]:
    """Sizes that show how the flag is written: a batch of one, pictures of 224, else 16."""
    shape = value.shape or (None, 3, None, None)
    other = 224 if len(shape) == 4 else 16
    free = [1 if place == 0 else other for place in range(len(shape))]
    return tuple(size if isinstance(size, int) else free[place] for place, size in enumerate(shape))


def describe_shape(shape: tuple[Dimension, ...] | None) -> str:
    """Write a shape for a person: ``(batch, 3, ?, ?)``."""
    if shape is None:
        return "of unknown rank"
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


def _joined(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def _substituted(
    shape: tuple[Dimension, ...] | None, symbols: Mapping[str, int]
) -> tuple[Dimension, ...] | None:
    if shape is None:
        return None
    return tuple(symbols.get(size, size) if isinstance(size, str) else size for size in shape)
