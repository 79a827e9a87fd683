"""Einsum: a product of views that share names of axes, summed over the names that the result lacks.

Two operands that share every name that is summed are a matrix product over batches; all else is one
reduction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from taut.graph.ir import Node
from taut.kernels.base import Kernel
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Expression, Load, apply
from taut.kernels.reduce import Reduce
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Deferred, Lowering, Pending, text_of
from taut.runtimes.aot.ops.elementwise import float32_only

_ELLIPSIS = "0123456789"
"""Names of the axes that an ellipsis stands for, right aligned; names in an equation are letters"""


def _einsum(lowering: Lowering, node: Node) -> None:
    views = [lowering.plain(name) for name in node.inputs]
    names, result = _terms(text_of(node, "equation", ""), [len(view.shape) for view in views])
    labelled = [_distinct(view, term) for view, term in zip(views, names, strict=True)]
    sizes: dict[str, int] = {}
    for view, term in labelled:
        for label, size in zip(term, view.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    summed = "".join(label for label in sizes if label not in result)
    if len(labelled) == 2 and summed and all(set(summed) <= set(term) for _, term in labelled):
        lowering.define(node.outputs[0], _product(lowering, labelled, result, summed, sizes))
        return
    full = [sizes[label] for label in result + summed]
    factors: list[Expression] = [Load(_aligned(*one, result + summed).broadcast(full)) for one in labelled]
    product = reduce(lambda x, y: apply("mul", x, y), factors)
    shape = tuple(sizes[label] for label in result)

    if not summed:
        lowering.define(node.outputs[0], Pending(product, shape))
        return

    def make(place: View, epilogue: Expression) -> Sequence[Kernel]:
        return [Reduce(place, product, tuple(full[len(shape) :]), "sum", epilogue, "einsum")]

    deferred = Deferred(make, tuple(range(len(shape))))
    lowering.define(node.outputs[0], Pending(RESULT, shape, deferred))


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Names of the axes of each operand and of the result; an ellipsis becomes names of its own."""
    equation = equation.replace(" ", "")
    left, _, right = equation.partition("->")
    terms = left.split(",")
    hidden = [rank - len(term) + 3 if "..." in term else 0 for term, rank in zip(terms, ranks, strict=True)]
    names = [
        term.replace("...", _ELLIPSIS[len(_ELLIPSIS) - count :])
        for term, count in zip(terms, hidden, strict=True)
    ]
    most = _ELLIPSIS[len(_ELLIPSIS) - max(hidden) :]
    if "->" in equation:
        return names, right.replace("...", most)
    letters = left.replace(",", "").replace(".", "")
    return names, most + "".join(sorted(label for label in set(letters) if letters.count(label) == 1))


def _distinct(view: View, term: str) -> tuple[View, str]:
    """An axis that is named twice is a diagonal: one step goes along both."""
    labels = "".join(dict.fromkeys(term))
    steps = [sum(s for s, name in zip(view.strides, term, strict=True) if name == label) for label in labels]
    sizes = [view.shape[term.index(label)] for label in labels]
    return View(view.buffer, tuple(sizes), tuple(steps), view.offset), labels


def _aligned(view: View, term: str, order: str) -> View:
    """The view with its axes in an order of names; size one where it lacks a name."""
    sizes = dict(zip(term, zip(view.shape, view.strides, strict=True), strict=True))
    axes = [sizes.get(label, (1, 0)) for label in order]
    return View(view.buffer, tuple(size for size, _ in axes), tuple(step for _, step in axes), view.offset)


def _product(
    lowering: Lowering,
    operands: Sequence[tuple[View, str]],
    result: str,
    summed: str,
    sizes: Mapping[str, int],
) -> View:
    """Names of both are batches, of the first alone pixels, of the second alone one axis of outputs."""
    first, second = (term for _, term in operands)
    batch = "".join(label for label in result if label in first and label in second)
    pixels = "".join(label for label in result if label in first and label not in second)
    outputs = "".join(label for label in result if label in second and label not in first)

    def arranged(operand: tuple[View, str], order: str) -> View:
        return _aligned(*operand, order).broadcast([sizes[label] for label in order])

    x = arranged(operands[0], batch + pixels + summed)
    columns = math.prod(sizes[label] for label in outputs)
    wide = arranged(operands[1], batch + summed + outputs)
    flat = (*wide.shape[: len(wide.shape) - len(outputs)], columns)
    w = lowering.reshaped(wide, flat)
    if w.strides[-1] != 1 and columns > 1:
        w = lowering.ordered(w)
    made = lowering.allocate((*[sizes[label] for label in batch + pixels], columns), "float32")
    lowering.add(Dense(x, w, made, len(batch), len(pixels), RESULT, "einsum"))
    apart = made.split(len(batch + pixels), [sizes[label] for label in outputs])
    order = batch + pixels + outputs
    return apart.transpose([order.index(label) for label in result])


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {"Einsum": float32_only(_einsum)}
