"""TensorFlow Lite's operators that work number by number, and the activations that others carry along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from taut.graph.flatbuffer import Table
from taut.graph.onnx_types import ELEMENTS
from taut.graph.tflite_conversion import Conversion, Order, inputs_of
from taut.graph.tflite_model import Operator, Unsupported

Converter = Callable[[Conversion, Operator], None]
_FUSED = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}
"""ActivationFunctionType"""
_CLIPS = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0)}
_PLAIN = {
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "ELU": "Elu",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "HARD_SWISH": "HardSwish",
    "LOG": "Log",
    "LOGICAL_NOT": "Not",
    "LOGISTIC": "Sigmoid",
    "NEG": "Neg",
    "RELU": "Relu",
    "ROUND": "Round",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SQRT": "Sqrt",
    "TANH": "Tanh",
}
_BROADCASTING = {
    "ADD": "Add",
    "DIV": "Div",
    "EQUAL": "Equal",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "MUL": "Mul",
    "POW": "Pow",
    "PRELU": "PRelu",
    "SUB": "Sub",
}
_WITH_ACTIVATION = {"ADD", "DIV", "MUL", "SUB"}


def option(operator: Operator, slot: int, kind: str, default: int | float = 0) -> int | float:
    """Read a scalar of an operator's options; ``kind`` is its letter in ``struct``."""
    options: Table | None = operator.options
    return default if options is None else options.number(slot, kind, default)


def integer(operator: Operator, slot: int, kind: str = "i", default: int = 0) -> int:
    return int(option(operator, slot, kind, default))


def activated(conversion: Conversion, value: str, operator: Operator, slot: int) -> str:
    """Return a value after the activation that an operator's options name in a slot."""
    code = integer(operator, slot, "b")
    if code == 0:
        return value
    if code not in _FUSED:
        raise Unsupported(f"has a {operator.kind} with the activation {code}, which is not read")
    return _activation(conversion, _FUSED[code], value)


def _activation(conversion: Conversion, kind: str, value: str) -> str:
    if kind not in _CLIPS:
        return conversion.add(_PLAIN[kind], (value,))
    bounds = [
        conversion.hold(f"{what}_{bound:g}", np.array(bound, np.float32))
        for what, bound in zip(("least", "most"), _CLIPS[kind], strict=True)
    ]
    return conversion.add("Clip", (value, *bounds))


def _read_as_made(conversion: Conversion, operator: Operator) -> tuple[str, Order]:
    """The real numbers of an operator's only input, in the order that they have."""
    (number,) = inputs_of(operator, 1, 1)
    order = conversion.order(number)
    return conversion.real(number, order), order


def _unary(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    conversion.write(operator.outputs[0], _activation(conversion, operator.kind, value), order)


def _broadcasting(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 2, 2)
    order = conversion.common_order(numbers)
    inputs = [conversion.real(number, order) for number in numbers]
    value = conversion.add(_BROADCASTING[operator.kind], inputs)
    if operator.kind in _WITH_ACTIVATION:
        value = activated(conversion, value, operator, 0)
    conversion.write(operator.outputs[0], value, order)


def _squared_difference(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 2, 2)
    order = conversion.common_order(numbers)
    difference = conversion.add("Sub", [conversion.real(number, order) for number in numbers])
    conversion.write(operator.outputs[0], conversion.add("Mul", (difference, difference)), order)


def _select(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 3, 3)
    order = conversion.common_order(numbers)
    inputs = [conversion.real(number, order) for number in numbers]
    conversion.write(operator.outputs[0], conversion.add("Where", inputs), order)


def _not_equal(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 2, 2)
    order = conversion.common_order(numbers)
    equal = conversion.add("Equal", [conversion.real(number, order) for number in numbers])
    conversion.write(operator.outputs[0], conversion.add("Not", (equal,)), order)


def _rsqrt(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    root = conversion.add("Sqrt", (value,))
    conversion.write(operator.outputs[0], conversion.add("Reciprocal", (root,)), order)


def _square(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    conversion.write(operator.outputs[0], conversion.add("Mul", (value, value)), order)


def _leaky_relu(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    attributes = {"alpha": float(option(operator, 0, "f"))}
    conversion.write(operator.outputs[0], conversion.add("LeakyRelu", (value,), attributes), order)


def _gelu(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    attributes = {"approximate": "tanh" if integer(operator, 0, "B") else "none"}
    conversion.write(operator.outputs[0], conversion.add("Gelu", (value,), attributes), order)


def _cast(conversion: Conversion, operator: Operator) -> None:
    value, order = _read_as_made(conversion, operator)
    attributes = {"to": ELEMENTS[conversion.tensor(operator.outputs[0]).dtype]}
    conversion.write(operator.outputs[0], conversion.add("Cast", (value,), attributes), order)


def _dequantize(conversion: Conversion, operator: Operator) -> None:
    """Real numbers are what is read anyway; constants in float16 become float32 here and now."""
    (number,) = inputs_of(operator, 1, 1)
    source = conversion.tensor(number)
    if source.data is not None and source.dtype == "float16":
        conversion.set_constant(operator.outputs[0], source.data.astype(np.float32))
    elif source.dtype == "float16":
        _cast(conversion, operator)
    else:
        _pass_on(conversion, operator)


def _pass_on(conversion: Conversion, operator: Operator) -> None:
    """The numbers stay; where input and output have other scales, reading and writing changes them."""
    value, order = _read_as_made(conversion, operator)
    conversion.write(operator.outputs[0], value, order)


def _densify(conversion: Conversion, operator: Operator) -> None:
    """Sparse constants were made dense when they were read."""
    (number,) = inputs_of(operator, 1, 1)
    conversion.set_constant(operator.outputs[0], conversion.constant(number))


ELEMENTWISE: dict[str, Converter] = {
    **dict.fromkeys((*_PLAIN, *_CLIPS), _unary),
    **dict.fromkeys(_BROADCASTING, _broadcasting),
    "CAST": _cast,
    "DENSIFY": _densify,
    "DEQUANTIZE": _dequantize,
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "NOT_EQUAL": _not_equal,
    "QUANTIZE": _pass_on,
    "RSQRT": _rsqrt,
    "SELECT_V2": _select,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
}
