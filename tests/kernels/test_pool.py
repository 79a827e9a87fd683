"""Threads that help with a step, where one part takes much longer than the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from programs import needs_compiler

from taut.kernels.base import Code, Read
from taut.kernels.target import Target
from taut.kernels.view import View
from taut.nonneural.base import Build, as_program, made, open_program


@dataclass(frozen=True)
class _Uneven:
    """Two units, of which the first, the caller's, takes some tenths of a second."""

    out: View
    name: str = "uneven"
    precision: str = "float32"
    multiply_adds: int = 10**9
    reads: tuple[View, ...] = ()

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    def code(self, _target: Target, /) -> Code:
        body = (
            "for (long unit = begin; unit < end; unit++) {\n"
            "  for (volatile long turn = 0; turn < (unit ? 1 : 200000000); turn++) {}\n"
            "  out[unit] = 1.0f;\n}"
        )
        return Code(("float *out",), (self.out,), body, 2)

    def reference(self, _read: Read) -> tuple[np.ndarray, ...]:
        return (np.ones(2, np.float32),)


@needs_compiler
def test_caller_ends_although_its_helper_has_fallen_asleep_meanwhile() -> None:
    out = made("out", 2)
    library = open_program(as_program([_Uneven(out)], [], [out]), Build(threads=2))
    for _ in range(3):
        result = np.zeros(2, np.float32)
        library.run([], [result])
        assert result.tolist() == [1, 1]
