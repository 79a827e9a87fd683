"""Import from ONNX: files from strangers are checked first, then nodes, names and operators are kept.

Constant nodes and initialisers become the graph's constants; sparse ones are made dense. Unknown operators,
model-local functions and subgraphs are carried along whole. Inputs and outputs must be tensors.
"""

from __future__ import annotations

import itertools
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
)

from taut.core.errors import BadInput
from taut.graph.ir import Graph, Node, Value
from taut.graph.model_file import SIZE_BOUND_BYTES, read_model_file
from taut.graph.onnx_checks import (
    EXPORT_AGAIN,
    refuse_damaged_names,
    refuse_duplicates,
    refuse_undefined,
)
from taut.graph.onnx_external import embed_external_data, has_external_data
from taut.graph.onnx_types import DTYPE_NAMES, kind_of, value_of
from taut.graph.order import sort_nodes

_FIRST_IR_WITH_OPSETS = 3


def load_onnx(path: Path) -> Graph:
    """Read an ONNX file and the external data beside it. Raises BadInput for anything but a sound model."""
    content = read_model_file(path, ".onnx", EXPORT_AGAIN)
    _refuse_other_formats(path, content)
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        # Every exporter writes the IR version first: field 1, a varint, is the byte 8.
        rule = "is truncated or damaged" if content[0] == 8 else "is not an ONNX file"
        raise BadInput(str(path), rule, "give an .onnx file as its exporter wrote it") from error
    return _to_graph(model, path.parent, str(path), path.stem)


def from_onnx(model: ModelProto, folder: Path | None = None) -> Graph:
    """Return our graph of a model, which is not changed; external data is read from the folder."""
    return _to_graph(model, folder, f"ONNX model {model.graph.name!r}", "graph")


def _refuse_other_formats(path: Path, content: bytes) -> None:
    is_pickle = content[0] == 0x80 and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    is_zip = content.startswith(b"PK\x03\x04")
    if is_pickle or (is_zip and any(name.endswith(".pkl") for name in _names_in_zip(path))):
        way_out = "export it to ONNX or save as .pt2/safetensors"
        raise BadInput(str(path), "pickled checkpoint refused", way_out)
    if is_zip:
        raise BadInput(str(path), "is a zip archive, not an ONNX file", "unpack it, or name it .pt2")


