"""TensorFlow Lite's matrix products, and what sums, compares or normalises along axes."""

from __future__ import annotations

import math

import numpy as np

from taut.graph.onnx_types import ELEMENTS
from taut.graph.tflite_conversion import Conversion, Order, file_order, inputs_of
from taut.graph.tflite_elementwise import Converter, activated, integer, option
from taut.graph.tflite_model import ABSENT, Operator, Unsupported
from taut.graph.tflite_rearranging import axis_of, reshaped

_REDUCTIONS = {
    "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
    "SUM": "ReduceSum",
}
_EXTREMES = {"ARG_MAX": "ArgMax", "ARG_MIN": "ArgMin"}


def _fully_connected(conversion: Conversion, operator: Operator) -> None:
    source, weight, bias = inputs_of(operator, 2, 3)
    if integer(operator, 1, "b"):
        raise Unsupported("has a FULLY_CONNECTED with shuffled weights, which is not read")
    output, sizes = operator.outputs[0], conversion.shape(weight)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"a FULLY_CONNECTED has weights of shape {sizes}")
    count = math.prod(conversion.shape(source)) // sizes[1]
    is_matrix = conversion.shape(source) == (count, sizes[1])
    rows = conversion.real(source) if is_matrix else reshaped(conversion, source, (count, sizes[1]))
    inputs = [rows, conversion.real(weight)]
    if bias != ABSENT:
        inputs.append(conversion.bias(bias, source, weight))
    value = activated(conversion, conversion.add("Gemm", inputs, {"transB": 1}), operator, 0)
    if conversion.shape(output) != (count, sizes[0]):
        value = conversion.reshape(value, conversion.shape(output))
    conversion.write(output, value)


def _batch_matmul(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 2, 2)
    inputs = []
    for slot, number in enumerate(numbers):
        order = file_order(len(conversion.shape(number)))
        if len(order) < 2:
            raise ValueError("a BATCH_MATMUL has an input of less than 2 axes")
        is_turned = integer(operator, slot, "B")
        inputs.append(conversion.real(number, (*order[:-2], order[-1], order[-2]) if is_turned else order))
    conversion.write(operator.outputs[0], conversion.add("MatMul", inputs))


def _softmax(conversion: Conversion, operator: Operator) -> None:
    (source,) = inputs_of(operator, 1, 1)
    order = conversion.order(source)
    value = conversion.real(source, order)
    sharpness = float(option(operator, 0, "f", 1.0))
    if operator.kind == "SOFTMAX" and sharpness != 1:
        value = conversion.add("Mul", (value, conversion.hold("beta", np.array(sharpness, np.float32))))
    op = {"LOG_SOFTMAX": "LogSoftmax", "SOFTMAX": "Softmax"}[operator.kind]
    last = axis_of(conversion, source, -1)
    conversion.write(operator.outputs[0], conversion.add(op, (value,), {"axis": order.index(last)}), order)


def _reduction(conversion: Conversion, operator: Operator) -> None:
    source, along = inputs_of(operator, 2, 2)
    gone = [axis_of(conversion, source, int(axis)) for axis in conversion.constant(along).reshape(-1)]
    is_kept = bool(integer(operator, 0, "B"))
    order, left = _order_after(conversion, source, gone, is_kept)
    axes = conversion.hold("axes", np.array(sorted(order.index(axis) for axis in gone), np.int64))
    inputs = conversion.real(source, order), axes
    value = conversion.add(_REDUCTIONS[operator.kind], inputs, {"keepdims": int(is_kept)})
    conversion.write(operator.outputs[0], value, left)


def _extreme(conversion: Conversion, operator: Operator) -> None:
    source, along = inputs_of(operator, 2, 2)
    gone = axis_of(conversion, source, int(conversion.constant(along).reshape(-1)[0]))
    order, left = _order_after(conversion, source, [gone], is_kept=False)
    attributes = {"axis": order.index(gone), "keepdims": 0}
    value = conversion.add(_EXTREMES[operator.kind], (conversion.real(source, order),), attributes)
    dtype = conversion.tensor(operator.outputs[0]).dtype
    if dtype != "int64":
        value = conversion.add("Cast", (value,), {"to": ELEMENTS[dtype]})
    conversion.write(operator.outputs[0], value, left)


def _order_after(conversion: Conversion, source: int, gone: list[int], is_kept: bool) -> tuple[Order, Order]:
    """The order to read a tensor in, and the result's, without the axes that go."""
    order = conversion.order(source)
    if is_kept:
        return order, order
    left = [axis for axis in order if axis not in gone]
    # Channels first stays only where what is left is in the file's order all the same.
    order = order if left == sorted(left) else file_order(len(order))
    return order, file_order(len(left))


MATRICES: dict[str, Converter] = {
    **dict.fromkeys(_EXTREMES, _extreme),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("LOG_SOFTMAX", "SOFTMAX"), _softmax),
    "BATCH_MATMUL": _batch_matmul,
    "FULLY_CONNECTED": _fully_connected,
}
