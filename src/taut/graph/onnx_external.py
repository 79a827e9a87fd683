"""External data of ONNX files: checked to lie inside the model's folder, then read into the model.

A model is input from strangers: a location may be absolute, climb out with "..", or be a link that leads
out; offsets and lengths may lie beyond the file. Each is refused before a byte is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from taut.core.errors import BadInput
from taut.graph.model_file import SIZE_BOUND_BYTES

_WAY_OUT = "keep the data files beside the model, or save it as one file"


def has_external_data(model: ModelProto) -> bool:
    return any(_is_external(tensor) for tensor in _tensors(model))


def embed_external_data(model: ModelProto, folder: Path | None, given: str) -> None:
    """Read every external tensor into the model, which is changed. Raises BadInput."""
    external = [tensor for tensor in _tensors(model) if _is_external(tensor)]
    if external and folder is None:
        raise BadInput(given, "has external data but came without its folder", _WAY_OUT)
    total_bytes = sum(_expected_bytes(tensor) for tensor in external)
    if total_bytes > SIZE_BOUND_BYTES:
        raise BadInput(given, f"has {total_bytes} bytes of external data", "the bound is 2 GiB")
    for tensor in external:
        assert folder is not None
        tensor.raw_data = _read(tensor, folder, given)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def _read(tensor: TensorProto, folder: Path, given: str) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _safe_path(entries.get("location", ""), folder, given)
    wanted_bytes = _expected_bytes(tensor)
    offset = _number(entries.get("offset", "0"), given)
    length = _number(entries.get("length", str(wanted_bytes)), given)
    if length != wanted_bytes:
        rule = f"says {length} bytes of external data for {tensor.name!r}, which needs {wanted_bytes}"
        raise BadInput(given, rule, "export the model again")
    if offset + length > path.stat().st_size:
        rule = f"reads {tensor.name!r} beyond the end of its external file {path.name!r}"
        raise BadInput(given, rule, "copy the data file again, it is too short")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _safe_path(location: str, folder: Path, given: str) -> Path:
    if not location or "\0" in location:
        raise BadInput(given, "has external data without a location", "export the model again")
    root = folder.resolve()
    path = (root / location).resolve()  # follows links, so that one leading out is seen
    if Path(location).is_absolute() or ".." in Path(location).parts or not path.is_relative_to(root):
        raise BadInput(given, f"points at external data outside its folder ({location!r})", _WAY_OUT)
    if not path.is_file():
        raise BadInput(given, f"needs the external data file {location!r}, which is missing", _WAY_OUT)
    return path


def _number(text: str, given: str) -> int:
    if not text.isdecimal():
        raise BadInput(given, f"has external data at {text!r}, not a number", "export the model again")
    return int(text)


def _expected_bytes(tensor: TensorProto) -> int:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    bits = _PACKED_BITS.get(tensor.data_type, dtype.itemsize * 8)
    return math.ceil(math.prod(tensor.dims) * bits / 8)


_PACKED_BITS: dict[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
}


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from _of_sparse(sparse)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from _of_sparse(sparse)
    for graph in (attribute.g, *attribute.graphs):
        yield from _of_graph(graph)


def _of_sparse(sparse: SparseTensorProto) -> Iterator[TensorProto]:
    if sparse.HasField("values"):
        yield from (sparse.values, sparse.indices)
