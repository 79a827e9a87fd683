"""Scatter: elements or slices written where numbers say, one update after the other.

target[row[place], place, i] = target[...] combined with updates[place, i]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.gather import address, inside
from taut.kernels.loops import index, loops, nest, pointer, terms_of
from taut.kernels.target import Target
from taut.kernels.view import View

COMBINED: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "none": ("{1}", lambda _, update: update),
    "add": ("{0} + {1}", np.add),
    "mul": ("{0} * {1}", np.multiply),
    "max": ("taut_max({0}, {1})", np.maximum),
    "min": ("taut_min({0}, {1})", np.minimum),
}
"""How an element and its update become one: in C, and by numpy"""


@dataclass(frozen=True)
class Scatter:
    """data is what is changed; target (numbered, places, inner) shows the same memory as rows (places,
    numbered) and updates (places, inner) see it.

    Updates may meet in one element, so that they follow one another and are not divided among threads.
    """

    data: View
    target: View
    rows: View
    updates: View
    combine: str = "none"
    name: str = "scatter"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.data, self.rows, self.updates)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.data,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.updates.shape)

    def code(self, _target: Target, /) -> Code:
        rank, depth = len(self.rows.shape) - 1, self.rows.shape[-1]
        moving = self.target.part(depth, len(self.target.shape))
        places = nest(self.rows.shape[:-1], [v.part(0, rank) for v in (self.updates, moving, self.rows)])
        end = len(self.updates.shape)
        inner = nest(self.updates.shape[rank:], [v.part(rank, end) for v in (self.updates, moving)])
        update, element = ([*terms_of("n", places, i), *terms_of("k", inner, i)] for i in (0, 1))
        place = f"p0[{index([('at', 1), *element])}]"
        combined = COMBINED[self.combine][0].format(place, f"p2[{index(update)}]")
        moved = loops("k", inner, f"{place} = {combined};")
        first = index(terms_of("n", places, 2))
        text = loops("n", places, f"{address('p1', first, self.rows, self.target)}\n{moved}")
        parameters = (
            pointer(self.target, "p0", is_written=True),
            pointer(self.rows, "p1"),
            pointer(self.updates, "p2"),
        )
        return Code(parameters, (self.target, self.rows, self.updates), f"if (begin < end) {{\n{text}\n}}", 1)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        depth = self.rows.shape[-1]
        data, updates = read(self.data).copy(), read(self.updates)
        numbers = inside(read(self.rows), self.target.shape[:depth])
        seen = _where(self.target, self.data)
        combine = COMBINED[self.combine][1]
        for place in np.ndindex(*self.rows.shape[:-1]):
            flat = seen[(*numbers[place], *place)]
            changed = np.unravel_index(flat, data.shape)
            data[changed] = combine(data[changed], updates[place])
        return (data,)


def _where(target: View, data: View) -> np.ndarray:
    """For each element of a view, its number among the elements of another view of the same memory."""
    number_at = dict(zip(_offsets(data).reshape(-1).tolist(), range(math.prod(data.shape)), strict=True))
    return np.vectorize(number_at.__getitem__, otypes=[np.int64])(_offsets(target))


def _offsets(view: View) -> np.ndarray:
    steps = np.array(view.strides, np.int64).reshape(-1, *[1] * len(view.shape))
    return view.offset + (np.indices(view.shape) * steps).sum(axis=0)
