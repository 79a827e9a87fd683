"""Softmax along rows: three passes over a row that stays in the first cache.

    out[k, i] = epilogue(exp(x[k, i] - max over j of x[k, j]) / sum over j of exp(x[k, j] - max))

The maximum is subtracted, so that nothing overflows; x is an expression, computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from taut.kernels.access import vector_load, vector_store
from taut.kernels.base import Code, Read
from taut.kernels.expression import RESULT, Expression, Writer, evaluate, loads, operations, stored
from taut.kernels.loops import Axis, indented, index, loop, loops, nest, pointer
from taut.kernels.target import Target
from taut.kernels.view import View

LONGEST_ROW = 4096
"""Of which half of a first cache of 32 kB is full"""


@dataclass(frozen=True)
class Softmax:
    """All views have the shape (kept, n); where ``is_log``, the result is the logarithm."""

    out: View
    expression: Expression
    epilogue: Expression = RESULT
    is_log: bool = False
    name: str = "softmax"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (*loads(self.expression), *loads(self.epilogue))

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape) * (operations(self.expression) + operations(self.epilogue) + 3)

    @cached_property
    def _views(self) -> tuple[View, ...]:
        return tuple(dict.fromkeys((self.out, *self.reads)))

    @cached_property
    def _kept(self) -> tuple[Axis, ...]:
        last = len(self.out.shape) - 1
        views = [view.part(0, last) for view in self._views]
        return nest(self.out.shape[:last], views) or (Axis(1, (0,) * len(views)),)

    def code(self, target: Target) -> Code:
        parameters = tuple(
            pointer(view, f"p{place}", is_written=view == self.out) for place, view in enumerate(self._views)
        )
        text = loops("i", self._kept[1:], self._row(target), first=1)
        body = f"for (long i0 = begin; i0 < end; i0++) {{\n{indented(text)}\n}}"
        return Code(parameters, self._views, body, self._kept[0].size)

    def _row(self, target: Target) -> str:
        lanes, n = target.lanes, self.out.shape[-1]
        padded = -(-n // lanes) * lanes

        def read(count: int) -> str:
            lines, value = self._written(self.expression, "", lanes, count)
            if count < lanes:
                value = f"taut_first({value}, taut_splat(-__builtin_inff()), {count})"
            keep = f"const vf x = {value};\ntaut_store(row + e, x);\nhighest = taut_max_v(highest, x);"
            return "\n".join([*lines, keep])

        def write(count: int) -> str:
            lines, value = self._written(self.epilogue, "y", lanes, count)
            store = vector_store(
                self.out, "p0", self._place(self.out), value, self.out.strides[-1], lanes, count
            )
            divided = "taut_load(row + e) - share" if self.is_log else "taut_load(row + e) * share"
            return "\n".join([f"const vf y = {divided};", *lines, store])

        exponential = "const vf x = taut_exp_v(taut_load(row + e) - top);\ntotal += x;"
        share = "taut_splat(taut_log(taut_sum_lanes(total))) + top"
        if not self.is_log:
            exponential += "\ntaut_store(row + e, x);"
            share = "taut_splat(1.0f / taut_sum_lanes(total))"
        return "\n".join(
            [
                f"float row[{padded}] __attribute__((aligned(64)));",
                "vf highest = taut_splat(-__builtin_inff()), total = {0};",
                _along(n, lanes, read),
                "const vf top = taut_splat(taut_max_lanes(highest));",
                loop("e", padded, exponential, step=lanes),
                f"const vf share = {share};",
                _along(n, lanes, write),
            ]
        )

    def _written(self, expression: Expression, result: str, lanes: int, count: int) -> tuple[list[str], str]:
        """Statements, and the name of what an expression comes to, for ``count`` elements from ``e`` on."""

        def load(view: View) -> str:
            base = f"p{self._views.index(view)}"
            return vector_load(view, base, self._place(view), view.strides[-1], lanes, count)

        writer = Writer(load, result, by_vector=True)
        value = writer.write(expression)
        return writer.lines, value

    def _place(self, view: View) -> str:
        which = self._views.index(view)
        terms = [(f"i{place}", axis.strides[which]) for place, axis in enumerate(self._kept)]
        return index([*terms, ("e", view.strides[-1])])

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x = np.broadcast_to(evaluate(self.expression, read), self.out.shape).astype(np.float64)
        shifted = x - x.max(axis=-1, keepdims=True)
        total = np.exp(shifted).sum(axis=-1, keepdims=True)
        made = shifted - np.log(total) if self.is_log else np.exp(shifted) / total
        return (stored(evaluate(self.epilogue, read, made.astype(np.float32)), self.out.dtype),)


def _along(n: int, lanes: int, statements: Callable[[int], str]) -> str:
    """A loop over whole vectors of a row, and what is left."""
    whole, rest = divmod(n, lanes)
    text = loop("e", whole * lanes, statements(lanes), step=lanes) if whole else ""
    if rest:
        text += f"\n{{\n  const long e = {whole * lanes};\n{indented(statements(rest))}\n}}"
    return text
