"""Our graph of a network: import, shapes, costs, rewriting, ``to_torch``, ``verify``.

What needs onnx is imported when it is first asked for, so that ``import taut.graph`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from taut.graph.editor import Editor
from taut.graph.ir import Dimension, Graph, Node, Value

if TYPE_CHECKING:
    from taut.graph.costs import GraphCost, NodeCost, node_costs, total_costs
    from taut.graph.fold import fold_batch_norm, fold_constants
    from taut.graph.onnx_export import save_onnx, to_onnx
    from taut.graph.onnx_import import from_onnx, load_onnx
    from taut.graph.shapes import with_shapes
    from taut.graph.split import single_tensor_edges
    from taut.graph.tflite_import import load_tflite
    from taut.graph.verify import InvariantBroken

__all__ = [
    "Dimension",
    "Editor",
    "Graph",
    "GraphCost",
    "InvariantBroken",
    "Node",
    "NodeCost",
    "Value",
    "fold_batch_norm",
    "fold_constants",
    "from_onnx",
    "load_onnx",
    "load_tflite",
    "node_costs",
    "save_onnx",
    "single_tensor_edges",
    "to_onnx",
    "total_costs",
    "with_shapes",
]

_LAZY = {
    "GraphCost": "costs",
    "InvariantBroken": "verify",
    "NodeCost": "costs",
    "fold_batch_norm": "fold",
    "fold_constants": "fold",
    "from_onnx": "onnx_import",
    "load_onnx": "onnx_import",
    "load_tflite": "tflite_import",
    "node_costs": "costs",
    "save_onnx": "onnx_export",
    "single_tensor_edges": "split",
    "to_onnx": "onnx_export",
    "total_costs": "costs",
    "with_shapes": "shapes",
}
"""Name -> module; a function called like its module (``verify``, ``split``) is imported from there"""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
