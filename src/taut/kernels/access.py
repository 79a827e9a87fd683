"""How elements and vectors of each type of memory are read and written in C.

Arithmetic on floats is done in float32 whatever memory holds: bfloat16 is widened as it is read and rounded
to nearest even as it is written; floats written to 8-bit integers are rounded and saturate.
"""

from __future__ import annotations

from taut.kernels.expression import Expression
from taut.kernels.view import View


def element_load(view: View, base: str, place: str) -> str:
    """Return C for one element, in the type that arithmetic is done in."""
    return f"taut_float_bfloat16({base}[{place}])" if view.dtype == "bfloat16" else f"{base}[{place}]"


def element_store(view: View, base: str, place: str, value: str, expression: Expression) -> str:
    """Return a C statement that stores what an expression came to."""
    if expression.dtype == "float32" and view.dtype in ("bfloat16", "uint8", "int8"):
        value = f"taut_{view.dtype}({value})"
    return f"{base}[{place}] = {value};"


def vector_load(view: View, base: str, place: str, stride: int, lanes: int, count: int) -> str:
    """Return C for ``count`` elements of a vector, at one stride."""
    kind = _suffix(view)
    if stride == 0:
        element = f"{base}[{place}]"
        return f"taut_splat({f'taut_float{kind}({element})' if kind else element})"
    if stride != 1:
        return f"taut_gather{kind}({base} + {place}, {stride}, {count})"
    if count == lanes:
        return f"taut_load{kind}({base} + {place})"
    return f"taut_load_part{kind}({base} + {place}, {count})"


def vector_store(view: View, base: str, place: str, value: str, stride: int, lanes: int, count: int) -> str:
    """Return a C statement that stores ``count`` elements at one stride."""
    kind = _suffix(view)
    if stride != 1 and count > 1:
        return f"taut_scatter{kind}({base} + {place}, {value}, {stride}, {count});"
    if count == lanes:
        return f"taut_store{kind}({base} + {place}, {value});"
    return f"taut_store_part{kind}({base} + {place}, {value}, {count});"


def _suffix(view: View) -> str:
    return "" if view.dtype == "float32" else f"_{view.dtype}"
