"""Reductions over axes, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from taut.graph.ir import Node
from taut.kernels.base import Kernel
from taut.kernels.expression import (
    RESULT,
    Expression,
    Load,
    Result,
    apply,
    is_vector,
    loads,
    map_views,
    number,
)
from taut.kernels.reduce import Reduce
from taut.kernels.softmax import LONGEST_ROW, Softmax
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Deferred, Lowering, NotLowered, Pending
from taut.runtimes.aot.ops.elementwise import clip, float32_only

_SHORTEST_ROW = 8
"""Elements from which a softmax along them is worth vectors"""


def reduced(
    x: Pending, axes: Sequence[int], combine: str, element: Callable[[Expression], Expression]
) -> Deferred:
    """Combine an element's function over some axes; the value keeps them with size one."""
    rank = len(x.shape)
    kept = [axis for axis in range(rank) if axis not in axes]
    turn = [*kept, *axes]
    summed = tuple(x.shape[axis] for axis in axes)
    expression = map_views(element(x.expression), lambda view: view.transpose(turn))

    def drop(view: View) -> View:
        for axis in sorted(axes, reverse=True):
            view = view.at(axis, 0)
        return view

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Reduce(drop(place), expression, summed, combine, map_views(epilogue, drop))]

    return Deferred(make, tuple(axis for axis in x.order if axis not in axes) + tuple(axes))


def settled(lowering: Lowering, name: str) -> Pending:
    """A value as an expression that waits for no kernel."""
    shape = lowering.shape(name)
    pending = lowering.pending(name, shape)
    if pending.deferred is not None:
        lowering.view(name)
        pending = lowering.pending(name, shape)
    return pending


def _axes(lowering: Lowering, node: Node, rank: int) -> list[int]:
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        axes = lowering.known(node.inputs[1], node).tolist()
    if not axes:
        axes = [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return [axis % rank for axis in axes]


def _reduction(
    combine: str,
    element: Callable[[Expression], Expression] = lambda x: x,
    after: Callable[[Expression, int], Expression] = lambda x, _: x,
    axes_of: Callable[[Lowering, Node, int], list[int]] = _axes,
) -> Callable[[Lowering, Node], None]:
    def rule(lowering: Lowering, node: Node) -> None:
        x = settled(lowering, node.inputs[0])
        axes = axes_of(lowering, node, len(x.shape))
        if x.expression.dtype in ("bool", "float16", "bfloat16") or not axes or 0 in x.shape:
            raise NotLowered(f"{node.op} {node.name!r} of {x.expression.dtype} over {axes}")
        count = math.prod(x.shape[axis] for axis in axes)
        epilogue = after(Result(x.expression.dtype), count)
        _define_reduced(lowering, node, epilogue, axes, reduced(x, axes, combine, element))

    return rule


def _define_reduced(
    lowering: Lowering, node: Node, epilogue: Expression, axes: Sequence[int], deferred: Deferred
) -> None:
    """Define the output, which has the axes with size one, or not at all."""
    name, output = node.inputs[0], node.outputs[0]
    full = tuple(1 if axis in axes else size for axis, size in enumerate(lowering.shape(name)))
    shape = lowering.shape(output)
    if shape == full:
        lowering.define(output, Pending(epilogue, shape, deferred))
        return

    def make(place: View, expression: Expression) -> Sequence[Kernel]:
        return deferred.make(
            _in_shape(place, full), map_views(expression, lambda view: _in_shape(view, full))
        )

    narrow = map_views(epilogue, lambda view: _in_shape(view, shape))
    lowering.define(output, Pending(narrow, shape, Deferred(make, tuple(range(len(shape))))))


def _in_shape(view: View, shape: Sequence[int]) -> View:
    """The view in a shape that differs in axes of size one."""
    found = view.reshape(shape)
    assert found is not None, "axes of size one come and go freely"
    return found


def _log_sum_exp(lowering: Lowering, node: Node) -> None:
    """max + log(sum(exp(x - max))), which cannot overflow; the maximum is made finite, against inf - inf."""
    x = settled(lowering, node.inputs[0])
    axes = _axes(lowering, node, len(x.shape))
    if not axes or 0 in x.shape:
        raise NotLowered(f"{node.op} {node.name!r} over {axes}")
    source = x if isinstance(x.expression, Load) else Pending(store(lowering, x), x.shape)
    full = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    largest = reduced(source, axes, "max", lambda one: one)
    limit = float(np.finfo(np.float32).max)
    top = store(lowering, Pending(clip(RESULT, -limit, limit), full, largest))
    shifted = apply("sub", source.expression, Load(top.view.broadcast(x.shape)))
    total = reduced(source, axes, "sum", lambda _: apply("exp", shifted))
    _define_reduced(lowering, node, apply("add", apply("log", RESULT), top), axes, total)


def _mean(x: Expression, count: int) -> Expression:
    if x.dtype.startswith("float"):
        return apply("mul", x, number(1 / count, x.dtype))
    return apply("intdiv", x, number(count, x.dtype))


def _spatial(_lowering: Lowering, _node: Node, rank: int) -> list[int]:
    return list(range(2, rank))


def store(lowering: Lowering, pending: Pending) -> Load:
    """Compute a value that has no name, and return it as a leaf."""
    place = lowering.allocate(pending.shape, "float32", pending.order)
    lowering.compute(pending, place)
    return Load(place)


def _softmax(lowering: Lowering, node: Node) -> None:
    """exp(x - max) over its sum, which cannot overflow; LogSoftmax without the exponential of the result."""
    x = settled(lowering, node.inputs[0])
    rank = len(x.shape)
    is_old = lowering.graph.opsets[""] < 13
    axis = node.attributes.get("axis", 1 if is_old else -1) % rank
    axes = list(range(axis, rank)) if is_old else [axis]
    if axes == [rank - 1] and _is_of_rows(x):
        _define_rows(lowering, node, x)
        return
    full = tuple(1 if place in axes else size for place, size in enumerate(x.shape))
    source = x if isinstance(x.expression, Load) else Pending(store(lowering, x), x.shape)

    def spread(leaf: Load) -> Load:
        return Load(leaf.view.broadcast(x.shape))

    top = spread(store(lowering, Pending(RESULT, full, reduced(source, axes, "max", lambda one: one))))
    shifted = apply("sub", source.expression, top)
    if node.op == "LogSoftmax":
        total = reduced(source, axes, "sum", lambda _: apply("exp", shifted))
        log = store(lowering, Pending(apply("log", RESULT), full, total))
        lowering.define(node.outputs[0], Pending(apply("sub", shifted, spread(log)), x.shape))
        return
    exponentials = Pending(store(lowering, Pending(apply("exp", shifted), x.shape)), x.shape)
    total = reduced(exponentials, axes, "sum", lambda one: one)
    inverse = store(lowering, Pending(apply("div", number(1), RESULT), full, total))
    result = apply("mul", exponentials.expression, spread(inverse))
    lowering.define(node.outputs[0], Pending(result, x.shape))


def _is_of_rows(x: Pending) -> bool:
    """Whether the last axis lies densely, in rows that are worth vectors and stay in the first cache."""
    is_dense = all(view.strides[-1] in (0, 1) for view in loads(x.expression))
    return is_dense and _SHORTEST_ROW <= x.shape[-1] <= LONGEST_ROW and is_vector(x.expression)


def _define_rows(lowering: Lowering, node: Node, x: Pending) -> None:
    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Softmax(place, x.expression, epilogue, node.op == "LogSoftmax")]

    deferred = Deferred(make, tuple(range(len(x.shape))))
    lowering.define(node.outputs[0], Pending(RESULT, x.shape, deferred))


