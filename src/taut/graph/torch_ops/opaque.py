"""A node that torch does not know runs whole through onnxruntime, as a model of one node.

Gradients stop there. The session is made at the first call, when the types that flow in are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from torch import Tensor

from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.onnx_export import to_onnx
from taut.graph.torch_ops.base import Run
from taut.graph.torch_ops.tensors import to_array, to_tensor


def opaque(graph: Graph, node: Node, constants: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], Run]:
    """Return what the node reads (its subgraphs' captures included, constants not), and what runs it."""
    given = tuple(name for name in reads(node) if name not in constants)
    kept = {name: constants[name] for name in reads(node) if name in constants}
    sessions: list[onnxruntime.InferenceSession] = []

    def run(*inputs: Tensor) -> Any:
        arrays = {name: to_array(tensor) for name, tensor in zip(given, inputs, strict=True)}
        if not sessions:
            sessions.append(_session(graph, node, arrays, kept))
        outputs = iter(sessions[0].run(None, arrays))
        tensors = tuple(to_tensor(next(outputs)) if name else None for name in node.outputs)
        return tensors if len(tensors) > 1 else tensors[0]

    return given, run


def _session(
    graph: Graph, node: Node, arrays: Mapping[str, np.ndarray], constants: Mapping[str, np.ndarray]
) -> onnxruntime.InferenceSession:
    inputs = tuple(Value(name, str(array.dtype), (None,) * array.ndim) for name, array in arrays.items())
    alone = Graph(
        name=node.name,
        inputs=inputs,
        outputs=(),
        nodes=(node,),
        constants=constants,
        opsets=graph.opsets,
        functions=graph.functions,
    )
    model = to_onnx(alone)
    for name in node.outputs:
        if name:
            model.graph.output.add(name=name)  # onnxruntime infers the type
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a lone node may warn about what its graph would settle
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
