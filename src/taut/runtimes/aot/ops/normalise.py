"""Normalisations: moments by reductions, the rest an expression that what follows goes on with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from taut.graph.ir import Node
from taut.kernels.expression import RESULT, Expression, Load, apply, number
from taut.kernels.map import Map
from taut.runtimes.aot.lowering import Lowering, NotLowered, Pending, weights
from taut.runtimes.aot.ops.elementwise import define_elementwise, float32_only
from taut.runtimes.aot.ops.reduction import apply_power, apply_root, reduced, settled, store


def _batch_norm(lowering: Lowering, node: Node) -> None:
    """An affine function of each channel."""
    if node.attributes.get("training_mode", 0):
        raise NotLowered(f"BatchNormalization {node.name!r} trains")
    if not node.attributes.get("spatial", 1):
        raise NotLowered(f"BatchNormalization {node.name!r} has moments of each place")
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


def _over_deviation(epsilon: float) -> Callable[[Expression], Expression]:
    """1 / sqrt(variance + epsilon)"""
    return lambda variance: apply("div", number(1), apply("sqrt", apply("add", variance, number(epsilon))))


def _normalised(
    lowering: Lowering, x: Pending, axes: Sequence[int], factor: Callable[[Expression], Expression]
) -> Expression:
    """(x - mean) times a factor of the variance; in two passes, as a difference of squares would cancel."""
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
    scale = moment(lambda _: apply("mul", centred, centred), lambda total: factor(apply("mul", total, share)))
    return apply("mul", centred, scale)


def _layer_norm(lowering: Lowering, node: Node) -> None:
    if node.attributes.get("stash_type", 1) != 1:
        raise NotLowered(f"LayerNormalization {node.name!r} keeps moments in another type than float32")
    x = settled(lowering, node.inputs[0])
    axis = node.attributes.get("axis", -1) % len(x.shape)
    axes = list(range(axis, len(x.shape)))
    result = _normalised(lowering, x, axes, _over_deviation(node.attributes.get("epsilon", 1e-5)))
    result = apply("mul", result, lowering.expression(node.inputs[1], x.shape))
    if len(node.inputs) > 2 and node.inputs[2]:
        result = apply("add", result, lowering.expression(node.inputs[2], x.shape))
    lowering.define(node.outputs[0], Pending(result, x.shape))


def _instance_norm(lowering: Lowering, node: Node) -> None:
    x = settled(lowering, node.inputs[0])
    factor = _over_deviation(node.attributes.get("epsilon", 1e-5))
    result = _normalised(lowering, x, list(range(2, len(x.shape))), factor)
    scale, bias = (lowering.known(name, node) for name in node.inputs[1:3])
    result = apply("add", apply("mul", result, _by_channel(scale, x.shape)), _by_channel(bias, x.shape))
    lowering.define(node.outputs[0], Pending(result, x.shape))


def _group_norm(lowering: Lowering, node: Node) -> None:
    """Groups of channels are an axis of their own; scale and bias are of groups before opset 21."""
    if node.attributes.get("stash_type", 1) != 1:
        raise NotLowered(f"GroupNormalization {node.name!r} keeps moments in another type than float32")
    view, groups = lowering.view(node.inputs[0]), node.attributes["num_groups"]
    sizes = (groups, view.shape[1] // groups)
    apart = view.split(1, sizes)
    factor = _over_deviation(node.attributes.get("epsilon", 1e-5))
    x = Pending(Load(apart), apart.shape)
    result = _normalised(lowering, x, list(range(2, len(apart.shape))), factor)

    def affine(name: str) -> Expression:
        given = lowering.view(name)
        spread = given.split(0, sizes if given.shape[0] == view.shape[1] else (groups, 1))
        ones = [1] * (len(view.shape) - 2)
        return Load(spread.split(1, (spread.shape[1], *ones)).broadcast(apart.shape))

    result = apply("add", apply("mul", result, affine(node.inputs[1])), affine(node.inputs[2]))
    out = lowering.place_of(node.outputs[0], view.order)
    lowering.add(Map(out.split(1, sizes), result))
    lowering.define(node.outputs[0], out)


def _mean_variance_norm(lowering: Lowering, node: Node) -> None:
    """(x - mean) / (deviation + 1e-9), as the operator's definition has it."""
    x = settled(lowering, node.inputs[0])
    axes = [axis % len(x.shape) for axis in node.attributes.get("axes", [0, 2, 3])]

    def factor(variance: Expression) -> Expression:
        return apply("div", number(1), apply("add", apply("sqrt", variance), number(1e-9)))

    lowering.define(node.outputs[0], Pending(_normalised(lowering, x, axes, factor), x.shape))


def _lp_norm(lowering: Lowering, node: Node) -> None:
    """x over its length; zeros have no direction and stay zeros."""
    order = node.attributes.get("p", 2)
    x = settled(lowering, node.inputs[0])
    source = x if isinstance(x.expression, Load) else Pending(store(lowering, x), x.shape)
    axis = node.attributes.get("axis", -1) % len(x.shape)
    full = tuple(1 if place == axis else size for place, size in enumerate(x.shape))
    total = reduced(source, [axis], "sum", partial(apply_power, order=order))
    length = apply_root(RESULT, order)
    divisor = apply("where", apply("greater", length, number(0)), length, number(1))
    stored = store(lowering, Pending(divisor, full, total)).view
    result = apply("div", source.expression, Load(stored.broadcast(x.shape)))
    lowering.define(node.outputs[0], Pending(result, x.shape))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "BatchNormalization": float32_only(_batch_norm),
    "LayerNormalization": float32_only(_layer_norm),
    "InstanceNormalization": float32_only(_instance_norm),
    "GroupNormalization": float32_only(_group_norm),
    "MeanVarianceNormalization": float32_only(_mean_variance_norm),
    "LpNormalization": float32_only(_lp_norm),
}
