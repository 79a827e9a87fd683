"""Normalisations: moments by reductions, the rest an expression that what follows goes on with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from taut.graph.ir import Node
from taut.kernels.expression import RESULT, Expression, Load, apply, number
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Lowering, NotLowered, Pending, weights
from taut.runtimes.aot.ops.elementwise import define_elementwise
from taut.runtimes.aot.ops.reduction import reduced, settled, store


def _batch_norm(lowering: Lowering, node: Node) -> None:
    """An affine function of each channel."""
    if node.attributes.get("training_mode", 0) or any(node.outputs[1:]):
        raise NotLowered(f"BatchNormalization {node.name!r} trains")
    scale, bias, mean, variance = (lowering.known(name, node).astype(np.float64) for name in node.inputs[1:5])
    slope = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    shape = lowering.shape(node.outputs[0])
    factor, shift = _by_channel(slope, shape), _by_channel(bias - mean * slope, shape)
    define_elementwise(
        lowering, node, lambda x: apply("add", apply("mul", x, factor), shift), node.inputs[:1]
    )


def _by_channel(array: np.ndarray, shape: Sequence[int]) -> Expression:
    view = weights(array.astype(np.float32)).split(0, (len(array), *[1] * (len(shape) - 2)))
    return Load(view.broadcast(shape))


def _normalised(lowering: Lowering, x: Pending, axes: Sequence[int], epsilon: float) -> Expression:
    """(x - mean) / sqrt(variance + epsilon), in two passes, as a difference of large squares would cancel."""
    source = x if isinstance(x.expression, Load) else Pending(store(lowering, x), x.shape)
    full = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    share = number(1 / math.prod(x.shape[axis] for axis in axes))

    def moment(
        element: Callable[[Expression], Expression], after: Callable[[Expression], Expression]
    ) -> Load:
        combined = reduced(source, axes, "sum", element)
        return Load(store(lowering, Pending(after(RESULT), full, combined)).view.broadcast(x.shape))

    mean = moment(lambda one: one, lambda total: apply("mul", total, share))
    centred = apply("sub", source.expression, mean)

    def inverse_deviation(total: Expression) -> Expression:
        variance = apply("add", apply("mul", total, share), number(epsilon))
        return apply("div", number(1), apply("sqrt", variance))

    return apply("mul", centred, moment(lambda _: apply("mul", centred, centred), inverse_deviation))


def _layer_norm(lowering: Lowering, node: Node) -> None:
    if any(node.outputs[1:]):
        raise NotLowered(f"LayerNormalization {node.name!r} gives its moments")
    x = settled(lowering, node.inputs[0])
    axis = node.attributes.get("axis", -1) % len(x.shape)
    axes = list(range(axis, len(x.shape)))
    result = _normalised(lowering, x, axes, node.attributes.get("epsilon", 1e-5))
    result = apply("mul", result, lowering.expression(node.inputs[1], x.shape))
    if len(node.inputs) > 2 and node.inputs[2]:
        result = apply("add", result, lowering.expression(node.inputs[2], x.shape))
    lowering.define(node.outputs[0], Pending(result, x.shape))


def _instance_norm(lowering: Lowering, node: Node) -> None:
    x = settled(lowering, node.inputs[0])
    result = _normalised(lowering, x, list(range(2, len(x.shape))), node.attributes.get("epsilon", 1e-5))
    scale, bias = (lowering.known(name, node) for name in node.inputs[1:3])
    result = apply("add", apply("mul", result, _by_channel(scale, x.shape)), _by_channel(bias, x.shape))
    lowering.define(node.outputs[0], Pending(result, x.shape))


def _lp_norm(lowering: Lowering, node: Node) -> None:
    if node.attributes.get("p", 2) != 2:
        raise NotLowered(f"LpNormalization {node.name!r} of order {node.attributes.get('p')}")
    x = settled(lowering, node.inputs[0])
    source = x if isinstance(x.expression, Load) else Pending(store(lowering, x), x.shape)
    axis = node.attributes.get("axis", -1) % len(x.shape)
    full = tuple(1 if place == axis else size for place, size in enumerate(x.shape))
    total = reduced(source, [axis], "sum", lambda one: apply("mul", one, one))
    length: View = store(lowering, Pending(apply("sqrt", RESULT), full, total)).view
    result = apply("div", source.expression, Load(length.broadcast(x.shape)))
    lowering.define(node.outputs[0], Pending(result, x.shape))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "LpNormalization": _lp_norm,
}
