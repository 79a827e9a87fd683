"""What every quantization starts from: opset raised, whatever can be folded folded, shapes known."""

from __future__ import annotations

from taut.core.move import NameMap
from taut.graph import Graph
from taut.graph.fold import fold_constants
from taut.graph.fold_affine import fold_affine
from taut.graph.shapes import with_shapes
from taut.moves.quantize.opset import raise_opset
from taut.moves.quantize.qdq import QDQ_OPSET


def prepare(graph: Graph) -> tuple[Graph, NameMap]:
    """Return the graph ready for a placement, and what became of its nodes."""
    typed = with_shapes(fold_constants(raise_opset(graph, QDQ_OPSET)))
    folded, merged = fold_affine(typed)
    return with_shapes(folded), NameMap(merged)
