"""TensorFlow Lite's operators that move numbers: reshaping, cutting, joining, padding, gathering.

What goes along one axis, or by axis, is done in the order that is there; a reshape needs the file's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from taut.graph.tflite_conversion import Conversion, Order, file_order, inputs_of
from taut.graph.tflite_elementwise import Converter, activated, integer
from taut.graph.tflite_model import Operator, Unsupported

_FAR = 2**31 - 1
"""Beyond the end of any axis"""


def reshaped(conversion: Conversion, number: int, shape: Sequence[int]) -> str:
    """Return the real numbers of a tensor in the file's order, in another shape."""
    order, sizes = conversion.order(number), conversion.shape(number)
    long = [axis for axis in order if sizes[axis] != 1]
    if long != sorted(long):  # else the orders differ in axes of size 1 only, and nothing moves
        order = file_order(len(sizes))
    if math.prod(shape) != math.prod(sizes):
        raise ValueError(
            f"tensor {conversion.tensor(number).name!r} of shape {sizes} is reshaped to {tuple(shape)}"
        )
    return conversion.reshape(conversion.real(number, order), shape)


def axis_of(conversion: Conversion, number: int, axis: int) -> int:
    """Return an axis of a tensor, counted from its first one. Raises ValueError where it has none such."""
    rank = len(conversion.shape(number))
    if not -rank <= axis < rank:
        raise ValueError(
            f"axis {axis} is asked for in tensor {conversion.tensor(number).name!r} of {rank} axes"
        )
    return axis % rank


def _reshape(conversion: Conversion, operator: Operator) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the file states the shape that results."""
    source = inputs_of(operator, 1, 2)[0]
    output = operator.outputs[0]
    conversion.write(output, reshaped(conversion, source, conversion.shape(output)))


def _transpose(conversion: Conversion, operator: Operator) -> None:
    source, axes = inputs_of(operator, 2, 2)
    order = tuple(int(axis) for axis in conversion.constant(axes).reshape(-1))
    if sorted(order) != list(file_order(len(conversion.shape(source)))):
        raise ValueError(f"a TRANSPOSE of {len(conversion.shape(source))} axes has the order {order}")
    conversion.write(operator.outputs[0], conversion.real(source, order))


def _concatenation(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 1, len(operator.inputs))
    axis = axis_of(conversion, numbers[0], integer(operator, 0))
    order = conversion.common_order(numbers)
    inputs = [conversion.real(number, order) for number in numbers]
    value = conversion.add("Concat", inputs, {"axis": order.index(axis)})
    conversion.write(operator.outputs[0], activated(conversion, value, operator, 1), order)


def _pad(conversion: Conversion, operator: Operator) -> None:
    source, amounts, filling = inputs_of(operator, 2, 3)
    order = conversion.order(source)
    table = conversion.constant(amounts).reshape(-1, 2)
    if len(table) != len(order):
        raise ValueError(f"a {operator.kind} has {len(table)} rows for {len(order)} axes")
    pads = conversion.hold("pads", table[list(order)].T.reshape(-1).astype(np.int64))
    inputs = [conversion.real(source, order), pads]
    attributes = {}
    if operator.kind == "PADV2":
        inputs.append(conversion.reshape(conversion.real(filling), ()))
    if operator.kind == "MIRROR_PAD":
        if integer(operator, 0, "b") != 0:
            raise Unsupported("has a MIRROR_PAD that repeats the edge, which is not read")
        attributes = {"mode": "reflect"}
    conversion.write(operator.outputs[0], conversion.add("Pad", inputs, attributes), order)


def _cut(conversion: Conversion, source: int, order: Order, ranges: Sequence[tuple[int, int, int]]) -> str:
    """A tensor cut to (start, end, step) along each of the file's axes, where that is not the whole."""
    value = conversion.real(source, order)
    whole = [(0, size, 1) for size in conversion.shape(source)]
    cut = [axis for axis in order if ranges[axis] != whole[axis]]
    if not cut:
        return value
    columns = np.array([(*ranges[axis], order.index(axis)) for axis in cut], np.int64).T
    starts, ends, steps, axes = (
        conversion.hold(name, column)
        for name, column in zip(("starts", "ends", "steps", "axes"), columns, strict=True)
    )
    return conversion.add("Slice", (value, starts, ends, axes, steps))


def _slice(conversion: Conversion, operator: Operator) -> None:
    source, begins, sizes = inputs_of(operator, 3, 3)
    order, shape = conversion.order(source), conversion.shape(source)
    starts, counts = (conversion.constant(number).reshape(-1) for number in (begins, sizes))
    if not len(starts) == len(counts) == len(shape):
        raise ValueError(f"a SLICE of {len(shape)} axes has {len(starts)} starts and {len(counts)} sizes")
    ranges = [
        (int(start), whole if count < 0 else int(start + count), 1)
        for start, count, whole in zip(starts, counts, shape, strict=True)
    ]
    conversion.write(operator.outputs[0], _cut(conversion, source, order, ranges), order)


