"""Map: an expression for every element of a view, in one loop nest; a copy is the simplest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.expression import Expression, Writer, evaluate, is_vector, loads, operations
from taut.kernels.loops import Axis, indented, index, loop, nest, pointer
from taut.kernels.target import Target
from taut.kernels.view import View

_FEWEST_LANES = 3
"""Below, elements are computed one by one"""


@dataclass(frozen=True)
class Map:
    """out[i] = expression[i]. Views may overlap only where they are the same."""

    out: View
    expression: Expression
    name: str = "map"

    @property
    def reads(self) -> tuple[View, ...]:
        return loads(self.expression)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape) * operations(self.expression)

    @cached_property
    def _views(self) -> tuple[View, ...]:
        return (self.out, *(view for view in self.reads if view != self.out))

    @cached_property
    def _axes(self) -> tuple[Axis, ...]:
        return nest(self.out.shape, self._views) or (Axis(1, (0,) * len(self._views)),)

    def _runs_by_vector(self) -> bool:
        inner = self._axes[-1]
        is_dense = inner.strides[0] == 1 and inner.size >= _FEWEST_LANES
        return is_dense and self.out.dtype == "float32" and is_vector(self.expression)

    def _units(self, target: Target) -> int:
        if len(self._axes) > 1:
            return self._axes[0].size
        size = self._axes[0].size
        return -(-size // target.lanes) if self._runs_by_vector() else size

    def code(self, target: Target) -> Code:
        names = {view: f"p{place}" for place, view in enumerate(self._views)}
        parameters = tuple(pointer(view, name, is_written=view == self.out) for view, name in names.items())
        body = self._by_vector(target) if self._runs_by_vector() else self._by_element()
        for place, axis in reversed(list(enumerate(self._axes[:-1]))):
            is_first = place == 0
            body = loop(f"i{place}", axis.size, body, "begin" if is_first else "0")
            if is_first:
                body = body.replace(f"i0 < {axis.size};", "i0 < end;", 1)
        return Code(parameters, self._views, body, self._units(target))

    def _place(self, view: View, inner: str) -> str:
        which = self._views.index(view)
        terms = [(f"i{place}", axis.strides[which]) for place, axis in enumerate(self._axes[:-1])]
        return index([*terms, (inner, self._axes[-1].strides[which])])

    def _by_element(self) -> str:
        writer = Writer(lambda view: f"p{self._views.index(view)}[{self._place(view, 'e')}]", by_vector=False)
        value = writer.write(self.expression)
        lines = [*writer.lines, f"p0[{self._place(self.out, 'e')}] = {value};"]
        start, end = ("begin", "end") if len(self._axes) == 1 else ("0", str(self._axes[-1].size))
        return f"for (long e = {start}; e < {end}; e++) {{\n{indented(chr(10).join(lines))}\n}}"

    def _by_vector(self, target: Target) -> str:
        size, lanes = self._axes[-1].size, target.lanes
        whole, rest = divmod(size, lanes)
        is_only = len(self._axes) == 1
        start = "begin" if is_only else "0"
        last = f"taut_min(end, {whole})" if is_only else str(whole)
        text = ""
        if whole:
            body = f"const long e = b * {lanes};\n{self._vector(lanes, lanes)}"
            text = f"for (long b = {start}; b < {last}; b++) {{\n{indented(body)}\n}}"
        if rest:
            body = f"const long e = {whole * lanes};\n{self._vector(lanes, rest)}"
            condition = f"if (end > {whole}) " if is_only else ""
            text += f"\n{condition}{{\n{indented(body)}\n}}"
        return text

    def _vector(self, lanes: int, count: int) -> str:
        """Statements for ``count`` neighbouring elements from ``e`` on."""

        def load(view: View) -> str:
            which = self._views.index(view)
            return vector_load(
                f"p{which}", self._place(view, "e"), self._axes[-1].strides[which], lanes, count
            )

        writer = Writer(load, by_vector=True)
        value = writer.write(self.expression)
        return "\n".join([*writer.lines, vector_store("p0", self._place(self.out, "e"), value, lanes, count)])

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        return (np.broadcast_to(evaluate(self.expression, read), self.out.shape).astype(self.out.dtype),)


def vector_load(base: str, place: str, stride: int, lanes: int, count: int) -> str:
    """Return C for ``count`` elements of a vector, at one stride."""
    if stride == 0:
        return f"taut_splat({base}[{place}])"
    if stride != 1:
        return f"taut_gather({base} + {place}, {stride}, {count})"
    return f"taut_load({base} + {place})" if count == lanes else f"taut_load_part({base} + {place}, {count})"


def vector_store(base: str, place: str, value: str, lanes: int, count: int) -> str:
    """Return a C statement that stores ``count`` neighbouring elements."""
    if count == lanes:
        return f"taut_store({base} + {place}, {value});"
    return f"taut_store_part({base} + {place}, {value}, {count});"
