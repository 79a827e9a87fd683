"""ArgMax: where the largest of each row stands; among equal ones the first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import pointer
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True)
class ArgMax:
    """x is (rows, columns), out (rows,) of int32."""

    out: View
    x: View
    name: str = "argmax"
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
        rows, columns = self.x.shape
        row, column = self.x.strides
        body = f"""for (long i = begin; i < end; i++) {{
  const float *values = x + i * {row};
  float top = values[0];
  int best = 0;
  for (int c = 1; c < {columns}; c++) {{
    const int is_more = values[c * {column}] > top;
    best = is_more ? c : best;
    top = is_more ? values[c * {column}] : top;
  }}
  out[i * {self.out.strides[0]}] = best;
}}"""
        parameters = (pointer(self.out, "out", is_written=True), pointer(self.x, "x"))
        return Code(parameters, (self.out, self.x), body, rows)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        return (read(self.x).argmax(axis=1).astype(np.int32),)
