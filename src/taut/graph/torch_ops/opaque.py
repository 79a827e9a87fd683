"""A node that torch does not know runs whole through onnxruntime, as a model of one node.

Gradients stop there. Sessions are made as calls come, one for each set of types and shapes that flow in.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime
from torch import Tensor

from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.single_node import one_node_model
from taut.graph.torch_ops.base import Run
from taut.graph.torch_ops.tensors import to_array, to_tensor

_KEPT_SESSIONS = 8
"""Shapes that depend on data would otherwise fill the memory"""


def opaque(graph: Graph, node: Node, known: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], Run]:
    """Return what the node reads (its subgraphs' captures included, known values not), and what runs it."""
    given = tuple(name for name in reads(node) if name not in known)

    @lru_cache(maxsize=_KEPT_SESSIONS)
    def session(*types: Value) -> onnxruntime.InferenceSession:
        return _session(graph, node, {value.name: value for value in types}, known)

    def run(*inputs: Tensor) -> Any:
        arrays = {name: to_array(tensor) for name, tensor in zip(given, inputs, strict=True)}
        types = [Value(name, str(array.dtype), array.shape) for name, array in arrays.items()]
        outputs = iter(session(*types).run(None, arrays))
        return tuple(to_tensor(next(outputs)) if name else None for name in node.outputs)

    return given, run


def _session(
    graph: Graph, node: Node, types: Mapping[str, Value], known: Mapping[str, np.ndarray]
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a lone node may warn about what its graph would settle
    options.intra_op_num_threads = 1  # a pool per node would spin against torch's own
    content = one_node_model(graph, node, types, known).SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
