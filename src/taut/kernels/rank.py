"""Rank: the k largest or smallest elements along an axis, in order, and where they were."""

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
class Rank:
    """x is (kept, n), values and numbers (kept, k); of equals the first comes first.

    Each row is sorted into its result by insertion: what does not belong to the k best costs one comparison.
    """

    values: View
    numbers: View
    x: View
    is_largest: bool = True
    is_last: bool = False
    """Whether of equals the last is taken; only one element may be asked for then"""
    name: str = "rank"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.values, self.numbers)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.x.shape) * self.values.shape[-1]

    def code(self, _target: Target, /) -> Code:
        kept = len(self.x.shape) - 1
        axes = nest(self.x.shape[:kept], [view.part(0, kept) for view in (self.values, self.numbers, self.x)])
        sign = (">" if self.is_largest else "<") + ("=" if self.is_last else "")
        row = _ROW.format(
            value_type=C_TYPES[self.x.dtype],
            number_type=C_TYPES[self.numbers.dtype],
            values=index(terms_of("i", axes, 0)),
            numbers=index(terms_of("i", axes, 1)),
            x=index(terms_of("i", axes, 2)),
            count=self.x.shape[-1],
            k=self.values.shape[-1],
            sign=sign,
            step=self.x.strides[-1],
            v=self.values.strides[-1],
            n=self.numbers.strides[-1],
        )
        text = loops("i", axes[1:], row, first=1)
        body = f"for (long i0 = begin; i0 < end; i0++) {{\n{indented(text)}\n}}"
        parameters = (
            pointer(self.values, "p0", is_written=True),
            pointer(self.numbers, "p1", is_written=True),
            pointer(self.x, "p2"),
        )
        return Code(parameters, (self.values, self.numbers, self.x), body, axes[0].size if axes else 1)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x, count, k = read(self.x), self.x.shape[-1], self.values.shape[-1]
        if self.is_last:
            order = _last_of_equals(x, is_largest=self.is_largest)
        elif self.is_largest:
            # Sorted backwards and turned round, equals of a descending order stand as they stood.
            order = count - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        else:
            order = np.argsort(x, axis=-1, kind="stable")
        order = order[..., :k]
        return np.take_along_axis(x, order, axis=-1), order


def _last_of_equals(x: np.ndarray, *, is_largest: bool) -> np.ndarray:
    turned = x[..., ::-1]
    first = turned.argmax(axis=-1, keepdims=True) if is_largest else turned.argmin(axis=-1, keepdims=True)
    return x.shape[-1] - 1 - first


_ROW = """{value_type} *values = p0 + {values};
{number_type} *numbers = p1 + {numbers};
const {value_type} *x = p2 + {x};
long filled = 0;
for (long j = 0; j < {count}; j++) {{
  const {value_type} one = x[j * {step}];
  if (filled == {k} && !(one {sign} values[({k} - 1) * {v}])) continue;
  long at = filled < {k} ? filled++ : {k} - 1;
  for (; at > 0 && one {sign} values[(at - 1) * {v}]; at--) {{
    values[at * {v}] = values[(at - 1) * {v}];
    numbers[at * {n}] = numbers[(at - 1) * {n}];
  }}
  values[at * {v}] = one;
  numbers[at * {n}] = j;
}}"""
