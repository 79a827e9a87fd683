"""One node as a model of its own: to infer the types of its outputs, or to compute them.

What is known of its inputs goes in as constants, the rest as typed inputs; what its subgraphs capture
counts as input. Computing is left to onnxruntime, so an operator that it lacks is not computed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto

from taut.graph.ir import Dimension, Graph, Node, Value, reads
from taut.graph.onnx_export import to_onnx
from taut.graph.onnx_types import value_of

_RANDOM_OPS = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    "Dropout",  # while training
}


def is_computable(node: Node, known: Mapping[str, np.ndarray]) -> bool:
    """Whether a node gives the same contents each time and everything it reads is known."""
    is_repeatable = node.domain == "" and node.op not in _RANDOM_OPS
    return is_repeatable and all(name in known for name in reads(node))


def infer_outputs(
    graph: Graph, node: Node, types: Mapping[str, Value], known: Mapping[str, np.ndarray]
) -> dict[str, Value]:
    """Return the types of a node's outputs as far as onnx infers them from types and known contents."""
    branch = _taken_branch(node, known)
    model = one_node_model(graph, node, types, known)
    if branch is not None:
        model.graph.CopyFrom(_opened(branch, model.graph))
    try:
        found = onnx.shape_inference.infer_shapes(model).graph.output
    except (ValueError, onnx.shape_inference.InferenceError):
        return {}  # onnx passes over most of what it cannot infer, but not over all
    values = [value_of(info) for info in found]
    names = [name for name in node.outputs if name]
    return {
        name: Value(name, value.dtype, _without_names(value.shape))
        for name, value in zip(names, values, strict=True)
        if value is not None
    }


def why_not_inferred(
    graph: Graph, node: Node, types: Mapping[str, Value], known: Mapping[str, np.ndarray]
) -> str | None:
    """Return why onnx can infer no types, which ``infer_outputs`` passes over; None where it can."""
    model = one_node_model(graph, node, types, known)
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        return " ".join(str(error).split())
    return None


def compute(graph: Graph, node: Node, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Return the contents of a node's outputs; None where onnxruntime cannot run the node alone."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print it also raises
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = one_node_model(graph, node, {}, known).SerializeToString()
    refusals = (state.Fail, state.InvalidGraph, state.InvalidArgument, state.NotImplemented)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {})
    except (*refusals, state.RuntimeException, RuntimeError):  # the last: numpy lacks the type
        return None
    if not all(isinstance(output, np.ndarray) for output in outputs):
        return None  # sequences and maps
    names = [name for name in node.outputs if name]
    return dict(zip(names, outputs, strict=True))


def one_node_model(
    graph: Graph, node: Node, types: Mapping[str, Value], known: Mapping[str, np.ndarray]
) -> ModelProto:
    """Return a model of the node: what is known as constants, the rest as inputs, outputs without types."""
    names = reads(node)
    is_plain = onnx.defs.has(node.op, node.domain) and names == tuple(
        dict.fromkeys(filter(None, node.inputs))
    )
    alone = Graph(
        name=node.name,
        inputs=tuple(types[name] for name in names if name in types and name not in known),
        outputs=(),
        nodes=(node,),
        constants={name: known[name] for name in names if name in known},
        opsets=graph.opsets,
        functions=() if is_plain else graph.functions,
    )
    model = to_onnx(alone)
    model.graph.output.extend(ValueInfoProto(name=name) for name in node.outputs if name)
    return model


def _without_names(shape: tuple[Dimension, ...] | None) -> tuple[Dimension, ...] | None:
    """Sizes that onnx names itself (``unk__0``) as unknown: its names hold within one node only."""
    return shape and tuple(size if isinstance(size, int) else None for size in shape)


def _taken_branch(node: Node, known: Mapping[str, np.ndarray]) -> GraphProto | None:
    """The branch that an If takes, where its condition is known: onnx's inference would merge both."""
    if node.op != "If" or node.inputs[0] not in known:
        return None
    return node.attributes["then_branch" if known[node.inputs[0]].item() else "else_branch"]


def _opened(branch: GraphProto, surroundings: GraphProto) -> GraphProto:
    """A branch with what it captures as inputs and constants of its own."""
    opened = GraphProto()
    opened.CopyFrom(branch)
    opened.input.extend(surroundings.input)
    opened.initializer.extend(surroundings.initializer)
    return opened
