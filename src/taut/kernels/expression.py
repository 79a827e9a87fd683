"""Elementwise arithmetic as trees: built once, evaluated by numpy or written as C, by element or by vector.

One tree serves as a loop of its own, as the epilogue of a kernel (its leaf ``Result`` is what the kernel has
accumulated) and as what a reduction reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from taut.kernels.view import View

MASK = "bool"
C_TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned",
    "int64": "long long",
    "uint64": "unsigned long long",
    "bool": "unsigned char",
    "bfloat16": "unsigned short",
}
LANE_TYPES = ("float32", "bfloat16", "uint8", "int8")
"""Types of memory that vectors of float are loaded from and stored to. bfloat16 exists in memory only"""


@dataclass(frozen=True)
class Load:
    """An element of a view, whose shape is that of the whole expression; broadcast axes have stride 0."""

    view: View

    @property
    def dtype(self) -> str:
        """What arithmetic is done in: bfloat16 is widened as it is read."""
        return "float32" if self.view.dtype == "bfloat16" else self.view.dtype


@dataclass(frozen=True)
class Literal:
    """The same number everywhere."""

    value: float | int | bool
    dtype: str


@dataclass(frozen=True)
class Result:
    """What the kernel that this is the epilogue of has computed."""

    dtype: str = "float32"


@dataclass(frozen=True)
class Apply:
    """An operation on the same element of each argument."""

    op: str
    arguments: tuple[Expression, ...]
    dtype: str


Expression = Load | Literal | Result | Apply
RESULT = Result()


@dataclass(frozen=True)
class Operation:
    """How an operation is computed."""

    numpy: Callable[..., Any]
    scalar: str
    """C expression over {0}, {1} ..."""
    vector: str | None = None
    """The same over vectors of float, and masks; None where only elements are computed"""


def _both(numpy: Callable[..., Any], pattern: str) -> Operation:
    """An operation whose C is the same for elements and vectors."""
    return Operation(numpy, pattern, pattern)


def _called(numpy: Callable[..., Any], name: str, arity: int = 1) -> Operation:
    """An operation of our own, by element and by vector."""
    arguments = ", ".join(f"{{{place}}}" for place in range(arity))
    return Operation(numpy, f"taut_{name}({arguments})", f"taut_{name}_v({arguments})")


def _libm(numpy: Callable[..., Any], name: str, arity: int = 1) -> Operation:
    arguments = ", ".join(f"{{{place}}}" for place in range(arity))
    return Operation(numpy, f"__builtin_{name}({arguments})")


def _compared(numpy: Callable[..., Any], sign: str) -> Operation:
    return Operation(numpy, f"({{0}} {sign} {{1}})", f"({{0}} {sign} {{1}})")


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _intpow(base: Any, exponent: Any) -> Any:
    """Powers of integers; below zero, what is left of a fraction when it is cut off."""
    whole = np.power(base, np.maximum(exponent, 0))
    fraction = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (exponent % 2), 0))
    return np.where(exponent < 0, fraction, whole)


OPERATIONS: Mapping[str, Operation] = {
    "add": _both(np.add, "({0} + {1})"),
    "sub": _both(np.subtract, "({0} - {1})"),
    "mul": _both(np.multiply, "({0} * {1})"),
    "div": _both(np.true_divide, "({0} / {1})"),
    "neg": _both(np.negative, "(-{0})"),
    "max": _called(np.maximum, "max", 2),
    "min": _called(np.minimum, "min", 2),
    "abs": _called(np.abs, "abs"),
    "sqrt": _called(np.sqrt, "sqrt"),
    "exp": _called(np.exp, "exp"),
    "log": _called(np.log, "log"),
    "tanh": _called(np.tanh, "tanh"),
    "sigmoid": _called(lambda x: 1 / (1 + np.exp(-x)), "sigmoid"),
    "erf": _called(_erf, "erf"),
    "floor": _called(np.floor, "floor"),
    "ceil": _called(np.ceil, "ceil"),
    "round": _called(np.rint, "rint"),
    "sin": _libm(np.sin, "sinf"),
    "cos": _libm(np.cos, "cosf"),
    "tan": _libm(np.tan, "tanf"),
    "asin": _libm(np.arcsin, "asinf"),
    "acos": _libm(np.arccos, "acosf"),
    "atan": _libm(np.arctan, "atanf"),
    "sinh": _libm(np.sinh, "sinhf"),
    "cosh": _libm(np.cosh, "coshf"),
    "pow": _libm(np.power, "powf", 2),
    "fmod": _libm(np.fmod, "fmodf", 2),
    "asinh": _libm(np.arcsinh, "asinhf"),
    "acosh": _libm(np.arccosh, "acoshf"),
    "atanh": _libm(np.arctanh, "atanhf"),
    "sign": Operation(np.sign, "(({0} > 0) - ({0} < 0))"),
    "intdiv": Operation(lambda a, b: np.trunc(a / b), "({0} / {1})"),
    "intmod": Operation(np.fmod, "({0} % {1})"),
    "floormod": Operation(np.mod, "taut_floormod({0}, {1})"),
    "intpow": Operation(_intpow, "taut_intpow({0}, {1})"),
    "bitand": Operation(np.bitwise_and, "({0} & {1})"),
    "bitor": Operation(np.bitwise_or, "({0} | {1})"),
    "bitxor": Operation(np.bitwise_xor, "({0} ^ {1})"),
    "bitnot": Operation(np.bitwise_not, "(~{0})"),
    "shiftleft": Operation(np.left_shift, "({0} << {1})"),
    "shiftright": Operation(np.right_shift, "({0} >> {1})"),
    "less": _compared(np.less, "<"),
    "less_equal": _compared(np.less_equal, "<="),
    "greater": _compared(np.greater, ">"),
    "greater_equal": _compared(np.greater_equal, ">="),
    "equal": _compared(np.equal, "=="),
    "and": Operation(np.logical_and, "({0} && {1})", "({0} & {1})"),
    "or": Operation(np.logical_or, "({0} || {1})", "({0} | {1})"),
    "xor": Operation(np.logical_xor, "(!{0} != !{1})", "({0} ^ {1})"),
    "not": Operation(np.logical_not, "(!{0})", "(~{0})"),
    "isnan": Operation(np.isnan, "({0} != {0})", "({0} != {0})"),
    "where": Operation(np.where, "({0} ? {1} : {2})", "taut_select_v({0}, {1}, {2})"),
    "cast": Operation(lambda x: x, "{0}", "{0}"),
    "saturate_uint8": _called(lambda x: np.clip(np.rint(x), 0, 255), "saturate_uint8"),
    "saturate_int8": _called(lambda x: np.clip(np.rint(x), -128, 127), "saturate_int8"),
    "nonzero": Operation(lambda x: x != 0, "({0} != 0)"),
}
_YIELD_MASKS = {
    *("less", "less_equal", "greater", "greater_equal", "equal"),
    *("and", "or", "xor", "not", "isnan", "nonzero"),
}


def apply(op: str, *arguments: Expression, dtype: str | None = None) -> Apply:
    """Return an operation; its type is that of the last argument, a mask's for comparisons."""
    return Apply(op, arguments, dtype or (MASK if op in _YIELD_MASKS else arguments[-1].dtype))