def _root(x: Expression, _: int) -> Expression:
    return apply("sqrt", x)


def _squared(x: Expression) -> Expression:
    return apply("mul", x, x)


def _global_lp_pool(lowering: Lowering, node: Node) -> None:
    order = node.attributes.get("p", 2)
    root = partial(apply_root, order=order)
    rule = _reduction("sum", partial(apply_power, order=order), lambda x, _: root(x), _spatial)
    rule(lowering, node)


def apply_power(x: Expression, order: int) -> Expression:
    """|x| to a whole power."""
    if order == 1:
        return apply("abs", x)
    if order == 2:
        return _squared(x)
    return apply("pow", apply("abs", x), number(order))


def apply_root(x: Expression, order: int) -> Expression:
    """The inverse of ``apply_power``."""
    if order <= 2:
        return apply("sqrt", x) if order == 2 else x
    return apply("pow", x, number(1 / order))


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "ReduceSum": _reduction("sum"),
    "ReduceMean": _reduction("sum", after=_mean),
    "ReduceMax": _reduction("max"),
    "ReduceMin": _reduction("min"),
    "ReduceProd": _reduction("prod"),
    "ReduceSumSquare": _reduction("sum", _squared),
    "ReduceL1": _reduction("sum", lambda x: apply("abs", x)),
    "ReduceL2": float32_only(_reduction("sum", _squared, _root)),
    "ReduceLogSum": float32_only(_reduction("sum", after=lambda x, _: apply("log", x))),
    "ReduceLogSumExp": float32_only(_log_sum_exp),
    "GlobalAveragePool": _reduction("sum", after=_mean, axes_of=_spatial),
    "GlobalLpPool": float32_only(_global_lp_pool),
    "GlobalMaxPool": _reduction("max", axes_of=_spatial),
    "Softmax": float32_only(_softmax),
    "LogSoftmax": float32_only(_softmax),
}
