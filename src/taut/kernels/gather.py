"""Gather: elements or slices by number, where the numbers follow no stride or are only known at run time.

    out[place, i] = x[row[place], place, i]

A row has a number for each of the first axes of x; along the places x goes on
too, or stands still (stride 0). So Gather, GatherND and GatherElements are one kernel over different views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import indented, index, loops, nest, pointer, terms_of
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True)
class Gather:
    """out is (places, inner), x (numbered, places, inner), rows (places, numbered); negative numbers count
    from the end.

    Numbers outside of the axis are an error of the caller; they are brought inside, so that no memory is read
    that is not ours.
    """

    out: View
    x: View
    rows: View
    name: str = "gather"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x, self.rows)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape)

    def code(self, _target: Target, /) -> Code:
        rank, depth = len(self.rows.shape) - 1, self.rows.shape[-1]
        x = self.x.part(depth, len(self.x.shape))
        places = nest(self.out.shape[:rank], [view.part(0, rank) for view in (self.out, x, self.rows)])
        inner_views = [self.out.part(rank, len(self.out.shape)), x.part(rank, len(x.shape))]
        inner = nest(self.out.shape[rank:], inner_views)
        out, source = ([*terms_of("n", places, i), *terms_of("k", inner, i)] for i in (0, 1))
        move = loops("k", inner, f"p0[{index(out)}] = p1[{index([('at', 1), *source])}];")
        first = index(terms_of("n", places, 2))
        text = f"{address('p2', first, self.rows, self.x)}\n{move}"
        text = loops("n", places[1:], text, first=1)
        units = places[0].size if places else 1
        body = f"for (long n0 = begin; n0 < end; n0++) {{\n{indented(text)}\n}}"
        parameters = (
            pointer(self.out, "p0", is_written=True),
            pointer(self.x, "p1"),
            pointer(self.rows, "p2"),
        )
        return Code(parameters, (self.out, self.x, self.rows), body, units)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        rank, depth = len(self.rows.shape) - 1, self.rows.shape[-1]
        rows = inside(read(self.rows), self.x.shape[:depth])
        places = np.indices(self.out.shape[:rank])
        return (read(self.x)[(*np.moveaxis(rows, -1, 0), *places)],)


def inside(rows: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Rows of numbers, negative ones counted from the end, none beyond its axis."""
    limits = np.array(sizes, np.int64)
    numbers = rows.astype(np.int64)
    return np.clip(np.where(numbers < 0, numbers + limits, numbers), 0, limits - 1)


def address(rows: str, first: str, numbers: View, numbered: View) -> str:
    """Return C that declares ``at``, where the row that starts at ``first`` leads among numbered axes."""
    lines = ["long at = 0;"]
    for place in range(numbers.shape[-1]):
        size, stride = numbered.shape[place], numbered.strides[place]
        number = f"{rows}[{index([(first, 1)], place * numbers.strides[-1])}]"
        bounded = f"j < 0 ? 0 : j >= {size} ? {size - 1} : j"
        lines.append(f"{{ long j = {number}; j = j < 0 ? j + {size} : j; at += ({bounded}) * {stride}; }}")
    return "\n".join(lines)