def as_float(view: View) -> Expression:
    """An element of a view in float32."""
    return Load(view) if Load(view).dtype == "float32" else apply("cast", Load(view), dtype="float32")


def number(value: float, dtype: str = "float32") -> Literal:
    return Literal(value, dtype)


def leaves(expression: Expression) -> Iterator[Expression]:
    """Yield loads, literals and results, each as often as it occurs."""
    if isinstance(expression, Apply):
        for argument in expression.arguments:
            yield from leaves(argument)
    else:
        yield expression


def loads(expression: Expression) -> tuple[View, ...]:
    """Return the views that are read, each once."""
    return tuple(dict.fromkeys(leaf.view for leaf in leaves(expression) if isinstance(leaf, Load)))


def map_views(expression: Expression, change: Callable[[View], View]) -> Expression:
    """Return the expression with every view changed."""
    if isinstance(expression, Load):
        return Load(change(expression.view))
    if isinstance(expression, Apply):
        return replace(expression, arguments=tuple(map_views(one, change) for one in expression.arguments))
    return expression


def with_result(expression: Expression, result: Expression) -> Expression:
    """Return the expression with what the kernel computed replaced."""
    if isinstance(expression, Result):
        return result
    if isinstance(expression, Apply):
        arguments = tuple(with_result(one, result) for one in expression.arguments)
        return replace(expression, arguments=arguments)
    return expression


