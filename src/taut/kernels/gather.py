"""Gather: slices of a view by number, where the numbers follow no stride or are only known at run time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import indented, index, loops, nest, pointer, terms_of
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True)
class Gather:
    """out[outer, i, inner] = x[outer, indices[i], inner]; negative numbers count from the end.

    Numbers outside of the axis are an error of the caller; they are brought inside, so that no memory is read
    that is not ours.
    """

    out: View
    x: View
    indices: View
    axis: int
    name: str = "gather"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x, self.indices)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape)

    def code(self, _target: Target, /) -> Code:
        rank = len(self.indices.shape)
        outer = nest(self.x.shape[: self.axis], [self.out.part(0, self.axis), self.x.part(0, self.axis)])
        after = [
            self.out.part(self.axis + rank, len(self.out.shape)),
            self.x.part(self.axis + 1, len(self.x.shape)),
        ]
        inner = nest(self.x.shape[self.axis + 1 :], after)
        size, stride = self.x.shape[self.axis], self.x.strides[self.axis]
        numbers = [f"n{place}" for place in range(rank)]
        out_terms = list(zip(numbers, self.out.strides[self.axis : self.axis + rank], strict=True))
        out_terms += terms_of("o", outer, 0) + terms_of("k", inner, 0)
        x_terms = [("j", stride), *terms_of("o", outer, 1), *terms_of("k", inner, 1)]
        text = f"p0[{index(out_terms)}] = p1[{index(x_terms)}];"
        text = loops("o", outer, loops("k", inner, text))
        place = index(list(zip(numbers, self.indices.strides, strict=True)))
        fetch = (
            f"long j = p2[{place}];\nj = j < 0 ? j + {size} : j;\n"
            f"j = j < 0 ? 0 : j >= {size} ? {size - 1} : j;"
        )
        text = f"{fetch}\n{text}"
        for name, count in reversed(list(zip(numbers, self.indices.shape, strict=True))):
            text = f"for (long {name} = 0; {name} < {count}; {name}++) {{\n{indented(text)}\n}}"
        body = f"if (begin < end) {{\n{indented(text)}\n}}"
        parameters = (
            pointer(self.out, "p0", is_written=True),
            pointer(self.x, "p1"),
            pointer(self.indices, "p2"),
        )
        return Code(parameters, (self.out, self.x, self.indices), body, 1)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        return (np.take(read(self.x), read(self.indices), axis=self.axis, mode="wrap"),)
