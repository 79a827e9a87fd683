"""Writes small TensorFlow Lite files for tests, with the builder of the flatbuffers package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np

from taut.graph.tflite_names import BUILTIN_OPERATORS, ELEMENT_TYPES

_ELEMENTS = {dtype: number for number, (_, dtype) in enumerate(ELEMENT_TYPES) if dtype}
_PREPENDERS = {"b": "Int8", "B": "Bool", "i": "Int32", "f": "Float32"}


@dataclass(frozen=True)
class FileTensor:
    """A tensor; one with data is a constant, one with scales is quantized along its axis."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    data: np.ndarray | None = None
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int = 0


@dataclass(frozen=True)
class FileOperator:
    """An operator; options are (slot, letter in struct, value), their kind the number in BuiltinOptions."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_kind: int = 0
    options: tuple[tuple[int, str, float], ...] = ()
    custom_options: bytes = b""
    version: int = 1
    """Of the operator, which the interpreter asks for and we do not"""


@dataclass(frozen=True)
class FileModel:
    """Tensors and operators by number."""

    tensors: Sequence[FileTensor]
    operators: Sequence[FileOperator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int = 3
    """Of the format"""


def constant(name: str, array: np.ndarray) -> FileTensor:
    return FileTensor(name, array.shape, str(array.dtype), array)


def write_tflite(model: FileModel) -> bytes:
    """Return the content of a file."""
    builder = flatbuffers.Builder(1024)
    # Tensors over one array share a buffer.
    contents = {id(tensor.data): tensor.data for tensor in model.tensors if tensor.data is not None}
    place = {key: number for number, key in enumerate(contents, 1)}
    # By convention buffer 0 is empty: that of every tensor that is computed.
    buffers = [_table(builder, [])]
    for array in contents.values():
        data = builder.CreateByteVector(np.ascontiguousarray(array).tobytes())
        buffers.append(_table(builder, [(0, "offset", data)]))
    codes = [_operator_code(builder, operator) for operator in model.operators]
    fields = [
        (0, "vector", _tables(builder, [_tensor(builder, tensor, place) for tensor in model.tensors])),
        (1, "vector", builder.CreateNumpyVector(np.array(model.inputs, np.int32))),
        (2, "vector", builder.CreateNumpyVector(np.array(model.outputs, np.int32))),
        (3, "vector", _tables(builder, [_operator(builder, *item) for item in enumerate(model.operators)])),
    ]
    subgraphs = _tables(builder, [_table(builder, fields)])
    code_vector, buffer_vector = _tables(builder, codes), _tables(builder, buffers)
    root = [(1, "vector", code_vector), (2, "vector", subgraphs), (4, "vector", buffer_vector)]
    builder.Finish(_table(builder, [(0, "version", model.version), *root]), b"TFL3")
    return bytes(builder.Output())


def _tensor(builder: flatbuffers.Builder, tensor: FileTensor, place: dict[int, int]) -> int:
    name = builder.CreateString(tensor.name)
    shape = builder.CreateNumpyVector(np.array(tensor.shape, np.int32))
    fields: list[tuple[int, str, float]] = [
        (0, "vector", shape),
        (1, "b", _ELEMENTS[tensor.dtype]),
        (2, "buffer", place.get(id(tensor.data), 0)),
        (3, "vector", name),
    ]
    if tensor.scale:
        scale = builder.CreateNumpyVector(np.array(tensor.scale, np.float32))
        zero_point = builder.CreateNumpyVector(np.array(tensor.zero_point, np.int64))
        parameters = [(2, "vector", scale), (3, "vector", zero_point), (6, "i", tensor.axis)]
        fields.append((4, "vector", _table(builder, parameters)))
    return _table(builder, fields)


def _operator(builder: flatbuffers.Builder, number: int, operator: FileOperator) -> int:
    inputs = builder.CreateNumpyVector(np.array(operator.inputs, np.int32))
    outputs = builder.CreateNumpyVector(np.array(operator.outputs, np.int32))
    fields: list[tuple[int, str, float]] = [
        (0, "buffer", number),
        (1, "vector", inputs),
        (2, "vector", outputs),
    ]
    if operator.options_kind:
        options = _table(builder, operator.options)
        fields += [(3, "kind", operator.options_kind), (4, "vector", options)]
    if operator.custom_options:
        fields.append((5, "vector", builder.CreateByteVector(operator.custom_options)))
    return _table(builder, fields)


def _operator_code(builder: flatbuffers.Builder, operator: FileOperator) -> int:
    is_builtin = operator.kind in BUILTIN_OPERATORS
    code = BUILTIN_OPERATORS.index(operator.kind if is_builtin else "CUSTOM")
    fields: list[tuple[int, str, float]] = [
        (0, "b", min(code, 127)),
        (2, "i", operator.version),
        (3, "i", code),
    ]
    if not is_builtin:
        fields.append((1, "vector", builder.CreateString(operator.kind)))
    return _table(builder, fields)


def _table(builder: flatbuffers.Builder, fields: Sequence[tuple[int, str, float]]) -> int:
    builder.StartObject(max((slot for slot, _, _ in fields), default=0) + 1)
    for slot, kind, value in fields:
        if kind in ("vector", "offset"):
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            _prepend(builder, kind)(slot, value, None)
    return int(builder.EndObject())


def _prepend(builder: flatbuffers.Builder, kind: str) -> Callable[[int, float, None], None]:
    """The builder's method for a kind of scalar; None as default writes the field always."""
    name = {"buffer": "Uint32", "version": "Uint32", "kind": "Uint8", **_PREPENDERS}[kind]
    method: Callable[[int, float, None], None] = getattr(builder, f"Prepend{name}Slot")
    return method


def _tables(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
