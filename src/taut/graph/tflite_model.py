"""What a TensorFlow Lite file says: tensors and operators of its main subgraph, checked for soundness.

Only what decides about the result is read: no metadata, signatures or debug information. Slots are those of
the schema (tensorflow/compiler/mlir/lite/schema/schema.fbs), whose names are used here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from taut.graph.flatbuffer import Flatbuffer, Table
from taut.graph.model_file import SIZE_BOUND_BYTES
from taut.graph.tflite_names import BUILTIN_OPERATORS, ELEMENT_TYPES
from taut.graph.tflite_sparsity import densify

ABSENT = -1
"""In place of a tensor's number: an optional input that is left out"""
MAGIC = b"TFL3"
_MAGIC_PLACE = slice(4, 8)
_CUSTOM = "CUSTOM"
_QUANTIZED_DTYPES = ("int8", "uint8", "int32", "int64")
"""Codes of activations and weights, and of biases, whose parameters follow from the others'"""


class Unsupported(Exception):
    """A sound file asks for what is not read; the message is a rule, as in BadInput."""


@dataclass(frozen=True)
class Quantization:
    """number = scale * (code - zero_point), with one pair in all or one for each place along the axis."""

    scale: np.ndarray
    """(1,) or (channels,), float32"""
    zero_point: np.ndarray
    """As many, int64"""
    axis: int


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    """numpy's name"""
    shape: tuple[int, ...]
    data: np.ndarray | None
    """Contents of a constant"""
    quantization: Quantization | None


@dataclass(frozen=True)
class Operator:
    """One operator; tensors are named by their number, ABSENT for an input that is left out."""

    kind: str
    """``CONV_2D``; of a custom operator ``custom:`` and its own name"""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    custom_options: bytes


