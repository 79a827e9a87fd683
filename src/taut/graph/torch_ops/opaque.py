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
from taut.graph.single_node import one_node_model
from taut.graph.torch_ops.base import Run
from taut.graph.torch_ops.tensors import to_array, to_tensor


def opaque(graph: Graph, node: Node, known: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], Run]:
    """Return what the node reads (its subgraphs' captures included, known values not), and what runs it."""
    given = tuple(name for name in reads(node) if name not in known)
    sessions: list[onnxruntime.InferenceSession] = []

    def run(*inputs: Tensor) -> Any:
        arrays = {name: to_array(tensor) for name, tensor in zip(given, inputs, strict=True)}
        if not sessions:
            sessions.append(_session(graph, node, arrays, known))
        outputs = iter(sessions[0].run(None, arrays))
        return tuple(to_tensor(next(outputs)) if name else None for name in node.outputs)

    return given, run


def _session(
    graph: Graph, node: Node, arrays: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]
) -> onnxruntime.InferenceSession:
    types = {name: Value(name, str(array.dtype), (None,) * array.ndim) for name, array in arrays.items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a lone node may warn about what its graph would settle
    options.intra_op_num_threads = 1  # a pool per node would spin against torch's own
    content = one_node_model(graph, node, types, known).SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
