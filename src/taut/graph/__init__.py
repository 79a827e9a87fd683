"""Our graph of a network: import, shapes, costs, rewriting, ``to_torch``, ``verify``."""

from taut.graph.editor import Editor
from taut.graph.ir import Dimension, Graph, Node, Value

__all__ = ["Dimension", "Editor", "Graph", "Node", "Value"]