@dataclass(frozen=True)
class TfliteModel:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    """In the order of execution"""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_model(content: bytes) -> TfliteModel:
    """Read a file's content. Raises ValueError where it is damaged, Unsupported for what is not read."""
    if content[_MAGIC_PLACE] != MAGIC:
        raise ValueError(f"bytes 4 to 8 are not {MAGIC.decode()}")
    return _Reader(content).model()


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._root = Flatbuffer(content).root()
        self._buffers = self._root.tables(4)
        self._left_bytes = SIZE_BOUND_BYTES
        self._copies: dict[tuple[int, np.dtype], np.ndarray] = {}
        """Contents of buffers, which tensors may share"""

    def model(self) -> TfliteModel:
        version = self._root.number(0, "I")
        if version != 3:
            raise Unsupported(f"has version {version} of the format, but only version 3 is read")
        subgraphs = self._root.tables(2)
        if not subgraphs:
            raise ValueError("it has no subgraph")
        main = subgraphs[0]
        tensors = tuple(self._tensor(*item) for item in enumerate(main.tables(0)))
        model = TfliteModel(
            tensors,
            tuple(self._operators(main)),
            _numbers(main.vector(1, "<i4")),
            _numbers(main.vector(2, "<i4")),
        )
        _check_references(model)
        return model

    def _tensor(self, number: int, table: Table) -> Tensor:
        name, shape = table.text(3) or f"tensor_{number}", _numbers(table.vector(0, "<i4"))
        element = table.number(1, "b")
        if not 0 <= element < len(ELEMENT_TYPES):
            raise ValueError(f"tensor {name!r} has the unknown element type {element}")
        kind, dtype = ELEMENT_TYPES[element]
        if dtype is None:
            raise Unsupported(f"tensor {name!r} has the element type {kind}, which is not read")
        if any(size < 0 for size in shape):
            raise ValueError(f"tensor {name!r} has the shape {shape}")
        is_float = kind.startswith("FLOAT")  # which some writers give a scale that says nothing
        quantization = None if is_float else _quantization(table.table(4), name, shape)
        if quantization is not None and dtype not in _QUANTIZED_DTYPES:
            raise Unsupported(f"tensor {name!r} is quantized to {kind}, but only 8 bits are read")
        data = self._contents(table, name, np.dtype(dtype), shape)
        return Tensor(name, dtype, shape, data, quantization)

    def _contents(
        self, table: Table, name: str, dtype: np.dtype, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Contents of a constant; None for a tensor that is computed."""
        buffer = table.number(2, "I")
        stored = self._buffer(buffer, name)
        if not stored.size:
            return None
        sparsity = table.table(6)
        dense_bytes = math.prod(shape) * dtype.itemsize
        if stored.size % dtype.itemsize or (sparsity is None and stored.size != dense_bytes):
            rule = f"has {stored.size} bytes, but its shape {shape} needs {dense_bytes}"
            raise ValueError(f"tensor {name!r} {rule}")
        self._left_bytes -= dense_bytes
        if self._left_bytes < 0:
            raise ValueError("its constants need more than 2 GiB")
        numbers = self._copies.get((buffer, dtype))
        if numbers is None:
            # A copy, because arrays over bytes are read-only, which torch warns about.
            numbers = self._copies[buffer, dtype] = stored.copy().view(dtype)
        if sparsity is not None:
            return densify(numbers, sparsity, shape, len(self._content))
        return numbers.reshape(shape)

    def _buffer(self, number: int, name: str) -> np.ndarray:
        if number >= len(self._buffers):
            raise ValueError(f"tensor {name!r} has its contents in buffer {number} of {len(self._buffers)}")
        buffer = self._buffers[number]
        start, size = buffer.number(1, "Q"), buffer.number(2, "Q")
        if start <= 1:  # 1 is a placeholder that writers leave
            return buffer.data(0)
        if start + size > len(self._content):
            raise ValueError(f"the contents of tensor {name!r} lie outside the file")
        return np.frombuffer(self._content, "u1", size, start)

    def _operators(self, subgraph: Table) -> Iterator[Operator]:
        codes = [_operator_name(table) for table in self._root.tables(1)]
        for table in subgraph.tables(3):
            code = table.number(0, "I")
            if code >= len(codes):
                raise ValueError(f"an operator has the code {code} of {len(codes)}")
            yield Operator(
                codes[code],
                _numbers(table.vector(1, "<i4")),
                _numbers(table.vector(2, "<i4")),
                table.table(4),
                table.vector(5, "u1").tobytes(),
            )


def _operator_name(table: Table) -> str:
    # Codes from 127 on do not fit in the first field, which older writers alone fill.
    code = max(table.number(0, "b"), table.number(3, "i"))
    if not 0 <= code < len(BUILTIN_OPERATORS):
        raise Unsupported(
            f"has the operator number {code}, which the schema did not have when this was written"
        )
    name = BUILTIN_OPERATORS[code]
    return f"custom:{table.text(1)}" if name == _CUSTOM else name


def _quantization(table: Table | None, name: str, shape: tuple[int, ...]) -> Quantization | None:
    if table is None or not table.vector(2, "<f4").size:
        return None
    scale, zero_point = table.vector(2, "<f4"), table.vector(3, "<i8")
    zero_point = zero_point if zero_point.size else np.zeros(scale.size, np.int64)
    if zero_point.size == 1:
        zero_point = np.broadcast_to(zero_point, scale.shape)
    axis = table.number(6, "i")
    is_sound = bool((np.isfinite(scale) & (scale > 0)).all()) and zero_point.size == scale.size
    if not is_sound or (scale.size > 1 and not (0 <= axis < len(shape) and scale.size == shape[axis])):
        raise ValueError(f"tensor {name!r} has scales or zero points that do not fit it")
    return Quantization(scale, zero_point, axis)


def _check_references(model: TfliteModel) -> None:
    """Every tensor that is named exists, and is computed once at most."""
    count = len(model.tensors)
    read = [number for operator in model.operators for number in operator.inputs if number != ABSENT]
    made = [number for operator in model.operators for number in operator.outputs]
    for number in (*read, *made, *model.inputs, *model.outputs):
        if not 0 <= number < count:
            raise ValueError(f"it names tensor {number} of {count}")
    given = [
        *made,
        *model.inputs,
        *(number for number, item in enumerate(model.tensors) if item.data is not None),
    ]
    if len(set(given)) < len(given):
        twice = next(number for number in given if given.count(number) > 1)
        raise ValueError(f"tensor {model.tensors[twice].name!r} is defined more than once")
    if not model.outputs:
        raise ValueError("it has no output")


def _numbers(vector: np.ndarray) -> tuple[int, ...]:
    return tuple(int(number) for number in vector)
