"""ONNX's element types under numpy's names; ml_dtypes supplies what numpy lacks (bfloat16, float8, int4)."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, TypeProto, ValueInfoProto

from taut.graph.ir import Dimension, Value

_ELEMENTS = [element for element in TensorProto.DataType.values() if element != TensorProto.UNDEFINED]
DTYPE_NAMES: dict[int, str] = {
    element: str(onnx.helper.tensor_dtype_to_np_dtype(element)) for element in _ELEMENTS
}
"""TensorProto.FLOAT -> ``float32``; strings are ``object``, as onnx holds them in numpy"""
ELEMENTS: dict[str, int] = {name: element for element, name in DTYPE_NAMES.items()}


def value_of(info: ValueInfoProto) -> Value | None:
    """Return the type of a tensor; None where it is not a tensor or its element type is not known."""
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or tensor.elem_type not in DTYPE_NAMES:
        return None
    shape = tuple(_dimension(size) for size in tensor.shape.dim) if tensor.HasField("shape") else None
    return Value(info.name, DTYPE_NAMES[tensor.elem_type], shape)


def info_of(value: Value) -> ValueInfoProto:
    """Return the ONNX form of a value's type, the inverse of ``value_of``."""
    return onnx.helper.make_tensor_value_info(value.name, ELEMENTS[value.dtype], value.shape)


def kind_of(type_proto: TypeProto) -> str:
    """Name what a type is, for a message: ``sequence``, ``map``, ``optional``, ``unknown``."""
    field = type_proto.WhichOneof("value")
    return str(field or "unknown").removesuffix("_type").replace("_", " ")


def _dimension(size: Any) -> Dimension:
    if size.HasField("dim_value"):
        # Some exporters write -1 where they mean unknown.
        return int(size.dim_value) if size.dim_value >= 0 else None
    # "?" is what others write; as a name it would say that all such sizes are equal.
    return size.dim_param if size.dim_param not in ("", "?") else None
