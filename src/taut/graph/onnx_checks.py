"""Checks of an ONNX model's structure on import, where protobuf and onnx let damage pass."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from onnx import GraphProto, ModelProto

from taut.core.errors import BadInput
from taut.graph.ir import Graph, reads

EXPORT_AGAIN = "export it to ONNX again"


def refuse_damaged_names(model: ModelProto) -> None:
    """Raise ValueError for a name that is no text: protobuf hands it out as bytes, but takes none back."""
    functions = [GraphProto(name=item.name, node=item.node) for item in model.functions]
    for name in itertools.chain.from_iterable(_names(graph) for graph in (model.graph, *functions)):
        if isinstance(name, bytes):
            raise ValueError(f"the name {name!r} is no text")


def _names(graph: GraphProto) -> Iterator[str | bytes]:
    yield graph.name
    yield from (item.name for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for inner in (attribute.g, *attribute.graphs):
                yield from _names(inner)


def refuse_duplicates(proto: GraphProto, given: str) -> None:
    """Refuse a value that is defined more than once."""
    initialized = [tensor.name for tensor in proto.initializer]
    initialized += [sparse.values.name for sparse in proto.sparse_initializer]
    # Before IR 4 every initialiser is listed as an input too.
    inputs = [info.name for info in proto.input if info.name not in set(initialized)]
    made = [output for node in proto.node for output in node.output if output]
    outputs = Counter(info.name for info in proto.output)
    repeated = [name for name, count in Counter([*initialized, *inputs, *made]).items() if count > 1]
    repeated += [name for name, count in outputs.items() if count > 1]
    if repeated:
        raise BadInput(given, f"defines the value {repeated[0]!r} more than once", EXPORT_AGAIN)


def refuse_undefined(graph: Graph, given: str) -> None:
    """Refuse a value that is read, or listed as output, and made by nothing."""
    made = {output for node in graph for output in node.outputs}
    known = made | set(graph.constants) | {value.name for value in graph.inputs}
    for node in graph:
        missing = [name for name in reads(node) if name not in known]
        if missing:
            rule = f"node {node.name!r} reads {missing[0]!r}, which nothing makes"
            raise BadInput(given, rule, EXPORT_AGAIN)
    absent = [value.name for value in graph.outputs if value.name not in known]
    if absent:
        raise BadInput(given, f"nothing makes its output {absent[0]!r}", EXPORT_AGAIN)
