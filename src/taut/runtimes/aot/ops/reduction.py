"""Reductions over axes, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from taut.graph.ir import Node
from taut.kernels.base import Kernel
from taut.kernels.expression import RESULT, Expression, Load, apply, map_views, number
from taut.kernels.reduce import Reduce
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Deferred, Lowering, NotLowered, Pending


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
        name, output = node.inputs[0], node.outputs[0]
        x = settled(lowering, name)
        axes = axes_of(lowering, node, len(x.shape))
        if x.expression.dtype != "float32" or not axes or 0 in x.shape:
            raise NotLowered(f"{node.op} {node.name!r} of {x.expression.dtype} over {axes}")
        deferred = reduced(x, axes, combine, element)
        count = int(np.prod([x.shape[axis] for axis in axes]))
        full = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        shape = lowering.shape(output)
        epilogue = after(RESULT, count)
        if shape == full:
            lowering.define(output, Pending(epilogue, shape, deferred))
            return

        def widen(view: View) -> View:
            found = view.reshape(full)
            assert found is not None, "axes of size one come and go freely"
            return found

        def make(place: View, expression: Expression) -> Sequence[Kernel]:
            return deferred.make(widen(place), map_views(expression, widen))

        lowering.define(output, Pending(epilogue, shape, Deferred(make, tuple(range(len(shape))))))

    return rule


def _mean(x: Expression, count: int) -> Expression:
    return apply("mul", x, number(1 / count))


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


def _root(x: Expression, _: int) -> Expression:
    return apply("sqrt", x)


def _squared(x: Expression) -> Expression:
    return apply("mul", x, x)


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "ReduceSum": _reduction("sum"),
    "ReduceMean": _reduction("sum", after=_mean),
    "ReduceMax": _reduction("max"),
    "ReduceMin": _reduction("min"),
    "ReduceProd": _reduction("prod"),
    "ReduceSumSquare": _reduction("sum", _squared),
    "ReduceL1": _reduction("sum", lambda x: apply("abs", x)),
    "ReduceL2": _reduction("sum", _squared, _root),
    "ReduceLogSum": _reduction("sum", after=lambda x, _: apply("log", x)),
    "GlobalAveragePool": _reduction("sum", after=_mean, axes_of=_spatial),
    "GlobalMaxPool": _reduction("max", axes_of=_spatial),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}