def _strided_slice(conversion: Conversion, operator: Operator) -> None:
    source, *numbers = inputs_of(operator, 4, 4)
    if integer(operator, 2) or integer(operator, 3) or integer(operator, 5, "B"):
        raise Unsupported("has a STRIDED_SLICE with ellipsis, new axes or offsets, which is not read")
    columns = [conversion.constant(number).reshape(-1) for number in numbers]
    shape = conversion.shape(source)
    if any(len(column) != len(columns[0]) for column in columns) or len(columns[0]) > len(shape):
        raise ValueError(f"a STRIDED_SLICE of {len(shape)} axes has other numbers of starts, ends or steps")
    ranges = [(0, size, 1) for size in shape]
    for axis, (start, end, step) in enumerate(zip(*columns, strict=True)):
        ranges[axis] = _range(operator, axis, (int(start), int(end), int(step)))
    dropped = integer(operator, 4)
    order = file_order(len(shape)) if dropped else conversion.order(source)
    value, output = _cut(conversion, source, order, ranges), operator.outputs[0]
    if dropped:
        value = conversion.reshape(value, conversion.shape(output))
    conversion.write(output, value, order if not dropped else None)


def _range(operator: Operator, axis: int, given: tuple[int, int, int]) -> tuple[int, int, int]:
    """A range after the masks: a set bit takes everything, or one place of an axis that is then dropped."""
    start, end, step = given
    if step == 0:
        raise ValueError("a STRIDED_SLICE has a step of 0")
    begins_free, ends_free, dropped = (integer(operator, slot) >> axis & 1 for slot in (0, 1, 4))
    if dropped:
        return start, start + 1 if start != -1 else _FAR, 1
    if begins_free:
        start = 0 if step > 0 else _FAR
    if ends_free:
        end = _FAR if step > 0 else -_FAR
    return start, end, step


def _split(conversion: Conversion, operator: Operator) -> None:
    if operator.kind == "SPLIT":
        along, source = inputs_of(operator, 2, 2)
    else:
        source, _, along = inputs_of(operator, 3, 3)
    axis = axis_of(conversion, source, int(conversion.constant(along).reshape(-1)[0]))
    order = conversion.order(source)
    # Part by part, since a damaged file's outputs may have fewer axes than what is split.
    sizes = [conversion.shape(output)[axis_of(conversion, output, axis)] for output in operator.outputs]
    names = (conversion.real(source, order), conversion.hold("sizes", np.array(sizes, np.int64)))
    parts = conversion.add_many("Split", names, {"axis": order.index(axis)}, len(sizes))
    for output, part in zip(operator.outputs, parts, strict=True):
        conversion.write(output, part, order)


def _gather(conversion: Conversion, operator: Operator) -> None:
    source, places = inputs_of(operator, 2, 2)
    if integer(operator, 1):
        raise Unsupported("has a GATHER with batch dimensions, which is not read")
    axis = axis_of(conversion, source, integer(operator, 0))
    inputs = conversion.real(source), conversion.real(places)
    conversion.write(operator.outputs[0], conversion.add("Gather", inputs, {"axis": axis}))


def _pack(conversion: Conversion, operator: Operator) -> None:
    numbers = inputs_of(operator, 1, len(operator.inputs))
    output = operator.outputs[0]
    axis = axis_of(conversion, output, integer(operator, 1))
    shape = list(conversion.shape(output))
    shape[axis] = 1
    parts = [reshaped(conversion, number, shape) for number in numbers]
    conversion.write(output, conversion.add("Concat", parts, {"axis": axis}))


def _unpack(conversion: Conversion, operator: Operator) -> None:
    (source,) = inputs_of(operator, 1, 1)
    axis = axis_of(conversion, source, integer(operator, 1))
    sizes = conversion.hold("sizes", np.ones(len(operator.outputs), np.int64))
    parts = conversion.add_many(
        "Split", (conversion.real(source), sizes), {"axis": axis}, len(operator.outputs)
    )
    for output, part in zip(operator.outputs, parts, strict=True):
        conversion.write(output, conversion.reshape(part, conversion.shape(output)))


def _tile(conversion: Conversion, operator: Operator) -> None:
    source, repeats = inputs_of(operator, 2, 2)
    order = conversion.order(source)
    counts = conversion.constant(repeats).reshape(-1)
    if len(counts) != len(order):
        raise ValueError(f"a TILE of {len(order)} axes has {len(counts)} counts")
    held = conversion.hold("repeats", counts[list(order)].astype(np.int64))
    conversion.write(
        operator.outputs[0], conversion.add("Tile", (conversion.real(source, order), held)), order
    )


def _broadcast(conversion: Conversion, operator: Operator) -> None:
    source, _ = inputs_of(operator, 2, 2)
    output = operator.outputs[0]
    shape = conversion.hold("shape", np.array(conversion.shape(output), np.int64))
    conversion.write(output, conversion.add("Expand", (conversion.real(source), shape)))


def _shape(conversion: Conversion, operator: Operator) -> None:
    """All shapes are known."""
    (source,) = inputs_of(operator, 1, 1)
    output = operator.outputs[0]
    sizes = np.array(conversion.shape(source), conversion.tensor(output).dtype)
    if conversion.shape(output) != sizes.shape:
        raise ValueError(f"a SHAPE of {len(sizes)} axes makes a tensor of shape {conversion.shape(output)}")
    conversion.set_constant(output, sizes)


REARRANGING: dict[str, Converter] = {
    **dict.fromkeys(("EXPAND_DIMS", "RESHAPE", "SQUEEZE"), _reshape),
    **dict.fromkeys(("MIRROR_PAD", "PAD", "PADV2"), _pad),
    **dict.fromkeys(("SPLIT", "SPLIT_V"), _split),
    "BROADCAST_TO": _broadcast,
    "CONCATENATION": _concatenation,
    "GATHER": _gather,
    "PACK": _pack,
    "SHAPE": _shape,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
