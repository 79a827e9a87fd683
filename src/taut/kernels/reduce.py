"""Reduce: an expression over kept and summed axes, combined over the latter: sums, means, pooling, depthwise.

    out[k] = epilogue(combine over r of expression[k, r])

Lanes run over the last kept axis where the result lies densely there, else along what is summed. A tile of
neighbouring results is computed together, so that additions need not wait for one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from taut.kernels.access import element_load, element_store, vector_load, vector_store
from taut.kernels.base import Code, Read
from taut.kernels.expression import (
    C_TYPES,
    LANE_TYPES,
    Expression,
    Writer,
    c_literal,
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

_TILE = 8
_FEWEST_LANES = 3


@dataclass(frozen=True)
class Combine:
    """How two elements become one."""

    numpy: Callable[..., Any]
    start: float
    vector: str
    scalar: str
    across: str
    """Function that combines the lanes of a vector"""


COMBINES = {
    "sum": Combine(np.sum, 0.0, "{0} + {1}", "{0} + {1}", "taut_sum_lanes"),
    "max": Combine(np.max, -math.inf, "taut_max_v({0}, {1})", "taut_max({0}, {1})", "taut_max_lanes"),
    "min": Combine(np.min, math.inf, "taut_min_v({0}, {1})", "taut_min({0}, {1})", ""),
    "prod": Combine(np.prod, 1.0, "{0} * {1}", "{0} * {1}", ""),
}


@dataclass(frozen=True)
class Reduce:
    """Views of the expression have the shape (kept, summed), those of the output and epilogue (kept)."""

    out: View
    expression: Expression
    summed_shape: tuple[int, ...]
    combine: str
    epilogue: Expression
    name: str = "reduce"

    @property
    def precision(self) -> str:
        """Sums of codes are exact in floats as well."""
        return "int8" if any(view.dtype in ("uint8", "int8") for view in self._inner) else "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (*loads(self.expression), *loads(self.epilogue))

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape) * math.prod(self.summed_shape) * max(1, operations(self.expression))

    @property
    def free_axes(self) -> range:
        return range(len(self.out.shape))

    def over(self, change: Callable[[View], View]) -> Reduce:
        return replace(
            self,
            out=change(self.out),
            expression=map_views(self.expression, change),
            epilogue=map_views(self.epilogue, change),
        )

    @cached_property
    def _inner(self) -> tuple[View, ...]:
        return loads(self.expression)

    @cached_property
    def _outer(self) -> tuple[View, ...]:
        return (self.out, *loads(self.epilogue))

    @cached_property
    def _kept(self) -> tuple[Axis, ...]:
        """Strides are those of the outputs, then of what is combined."""
        rank = len(self.out.shape)
        views = [*self._outer, *(view.part(0, rank) for view in self._inner)]
        return nest(self.out.shape, views) or (Axis(1, (0,) * len(views)),)

    @cached_property
    def _summed(self) -> tuple[Axis, ...]:
        rank = len(self.out.shape)
        views = [view.part(rank, rank + len(self.summed_shape)) for view in self._inner]
        return nest(self.summed_shape, views) or (Axis(1, (0,) * len(views)),)

    @cached_property
    def _lanes_over(self) -> str:
        """``kept``, ``summed`` or nothing: by element."""
        if self.out.dtype not in LANE_TYPES or not (is_vector(self.expression) and is_vector(self.epilogue)):
            return ""
        kept, summed = self._kept[-1], self._summed[-1]
        inner = kept.strides[len(self._outer) :]
        if kept.strides[0] == 1 and kept.size >= _FEWEST_LANES and set(inner) <= {0, 1}:
            return "kept"
        is_dense = set(summed.strides) <= {0, 1} and summed.size >= _FEWEST_LANES
        return "summed" if is_dense and COMBINES[self.combine].across else ""

    def code(self, target: Target) -> Code:
        writer = _ReduceWriter(self, target)
        views = (*self._outer, *self._inner)
        parameters = [pointer(view, f"p{i}", is_written=i == 0) for i, view in enumerate(self._outer)]
        parameters += [pointer(view, f"q{i}") for i, view in enumerate(self._inner)]
        return Code(tuple(parameters), views, writer.body(), self._kept[0].size if len(self._kept) > 1 else 1)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        shape = (*self.out.shape, *self.summed_shape)
        elements = np.broadcast_to(evaluate(self.expression, read), shape)
        wide = elements.astype(np.float64) if elements.dtype == np.float32 else elements
        axes = tuple(range(len(self.out.shape), len(shape)))
        combined = COMBINES[self.combine].numpy(wide, axis=axes)
        return (stored(evaluate(self.epilogue, read, combined), self.out.dtype),)


class _ReduceWriter:
    """Writes the loops: kept axes outside, a tile of results, summed axes inside."""

    def __init__(self, kernel: Reduce, target: Target) -> None:
        self.kernel, self.lanes = kernel, target.lanes
        self.combine = COMBINES[kernel.combine]
        self.kept, self.summed = kernel._kept, kernel._summed
        self.by = kernel._lanes_over
        self.outers = len(kernel._outer)

    def body(self) -> str:
        # The tile lies along the last kept axis without lanes.
        outside = self.kept[:-1] if self.by == "kept" else self.kept
        text = self._tiles(outside) if outside else self._vectors([{}])
        return text if len(self.kept) > 1 else f"if (begin < end) {{\n{indented(text)}\n}}"

    def _tiles(self, outside: Sequence[Axis]) -> str:
        """Loops over all but the last axis, and tiles of the last."""
        last = len(outside) - 1
        size = outside[last].size
        is_split = last == 0 and len(self.kept) > 1
        step = 1 if is_split else min(_TILE, size)
        whole, rest = divmod(size, step)
        parts = []
        if whole:
            inner = self._vectors([{last: f"(i{last} + {t})" if t else f"i{last}"} for t in range(step)])
            start, end = ("begin", "end") if is_split else ("0", str(whole * step))
            parts.append(
                f"for (long i{last} = {start}; i{last} < {end}; i{last} += {step}) {{\n{indented(inner)}\n}}"
            )
        if rest:
            inner = self._vectors([{last: str(whole * step + t)} for t in range(rest)])
            parts.append(f"{{\n{indented(inner)}\n}}")
        text = "\n".join(parts)
        for place in range(last - 1, -1, -1):
            start, end = ("begin", "end") if place == 0 else ("0", str(outside[place].size))
            text = f"for (long i{place} = {start}; i{place} < {end}; i{place}++) {{\n{indented(text)}\n}}"
        return text

    def _vectors(self, tile: Sequence[dict[int, str]]) -> str:
        """The results of a tile, for each vector of lanes where lanes run over the last kept axis."""
        if self.by != "kept":
            return self._results(tile, "0", self.lanes)
        whole, rest = divmod(self.kept[-1].size, self.lanes)
        texts = []
        if whole:
            body = f"const long e = b * {self.lanes};\n{self._results(tile, 'e', self.lanes)}"
            texts.append(loop("b", whole, body))
        if rest:
            body = f"const long e = {whole * self.lanes};\n{self._results(tile, 'e', rest)}"
            texts.append(f"{{\n{indented(body)}\n}}")
        return "\n".join(texts)

    def _results(self, tile: Sequence[dict[int, str]], lane: str, count: int) -> str:
        by_vector = bool(self.by)
        dtype = self.kernel.expression.dtype
        start = c_literal(self._start(dtype), dtype)
        kind = "vf" if by_vector else C_TYPES[dtype]
        value = f"taut_splat({start})" if by_vector else start
        lines = [f"{kind} {', '.join(f's{t} = {value}' for t in range(len(tile)))};"]
        lines.append(self._sums(tile, lane, count))
        for number, place in enumerate(tile):
            lines.append(self._stored(number, place, lane, count))
        return "\n".join(lines)

    def _start(self, dtype: str) -> float | int:
        start = self.combine.start
        if math.isinf(start) and not dtype.startswith("float"):
            limits = np.iinfo(dtype)
            return int(limits.max if start > 0 else limits.min)
        return start

    def _sums(self, tile: Sequence[dict[int, str]], lane: str, count: int) -> str:
        axes, inner = self.summed, self.summed[-1].size
        if self.by == "summed":
            whole, rest = divmod(inner, self.lanes)
            step = self._step(tile, lane, f"c * {self.lanes}", self.lanes)
            text = loop("c", whole, step) if whole else ""
            if rest:
                text += "\n{\n" + indented(self._step(tile, lane, str(whole * self.lanes), rest)) + "\n}"
        else:
            text = loop(f"r{len(axes) - 1}", inner, self._step(tile, lane, f"r{len(axes) - 1}", count))
        for place in range(len(axes) - 2, -1, -1):
            text = loop(f"r{place}", axes[place].size, text)
        return text

    def _step(self, tile: Sequence[dict[int, str]], lane: str, inner: str, count: int) -> str:
        """Combine one more element into each result of the tile."""
        lines = []
        for number, place in enumerate(tile):
            load = partial(self._load, place=place, lane=lane, inner=inner, count=count)
            writer = Writer(load, by_vector=bool(self.by))
            value = writer.write(self.kernel.expression)
            if self.by == "summed" and count < self.lanes:
                neutral = c_literal(self.combine.start, "float32")
                value = f"taut_first({value}, taut_splat({neutral}), {count})"
            pattern = self.combine.vector if self.by else self.combine.scalar
            combined = f"s{number} = {pattern.format(f's{number}', value)};"
            lines.append("{ " + " ".join([*writer.lines, combined]) + " }")
        return "\n".join(lines)

    def _load(self, view: View, place: dict[int, str], lane: str, inner: str, count: int) -> str:
        which = self.kernel._inner.index(view)
        terms = self._kept_terms(self.outers + which, place, lane)
        last = len(self.summed) - 1
        terms += [(f"r{i}", axis.strides[which]) for i, axis in enumerate(self.summed[:-1])]
        terms.append((inner if inner.isidentifier() else f"({inner})", self.summed[last].strides[which]))
        position = index(terms)
        if not self.by:
            return element_load(view, f"q{which}", position)
        stride = (
            self.kept[-1].strides[self.outers + which]
            if self.by == "kept"
            else self.summed[last].strides[which]
        )
        return vector_load(view, f"q{which}", position, stride, self.lanes, count)

    def _kept_terms(self, which: int, place: dict[int, str], lane: str) -> list[tuple[str, int]]:
        terms = []
        for number, axis in enumerate(self.kept):
            is_lane = self.by == "kept" and number == len(self.kept) - 1
            terms.append((lane if is_lane else place.get(number, f"i{number}"), axis.strides[which]))
        return terms

    def _stored(self, number: int, place: dict[int, str], lane: str, count: int) -> str:
        outer = self.kernel._outer

        def position(view: View) -> str:
            return index(self._kept_terms(outer.index(view), place, lane))

        if self.by == "kept":
            stride = {view: self.kept[-1].strides[which] for which, view in enumerate(outer)}
            writer = Writer(
                lambda view: vector_load(
                    view, f"p{outer.index(view)}", position(view), stride[view], self.lanes, count
                ),
                f"s{number}",
                by_vector=True,
            )
            value = writer.write(self.kernel.epilogue)
            store = vector_store(
                self.kernel.out, "p0", position(self.kernel.out), value, 1, self.lanes, count
            )
            return "{ " + " ".join([*writer.lines, store]) + " }"
        result = f"s{number}"
        lines = []
        if self.by == "summed":
            result = f"z{number}"
            lines.append(f"const float {result} = {self.combine.across}(s{number});")
        writer = Writer(
            lambda view: element_load(view, f"p{outer.index(view)}", position(view)), result, by_vector=False
        )
        value = writer.write(self.kernel.epilogue)
        out = self.kernel.out
        store = element_store(out, "p0", position(out), value, self.kernel.epilogue)
        return "{ " + " ".join([*lines, *writer.lines, store]) + " }"
