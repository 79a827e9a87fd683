"""What every quantization starts from: opset raised, constants and batch norms folded, shapes known."""

from __future__ import annotations

from taut.core.move import NameMap
from taut.graph import Graph
from taut.graph.fold import fold_batch_norm, fold_constants
from taut.graph.shapes import with_shapes
from taut.moves.quantize.opset import raise_opset
from taut.moves.quantize.qdq import QDQ_OPSET


def prepare(graph: Graph) -> tuple[Graph, NameMap]:
    """Return the graph ready for a placement, and what became of its nodes."""
    folded, merged = fold_batch_norm(fold_constants(raise_opset(graph, QDQ_OPSET)))
    return with_shapes(folded), NameMap(merged)