def _names_in_zip(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []


def _to_graph(model: ModelProto, folder: Path | None, given: str, fallback_name: str) -> Graph:
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise BadInput(given, "has no graph, so it is not an ONNX model or was cut off", EXPORT_AGAIN)
    if not model.opset_import and model.ir_version >= _FIRST_IR_WITH_OPSETS:
        raise BadInput(given, "names no opset, so it was cut off or is damaged", EXPORT_AGAIN)
    try:
        model = _self_contained(model, folder, given)
        refuse_damaged_names(model)
        refuse_duplicates(model.graph, given)
        graph = _convert(model, given, fallback_name)
        graph = replace(graph, nodes=tuple(sort_nodes(graph.nodes)))
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
        raise BadInput(given, f"is not valid ONNX ({error})", EXPORT_AGAIN) from error
    refuse_undefined(graph, given)
    return graph


def _self_contained(model: ModelProto, folder: Path | None, given: str) -> ModelProto:
    """The model with external data read in and overloaded functions, which a Node cannot name, inlined."""
    if has_external_data(model):
        copy = ModelProto()
        copy.CopyFrom(model)
        embed_external_data(copy, folder, given)
        model = copy
    if any(function.overload for function in model.functions):
        model = onnx.inliner.inline_local_functions(model)
    return model


def _convert(model: ModelProto, given: str, fallback_name: str) -> Graph:
    proto = model.graph
    constants = dict(_constants(proto))
    names = _node_names(proto.node)
    nodes = [
        _node(node, name) for node, name in zip(proto.node, names, strict=True) if not _is_constant(node)
    ]
    opsets = {_domain(item.domain): item.version for item in model.opset_import} or {"": 1}
    types = _with_types(model).graph
    inputs = [_tensor(info, "input", given) for info in types.input if info.name not in constants]
    made = {output for node in nodes for output in node.outputs}
    known = [value_of(info) for info in proto.value_info if info.name in made]
    return Graph(
        name=proto.name or fallback_name,
        inputs=tuple(inputs),
        outputs=tuple(_tensor(info, "output", given) for info in types.output),
        nodes=tuple(nodes),
        constants=constants,
        values={value.name: value for value in known if value is not None},
        opsets={**{node.domain: 1 for node in nodes}, **opsets},
        functions=tuple(model.functions),
        metadata={item.key: item.value for item in model.metadata_props},
    )


def _with_types(model: ModelProto) -> ModelProto:
    """The model with types of its outputs, inferred where the file leaves them out."""
    if all(info.type.WhichOneof("value") for info in model.graph.output):
        return model
    return onnx.shape_inference.infer_shapes(model)


def _tensor(info: ValueInfoProto, role: str, given: str) -> Value:
    value = value_of(info)
    if value is None:
        rule = (
            f"{role} {info.name!r} has the type {kind_of(info.type)}, but only tensors with a type are taken"
        )
        raise BadInput(given, rule, "export it with tensors at its boundary")
    return value


def _constants(proto: GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in proto.initializer:
        yield tensor.name, _array(tensor)
    for sparse in proto.sparse_initializer:
        yield sparse.values.name, _dense(sparse)
    for node in proto.node:
        if _is_constant(node):
            yield node.output[0], _constant_of(node)


def _is_constant(node: NodeProto) -> bool:
    return node.op_type == "Constant" and _domain(node.domain) == ""


def _constant_of(node: NodeProto) -> np.ndarray:
    (attribute,) = node.attribute
    item = onnx.helper.get_attribute_value(attribute)
    if isinstance(item, SparseTensorProto):
        return _dense(item)
    if isinstance(item, TensorProto):
        return _array(item)
    plain = _plain(item)
    return np.array(plain, _CONSTANT_DTYPES[attribute.name])


_CONSTANT_DTYPES: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": object,
    "value_strings": object,
}


def _array(tensor: TensorProto) -> np.ndarray:
    if tensor.data_type not in DTYPE_NAMES:
        raise ValueError(f"tensor {tensor.name!r} has the unknown element type {tensor.data_type}")
    # A copy, because arrays over protobuf's bytes are read-only, which torch warns about.
    return np.array(onnx.numpy_helper.to_array(tensor))


def _dense(sparse: SparseTensorProto) -> np.ndarray:
    """The dense array; indices are (count,) into the flattened tensor or (count, rank)."""
    values, indices = _array(sparse.values), _array(sparse.indices)
    if math.prod(sparse.dims) * values.itemsize > SIZE_BOUND_BYTES:
        raise ValueError(f"sparse tensor {sparse.values.name!r} needs more than 2 GiB when dense")
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def _node(node: NodeProto, name: str) -> Node:
    attributes = {item.name: _attribute(item) for item in node.attribute}
    return Node(name, node.op_type, tuple(node.input), tuple(node.output), attributes, _domain(node.domain))


def _attribute(attribute: AttributeProto) -> Any:
    if attribute.type == AttributeProto.UNDEFINED:
        raise ValueError(f"attribute {attribute.name!r} has no type")
    return _plain(onnx.helper.get_attribute_value(attribute))


def _plain(item: Any) -> Any:
    """An attribute's value: tensors become arrays, text becomes str, graphs stay as they are."""
    if isinstance(item, TensorProto):
        return _array(item)
    if isinstance(item, bytes):
        return _text(item)
    if isinstance(item, (int, float)) or hasattr(item, "SerializeToString"):
        return item
    return [_plain(entry) for entry in item]


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _node_names(nodes: Sequence[NodeProto]) -> list[str]:
    """Keep given names; number a repeated one, and call an unnamed node after its operator and place."""
    taken = {node.name for node in nodes}
    seen: set[str] = set()
    names = []
    for place, node in enumerate(nodes):
        name = node.name
        if not name or name in seen:
            name = _fresh(name or f"{node.op_type}_{place}", taken)
        seen.add(name)
        taken.add(name)
        names.append(name)
    return names


def _fresh(stem: str, taken: set[str]) -> str:
    candidates = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(1)))
    return next(name for name in candidates if name not in taken)
