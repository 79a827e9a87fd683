"""Cumulate: running sums along an axis; backwards over views that run backwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.expression import C_TYPES
from taut.kernels.loops import indented, index, loops, nest, pointer, terms_of
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True)
class Cumulate:
    """out[kept, j] = sum of x[kept, i] over i <= j, or over i < j where it is exclusive."""

    out: View
    x: View
    is_exclusive: bool = False
    name: str = "cumulate"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.x.shape)

    def code(self, _target: Target, /) -> Code:
        kept = len(self.x.shape) - 1
        axes = nest(self.x.shape[:kept], [view.part(0, kept) for view in (self.out, self.x)])
        out = index([*terms_of("i", axes, 0), ("j", self.out.strides[-1])])
        x = index([*terms_of("i", axes, 1), ("j", self.x.strides[-1])])
        steps = [f"const {C_TYPES[self.x.dtype]} one = p1[{x}];", f"p0[{out}] = sum;"]
        steps.insert(2 if self.is_exclusive else 1, "sum += one;")
        row = f"{C_TYPES[self.out.dtype]} sum = 0;\n"
        row += f"for (long j = 0; j < {self.x.shape[-1]}; j++) {{\n{indented(chr(10).join(steps))}\n}}"
        text = loops("i", axes[1:], row, first=1)
        body = f"for (long i0 = begin; i0 < end; i0++) {{\n{indented(text)}\n}}"
        parameters = (pointer(self.out, "p0", is_written=True), pointer(self.x, "p1"))
        return Code(parameters, (self.out, self.x), body, axes[0].size if axes else 1)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x = read(self.x)
        sums = np.cumsum(x, axis=-1, dtype=x.dtype)
        if self.is_exclusive:
            sums = np.concatenate([np.zeros_like(sums[..., :1]), sums[..., :-1]], axis=-1)
        return (sums,)
