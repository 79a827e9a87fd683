"""What kernels compute float32 with: the machine's unit, or integers, by a generic library or by a fast one.

Both libraries are ``c/soft_float.h``, which takes the place of the prelude before kernels that do not
change: the study of Tabanelli et al. (arXiv 2107.09448), where the same sources are built with a standard
emulation library, with one tuned to the processor (RVfplib) and with its floating-point unit. One lane, so
that nothing is computed by vectors; a C++ compiler resolves the operators.
"""

from __future__ import annotations

import ctypes
import importlib.resources
from enum import Enum
from functools import cache

import numpy as np

from taut.devices.local import local_device
from taut.kernels.build import build
from taut.kernels.target import Target, target_of


class Arithmetic(Enum):
    """Who adds and multiplies."""

    HARDWARE = "hardware"
    SOFT_GENERIC = "soft, generic"
    SOFT_FAST = "soft, fast"


SOFT = Target(
    "soft", 1, 16, ("-march=native", "-x", "c++", "-std=gnu++17", "-fpermissive", "-fno-tree-vectorize")
)
"""No vectors of integers either: the processors that need this have none"""


def arithmetic_target(arithmetic: Arithmetic) -> Target:
    """Return what kernels are written for: the widest vectors here, or single numbers in software."""
    return target_of(local_device()) if arithmetic is Arithmetic.HARDWARE else SOFT


def arithmetic_source(source: str, arithmetic: Arithmetic) -> str:
    """Return a program's C with its floats as they are, or as a soft-float library's."""
    if arithmetic is Arithmetic.HARDWARE:
        return source
    choice = "#define TAUT_SOFT_FAST\n" if arithmetic is Arithmetic.SOFT_FAST else ""
    return f'{choice}{library_source()}\nextern "C" {{\n{source}\n}}\n'


@cache
def library_source() -> str:
    """Return the text of both libraries, as C++."""
    return (importlib.resources.files("taut.kernels") / "c" / "soft_float.h").read_text(encoding="utf-8")


_OPERANDS = {"add": 2, "mul": 2, "div": 2, "fma": 3, "less": 2}
_HARDWARE = {
    "add": "x + y",
    "mul": "x * y",
    "div": "x / y",
    "fma": "__builtin_fmaf(x, y, z)",
    "less": "x < y",
}
_NATIVE = Target("native", 1, 16, (*SOFT.flags, "-ffp-contract=off"))


def operate(arithmetic: Arithmetic, operation: str, *operands: np.ndarray) -> np.ndarray:
    """Return the bits (n,) that an operation makes of its operands' bits (n,), all uint32.

    ``add``, ``mul``, ``div``, ``fma`` and ``less``; the hardware's are
    those of the compiler for this machine, one number at a time.
    """
    given = [np.ascontiguousarray(operand, np.uint32) for operand in operands]
    assert len(given) == _OPERANDS[operation] and len({array.shape for array in given}) == 1
    made = np.empty_like(given[0])
    name = {Arithmetic.SOFT_GENERIC: "generic", Arithmetic.SOFT_FAST: "fast"}.get(arithmetic, "hardware")
    function = getattr(_operations(), f"{name}_{operation}_all")
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (made, *given)]
    function(ctypes.c_long(made.size), *addresses)
    return made


@cache
def _operations() -> ctypes.CDLL:
    """A library that applies each operation of each arithmetic to arrays."""
    before, after = [], []
    for operation, count in _OPERANDS.items():
        names = "xyz"[:count]
        floats = "".join(f"float {name}; memcpy(&{name}, &p{name}[i], 4);" for name in names)
        kind = "int" if operation == "less" else "float"
        hardware = f"{floats} {kind} made = {_HARDWARE[operation]}; memcpy(&out[i], &made, 4);"
        before.append(_array_function("hardware", operation, names, hardware))
        places = ", ".join(f"p{name}[i]" for name in names)
        for library in ("generic", "fast"):
            body = f"out[i] = taut_{library}_{operation}({places});"
            after.append(_array_function(library, operation, names, body))
    head = "#include <stdint.h>\n#include <string.h>\n"
    source = "\n".join([head, *before, library_source(), *after])
    return ctypes.CDLL(str(build(source, _NATIVE)))


def _array_function(library: str, operation: str, names: str, body: str) -> str:
    parameters = ", ".join(["long n", "uint32_t *out", *(f"const uint32_t *p{name}" for name in names)])
    loop = f"for (long i = 0; i < n; i++) {{ {body} }}"
    return f'extern "C" void {library}_{operation}_all({parameters}) {{ {loop} }}'
