"""Our graph of a network: import, shapes, costs, rewriting, ``to_torch``, ``verify``.

What needs onnx is imported when it is first asked for, so that ``import taut.graph`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from taut.graph.editor import Editor
from taut.graph.ir import Dimension, Graph, Node, Value

if TYPE_CHECKING:
    from taut.graph.onnx_export import save_onnx, to_onnx
    from taut.graph.onnx_import import from_onnx, load_onnx
    from taut.graph.shapes import with_shapes

__all__ = [
    "Dimension",
    "Editor",
    "Graph",
    "Node",
    "Value",
    "from_onnx",
    "load_onnx",
    "save_onnx",
    "to_onnx",
    "with_shapes",
]

_LAZY = {
    "from_onnx": "onnx_import",
    "load_onnx": "onnx_import",
    "save_onnx": "onnx_export",
    "to_onnx": "onnx_export",
    "with_shapes": "shapes",
}
"""Name -> module; a function called like its module (``verify``, ``split``) is imported from there"""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