def evaluate(expression: Expression, read: Callable[[View], np.ndarray], result: Any = None) -> np.ndarray:
    """Compute an expression by numpy: the plain reference of every kernel that contains it."""
    if isinstance(expression, Load):
        return read(expression.view).astype(expression.dtype, copy=False)
    if isinstance(expression, Literal):
        return np.asarray(expression.value, expression.dtype)
    if isinstance(expression, Result):
        return np.asarray(result)
    arguments = [evaluate(one, read, result) for one in expression.arguments]
    with np.errstate(all="ignore"):
        return np.asarray(OPERATIONS[expression.op].numpy(*arguments)).astype(expression.dtype)


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """What memory of a type holds of numbers: floats are rounded to 8-bit integers and saturate there."""
    if array.dtype.kind == "f" and dtype in ("uint8", "int8"):
        array = OPERATIONS[f"saturate_{dtype}"].numpy(array)
    return array.astype(dtype)


def is_vector(expression: Expression) -> bool:
    """Whether it can be computed by vectors of float: floats throughout, masks only in between."""
    if not isinstance(expression, Apply):
        return expression.dtype == "float32"
    if expression.op == "cast":
        return expression.dtype == "float32" and _is_lane(expression.arguments[0])
    if OPERATIONS[expression.op].vector is None or expression.dtype not in ("float32", MASK):
        return False
    return all(is_vector(one) or _is_inner_mask(one) for one in expression.arguments)


def _is_lane(expression: Expression) -> bool:
    """Whether a vector of it is one of float already."""
    return is_vector(expression) or (isinstance(expression, Load) and expression.dtype in LANE_TYPES)


def _is_inner_mask(expression: Expression) -> bool:
    return isinstance(expression, Apply) and expression.dtype == MASK and is_vector(expression)


def operations(expression: Expression) -> int:
    """Count the operations, for estimates of cost."""
    if not isinstance(expression, Apply):
        return 0
    return 1 + sum(operations(one) for one in expression.arguments)


class Writer:
    """Writes an expression as C statements, every subtree once.

    ``load`` returns the C of an element, or vector, of a view; ``result`` is the C of what was accumulated.
    """

    def __init__(self, load: Callable[[View], str], result: str = "", *, by_vector: bool) -> None:
        self._load, self._result, self._by_vector = load, result, by_vector
        self._names: dict[Expression, str] = {}
        self.lines: list[str] = []

    def write(self, expression: Expression) -> str:
        """Append statements, and return the C name or literal of the expression's value."""
        if isinstance(expression, Result):
            return self._result
        if isinstance(expression, Literal):
            text = c_literal(expression.value, expression.dtype)
            return f"taut_splat({text})" if self._by_vector else text
        if expression not in self._names:
            self._names[expression] = self._named(expression)
        return self._names[expression]

    def _named(self, expression: Load | Apply) -> str:
        if isinstance(expression, Load):
            text = self._load(expression.view)
        else:
            arguments = [self.write(one) for one in expression.arguments]
            operation = OPERATIONS[expression.op]
            pattern = operation.vector if self._by_vector else operation.scalar
            assert pattern is not None, f"{expression.op} has no vector form"
            text = pattern.format(*arguments)
        name = f"t{len(self._names)}"
        self.lines.append(f"{self._type(expression)} {name} = {text};")
        return name

    def _type(self, expression: Load | Apply) -> str:
        """Vectors of a lane type are those of float."""
        if self._by_vector:
            return "vi" if expression.dtype == MASK else "vf"
        return C_TYPES[expression.dtype]


def c_literal(value: float | int | bool, dtype: str) -> str:
    """Return a C literal of exactly that value."""
    if dtype not in ("float32", "float64"):
        return f"{int(value)}LL" if dtype in ("int64", "uint64") and value != -(2**63) else f"({int(value)})"
    suffix = "f" if dtype == "float32" else ""
    kept = float(np.dtype(dtype).type(value))
    if math.isnan(kept):
        return f'__builtin_nan{suffix}("")'
    if math.isinf(kept):
        return f"({'-' if kept < 0 else ''}__builtin_inf{suffix}())"
    return f"({kept.hex()}{suffix})"
