"""Blend: along one axis, each place is a weighted sum of a few places of the input: interpolation.

out[outer, j, inner] = sum over t of weights[j, t] x[outer, places[j, t], inner]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.access import vector_load, vector_store
from taut.kernels.base import Code, Read
from taut.kernels.loops import Axis, indented, index, loop, loops, nest, pointer, terms_of
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True, eq=False)
class Blend:
    """out is (outer, j, inner), x (outer, source, inner), places and weights (j, taps)."""

    out: View
    x: View
    axis: int
    places: np.ndarray
    weights: np.ndarray
    name: str = "blend"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.out.shape) * self.places.shape[1]

    def code(self, target: Target) -> Code:
        outer = self._axes(0, self.axis)
        inner = self._axes(self.axis + 1, len(self.out.shape))
        text = loop("j", self.places.shape[0], self._blended(outer, inner, target))
        text = loops("o", outer[1:], text, first=1)
        body = f"for (long o0 = begin; o0 < end; o0++) {{\n{indented(text)}\n}}"
        parameters = (
            pointer(self.out, "p0", is_written=True),
            pointer(self.x, "p1"),
            "const int *places",
            "const float *weights",
        )
        # Offsets rather than numbers, so that kernels of one form differ in constants alone.
        offsets = (self.places * self.x.strides[self.axis]).astype(np.int32)
        weights = self.weights.astype(np.float32)
        return Code(parameters, (self.out, self.x, offsets, weights), body, outer[0].size if outer else 1)

    def _axes(self, start: int, end: int) -> tuple[Axis, ...]:
        return nest(self.out.shape[start:end], [view.part(start, end) for view in (self.out, self.x)])

    def _blended(self, outer: tuple[Axis, ...], inner: tuple[Axis, ...], target: Target) -> str:
        """One place: by vectors where the innermost axis lies densely, else by element."""
        taps = self.places.shape[1]
        names = "\n".join(
            f"const long at{t} = places[j * {taps} + {t}];\nconst float w{t} = weights[j * {taps} + {t}];"
            for t in range(taps)
        )
        out = [*terms_of("o", outer, 0), ("j", self.out.strides[self.axis]), *terms_of("k", inner, 0)]
        x = [*terms_of("o", outer, 1), *terms_of("k", inner, 1)]
        if not inner or inner[-1].strides != (1, 1) or inner[-1].size < target.lanes:
            total = " + ".join(f"w{t} * p1[{index([(f'at{t}', 1), *x])}]" for t in range(taps))
            return f"{names}\n{loops('k', inner, f'p0[{index(out)}] = {total};')}"
        last = f"k{len(inner) - 1}"
        whole, rest = divmod(inner[-1].size, target.lanes)

        def vector(count: int) -> str:
            loads = [
                vector_load(self.x, "p1", index([(f"at{t}", 1), *x]), 1, target.lanes, count)
                for t in range(taps)
            ]
            total = " + ".join(f"w{t} * {one}" for t, one in enumerate(loads))
            return vector_store(self.out, "p0", index(out), total, 1, target.lanes, count)

        text = loop(last, whole * target.lanes, vector(target.lanes), step=target.lanes)
        if rest:
            text += f"\n{{\n  const long {last} = {whole * target.lanes};\n{indented(vector(rest))}\n}}"
        return f"{names}\n{loops('k', inner[:-1], text)}"

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        picked = np.take(read(self.x).astype(np.float64), self.places, axis=self.axis)
        shape = [1] * picked.ndim
        shape[self.axis : self.axis + 2] = self.weights.shape
        return ((picked * self.weights.reshape(shape)).sum(axis=self.axis + 1).astype(np.float32),)
