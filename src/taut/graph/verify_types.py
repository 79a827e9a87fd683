"""The invariants of ``verify`` that need types: recorded types, weights, reshapes, quantization.

Channel counts and element counts are compared here because onnx's inference passes over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import onnx

from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.shapes import TypeWalk, describe_shape

_Sizes = tuple[int, ...]


def walk_through(graph: Graph) -> TypeWalk:
    """Infer types from the inputs on, trusting the record only for operators that onnx does not know."""
    foreign = {name for node in graph if not onnx.defs.has(node.op, node.domain) for name in node.outputs}
    stated = {name: value for name in foreign if (value := graph.value(name)) is not None}
    walk = TypeWalk(replace(graph, outputs=(), values=stated), graph.inputs, {})
    for node in graph:
        walk.visit(node)
    return walk


def _weights(graph: Graph, walk: TypeWalk) -> Iterator[str]:
    for node in graph:
        check = _CHANNELS.get(node.op) if node.domain == "" else None
        shapes = [_static_shape(walk, name) for name in node.inputs]
        if check is not None and shapes[0] is not None and shapes[1] is not None:
            yield from _misfits(node, check(node, shapes[0], shapes[1]), shapes)


def _static_shape(walk: TypeWalk, name: str) -> _Sizes | None:
    value = walk.types.get(name)
    return value.static_shape if value is not None and value.is_static else None


def _misfits(node: Node, expected: dict[int, _Sizes], shapes: list[_Sizes | None]) -> Iterator[str]:
    for place, wanted in expected.items():
        if place < len(shapes) and shapes[place] not in (None, wanted):
            found, right = describe_shape(shapes[place]), describe_shape(wanted)
            yield f"input {node.inputs[place]!r} of node {node.name!r} has the shape {found}, not {right}"


def _conv_channels(node: Node, x: _Sizes, weight: _Sizes) -> dict[int, _Sizes]:
    group = node.attributes.get("group", 1)
    fitting = weight[0] - weight[0] % group  # every group has equally many outputs
    return {1: (fitting, x[1] // group, *weight[2:]), 2: (weight[0],)}


def _conv_transpose_channels(node: Node, x: _Sizes, weight: _Sizes) -> dict[int, _Sizes]:
    return {1: (x[1], *weight[1:]), 2: (weight[1] * node.attributes.get("group", 1),)}


def _batch_norm_channels(_node: Node, x: _Sizes, _scale: _Sizes) -> dict[int, _Sizes]:
    return {place: (x[1] if len(x) > 1 else 1,) for place in range(1, 5)}


_CHANNELS: dict[str, Callable[[Node, _Sizes, _Sizes], dict[int, _Sizes]]] = {
    "Conv": _conv_channels,
    "ConvTranspose": _conv_transpose_channels,
    "BatchNormalization": _batch_norm_channels,
}


def _types(graph: Graph, walk: TypeWalk) -> Iterator[str]:
    for node in graph:
        made = [name for name in node.outputs if name]
        for name in made:
            yield from _disagreement(node, graph.value(name), walk.types.get(name))
        if node.domain == "" and _has_shapes(walk, reads(node)) and not _has_shapes(walk, made):
            complaint = walk.complaint(node)
            yield from [f"node {node.name!r}: {complaint}"] if complaint else []


def _reshapes(graph: Graph, walk: TypeWalk) -> Iterator[str]:
    for node in graph:
        if node.op == "Reshape" and node.domain == "":
            before, after = (_static_shape(walk, name) for name in (node.inputs[0], node.outputs[0]))
            if before is not None and after is not None and math.prod(before) != math.prod(after):
                yield f"node {node.name!r} makes {describe_shape(after)} of {describe_shape(before)}"


def _has_shapes(walk: TypeWalk, names: Iterable[str]) -> bool:
    values = [walk.types.get(name) for name in names]
    return all(value is not None and value.shape is not None for value in values)


def _disagreement(node: Node, recorded: Value | None, inferred: Value | None) -> Iterator[str]:
    if recorded is None or inferred is None:
        return
    place = f"value {recorded.name!r} of node {node.name!r}"
    if recorded.dtype != inferred.dtype:
        yield f"{place} is recorded as {recorded.dtype} but is {inferred.dtype}"
    if recorded.shape is not None and inferred.shape is not None and not _fit(recorded, inferred):
        shapes = describe_shape(recorded.shape), describe_shape(inferred.shape)
        yield f"{place} is recorded with the shape {shapes[0]} but has {shapes[1]}"


def _fit(left: Value, right: Value) -> bool:
    assert left.shape is not None and right.shape is not None
    pairs = zip(left.shape, right.shape, strict=False)
    is_same_rank = len(left.shape) == len(right.shape)
    return is_same_rank and all(
        one == other or not (isinstance(one, int) and isinstance(other, int)) for one, other in pairs
    )


def _quantization(graph: Graph, walk: TypeWalk) -> Iterator[str]:
    for node in graph:
        if node.op in ("QuantizeLinear", "DequantizeLinear") and node.domain == "":
            for problem in (*_scale_problems(graph, walk, node), *_zero_point_problems(graph, walk, node)):
                yield f"node {node.name!r}: {problem}"


def _scale_problems(graph: Graph, walk: TypeWalk, node: Node) -> Iterator[str]:
    scale = graph.constants.get(node.inputs[1])
    if scale is None:
        return
    numbers = scale.astype(np.float64)
    if not bool((np.isfinite(numbers) & (numbers > 0)).all()):
        yield f"scale {node.inputs[1]!r} is not positive and finite everywhere"
    source, axis = walk.types.get(node.inputs[0]), node.attributes.get("axis", 1)
    if scale.ndim == 1 and scale.size > 1 and source is not None and source.is_static:
        sizes = source.static_shape
        if not -len(sizes) <= axis < len(sizes) or sizes[axis] != scale.size:
            yield f"{scale.size} scales do not fit axis {axis} of {describe_shape(sizes)}"


def _zero_point_problems(graph: Graph, walk: TypeWalk, node: Node) -> Iterator[str]:
    if len(node.inputs) < 3 or node.inputs[2] not in graph.constants:
        return
    zero_point, scale = graph.constants[node.inputs[2]], walk.types.get(node.inputs[1])
    quantized = walk.types.get((node.outputs if node.op == "QuantizeLinear" else node.inputs)[0])
    if quantized is not None and quantized.dtype != str(zero_point.dtype):
        yield f"zero point is {zero_point.dtype} but the quantized value is {quantized.dtype}"
    if scale is not None and scale.is_static and scale.static_shape != zero_point.shape:
        yield f"zero point has the shape {zero_point.shape} but the scale {scale.static_shape}"


TYPED_INVARIANTS: dict[str, Callable[[Graph, TypeWalk], Iterator[str]]] = {
    "weights fit their inputs": _weights,
    "quantization is well-formed": _quantization,
    "reshapes keep the number of elements": _reshapes,
    "recorded types are right": _types,
}
"""What is wrong comes before the types that follow from it"""
