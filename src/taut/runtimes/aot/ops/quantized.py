"""Quantized values: pairs around integer kernels disappear into what is stored and what is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from taut.graph.ir import Graph, Node
from taut.kernels.expression import Expression, Load, apply, as_float, number
from taut.kernels.view import View
from taut.runtimes.aot.lowering import (
    CODE_TYPES,
    UNSIGNED,
    Affine,
    Codes,
    Lowering,
    NotLowered,
    Pending,
    stored_type,
    weights,
)
from taut.runtimes.aot.ops.elementwise import RULES as ELEMENTWISE


def affine_of(graph: Graph, node: Node) -> Affine | None:
    """What the codes of a QuantizeLinear or DequantizeLinear stand for, as they are stored.

    None where scale and zero point are not known or not single numbers.
    """
    codes = node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]
    has_zero = len(node.inputs) > 2 and node.inputs[2]
    scale = graph.constants.get(node.inputs[1])
    zero = graph.constants.get(node.inputs[2]) if has_zero else np.zeros((), np.int8)
    if scale is None or zero is None or scale.size != 1 or zero.size != 1 or scale.dtype != np.float32:
        return None
    value = graph.value(codes)
    if value is None or value.dtype not in CODE_TYPES:
        return None
    dtype = stored_type(graph, codes)
    shift = UNSIGNED if dtype != value.dtype else 0
    return Affine(dtype, float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]) + shift)


def _known_affine(lowering: Lowering, node: Node) -> Affine:
    if (affine := affine_of(lowering.graph, node)) is None:
        raise NotLowered(f"{node.op} {node.name!r} is not of 8 bits with one known scale")
    return affine


def _quantize(lowering: Lowering, node: Node) -> None:
    """The code of a value, pending before it is rounded."""
    name, output = node.inputs[0], node.outputs[0]
    affine, before = _known_affine(lowering, node), lowering.codes.get(name)
    if before is not None and before.affine == affine:
        lowering.define(output, before.view)
        return
    value = lowering.pending(name, lowering.shape(output))
    lowering.define(output, Pending(affine.codes(value.expression), value.shape, value.deferred))


def only_quantizer(lowering: Lowering, name: str) -> Node | None:
    """The QuantizeLinear that alone reads a value."""
    readers = lowering.graph.consumers(name)
    is_alone = len(readers) == 1 and readers[0].op == "QuantizeLinear" and not lowering.graph.is_output(name)
    return readers[0] if is_alone and affine_of(lowering.graph, readers[0]) is not None else None


def write_codes(lowering: Lowering, name: str, affine: Affine, place: View) -> None:
    """Put the codes of a value into a place."""
    before = lowering.codes.get(name)
    if before is not None and before.affine == affine:
        lowering.compute(Pending(Load(before.view), place.shape), place)
        return
    value = lowering.pending(name, place.shape)
    codes = Pending(affine.codes(value.expression), value.shape, value.deferred, value.nodes)
    lowering.compute(codes, place)


def _dequantize(lowering: Lowering, node: Node) -> None:
    name, output = node.inputs[0], node.outputs[0]
    if (array := lowering.constant(name)) is not None:
        lowering.define_constant(output, dequantized(lowering, node, array))
        return
    affine = _known_affine(lowering, node)
    if _is_taken_in(lowering.graph, output) and (value := lowering.absorb(name)) is not None:
        numbers = affine.numbers(affine.rounded(value.expression))
        lowering.define(output, Pending(numbers, value.shape, value.deferred))
        return
    lowering.define_codes(output, Codes(lowering.view(name), affine))


def _is_taken_in(graph: Graph, name: str) -> bool:
    """Whether a value is read once, by an operator that goes on with its expression."""
    readers = graph.consumers(name)
    return len(readers) == 1 and readers[0].op in ELEMENTWISE and not graph.is_output(name)


def dequantized(lowering: Lowering, node: Node, codes: np.ndarray) -> np.ndarray:
    """A constant behind a DequantizeLinear, in float32."""
    scale, zero = lowering.known(node.inputs[1], node), np.zeros((), codes.dtype)
    if len(node.inputs) > 2 and node.inputs[2]:
        zero = lowering.known(node.inputs[2], node)
    if node.attributes.get("block_size", 0):
        raise NotLowered(f"DequantizeLinear {node.name!r} has a scale for each block")
    axis = node.attributes.get("axis", 1) % max(1, codes.ndim)

    def along(array: np.ndarray) -> np.ndarray:
        shape = [-1 if place == axis else 1 for place in range(codes.ndim)]
        return array.reshape(shape) if array.size > 1 else array.reshape(())

    return ((codes.astype(np.float32) - along(zero).astype(np.float32)) * along(scale)).astype(np.float32)


def unsigned(lowering: Lowering, codes: Codes) -> Codes:
    """The same codes as unsigned bytes; copied where they are not."""
    if codes.view.dtype == "uint8":
        return codes
    shift = UNSIGNED if codes.affine.dtype == "int8" else 0
    shifted = apply("add", as_float(codes.view), number(shift))
    place = lowering.allocate(codes.view.shape, "uint8", codes.view.order)
    lowering.compute(Pending(shifted, codes.view.shape), place)
    return Codes(place, Affine("uint8", codes.affine.scale, codes.affine.zero + shift))


def by_column(array: np.ndarray, shape: tuple[int, ...], axis: int) -> Expression:
    """Numbers of each place along one axis, as part of an expression of a shape."""
    sizes = [array.size if place == axis else 1 for place in range(len(shape))]
    return Load(weights(array.astype(np.float32).reshape(sizes)).broadcast(shape))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
