"""Map: an expression for every element of a view, in one loop nest; a copy is the simplest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from taut.kernels.access import element_load, element_store, vector_load, vector_store
from taut.kernels.base import Code, Read
from taut.kernels.expression import (
    LANE_TYPES,
    Expression,
    Writer,
    evaluate,
    is_vector,
    loads,
    map_views,
    operations,
    stored,
)
from taut.kernels.loops import Axis, indented, index, loop, nest, pointer
from taut.kernels.target import Target
from taut.kernels.view import View

_FEWEST_LANES = 3
"""Below, elements are computed one by one"""
_WORTH_SCATTERING = 8
"""Elements along an axis from which to compute them together, even if each is stored by itself"""


@dataclass(frozen=True)
class Map:
    """out[i] = expression[i]. Views may overlap only where they are the same."""

    out: View
    expression: Expression
    name: str = "map"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return loads(self.expression)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape) * operations(self.expression)

    @property
    def free_axes(self) -> range:
        return range(len(self.out.shape))

    def over(self, change: Callable[[View], View]) -> Map:
        return replace(self, out=change(self.out), expression=map_views(self.expression, change))

    @cached_property
    def _views(self) -> tuple[View, ...]:
        return (self.out, *(view for view in self.reads if view != self.out))

    @cached_property
    def _axes(self) -> tuple[Axis, ...]:
        """Loops as the result lies in memory; vectors run along the last."""
        axes = nest(self.out.shape, self._views) or (Axis(1, (0,) * len(self._views)),)
        if _is_dense(axes[-1]) or not is_vector(self.expression):
            return axes
        along = next((axis for axis in reversed(axes) if _is_read_densely(axis)), None)
        return axes if along is None else (*(axis for axis in axes if axis is not along), along)

    def _runs_by_vector(self) -> bool:
        inner = self._axes[-1]
        is_together = _is_dense(inner) or _is_read_densely(inner)
        return is_together and self.out.dtype in LANE_TYPES and is_vector(self.expression)

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
        def load(view: View) -> str:
            return element_load(view, f"p{self._views.index(view)}", self._place(view, "e"))

        writer = Writer(load, by_vector=False)
        value = writer.write(self.expression)
        place = self._place(self.out, "e")
        lines = [*writer.lines, element_store(self.out, "p0", place, value, self.expression)]
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
            stride = self._axes[-1].strides[which]
            return vector_load(view, f"p{which}", self._place(view, "e"), stride, lanes, count)

        writer = Writer(load, by_vector=True)
        value = writer.write(self.expression)
        stride = self._axes[-1].strides[0]
        store = vector_store(self.out, "p0", self._place(self.out, "e"), value, stride, lanes, count)
        return "\n".join([*writer.lines, store])

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        return (stored(np.broadcast_to(evaluate(self.expression, read), self.out.shape), self.out.dtype),)


def _is_dense(axis: Axis) -> bool:
    """Whether the result has a few neighbours along an axis."""
    return axis.strides[0] == 1 and axis.size >= _FEWEST_LANES


def _is_read_densely(axis: Axis) -> bool:
    return axis.size >= _WORTH_SCATTERING and len(axis.strides) > 1 and set(axis.strides[1:]) <= {0, 1}
