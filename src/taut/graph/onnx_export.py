"""Export to ONNX, without loss: importing the result gives a graph with the same digest.

Types of intermediate values are written where they are known. Nothing is optimised on the way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto

from taut.core.errors import EnvironmentFailed
from taut.graph.ir import Graph, Node
from taut.graph.onnx_types import info_of

_LEAST_IR = 10
"""Has 4-bit integers and metadata; every runtime that we drive reads it"""


def to_onnx(graph: Graph) -> ModelProto:
    """Return the ONNX model of a graph. Raises ValueError where a domain in use has no opset."""
    _refuse_missing_opsets(graph)
    boundary = {value.name for value in (*graph.inputs, *graph.outputs)}
    proto = onnx.helper.make_graph(
        [_node(node, graph.opsets) for node in graph],
        graph.name,
        [info_of(value) for value in graph.inputs],
        [info_of(value) for value in graph.outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        value_info=[info_of(value) for value in graph.values.values() if value.name not in boundary],
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    needed = onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    model = onnx.helper.make_model(
        proto,
        opset_imports=opsets,
        functions=list(graph.functions),
        ir_version=max(_LEAST_IR, needed),
        producer_name="taut",
    )
    onnx.helper.set_model_props(model, dict(graph.metadata))
    return model


def save_onnx(graph: Graph, path: Path) -> None:
    """Write the graph as one ONNX file; the path holds either nothing new or the whole file.

    Raises EnvironmentFailed where the disk does not take it.
    """
    content = to_onnx(graph).SerializeToString()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFailed(f"writing {path}", reason, "make room or choose another folder") from error


def _refuse_missing_opsets(graph: Graph) -> None:
    for node in graph:
        if node.domain not in graph.opsets:
            rule = f"node {node.name!r} is of domain {node.domain!r}, which has no opset"
            raise ValueError(f"{rule}; call Editor.require_opset")


def _node(node: Node, opsets: Mapping[str, int]) -> NodeProto:
    kinds = _declared_kinds(node, opsets)
    attributes = [_attribute(name, item, kinds.get(name)) for name, item in node.attributes.items()]
    return NodeProto(
        name=node.name,
        op_type=node.op,
        domain=node.domain,
        input=node.inputs,
        output=node.outputs,
        attribute=attributes,
    )


def _declared_kinds(node: Node, opsets: Mapping[str, int]) -> dict[str, int]:
    """Kinds that the operator's schema declares, for values that do not show theirs: [], or 1 for 1.0."""
    if not onnx.defs.has(node.op, opsets[node.domain], node.domain):
        return {}
    schema = onnx.defs.get_schema(node.op, opsets[node.domain], node.domain)
    attributes: Mapping[str, Any] = schema.attributes  # onnx's stubs leave out the enum's value
    return {name: attribute.type.value for name, attribute in attributes.items()}


def _attribute(name: str, item: Any, declared: int | None) -> AttributeProto:
    if declared == AttributeProto.FLOAT:
        item = float(item)
    if declared == AttributeProto.FLOATS:
        item = [float(entry) for entry in item]
    is_empty_list = isinstance(item, (list, tuple)) and not item
    kind = (declared or AttributeProto.INTS) if is_empty_list else None
    return onnx.helper.make_attribute(name, _storable(item), attr_type=kind)


def _storable(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return onnx.numpy_helper.from_array(item)
    if isinstance(item, (list, tuple)):
        return [_storable(entry) for entry in item]
    return item
