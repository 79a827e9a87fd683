"""What every quantization starts from: opset raised, whatever can be folded folded, shapes known."""

from __future__ import annotations

from taut.core.move import NameMap
from taut.graph import Graph
from taut.graph.fold import fold_constants
from taut.graph.fold_affine import fold_affine
from taut.graph.shapes import with_shapes
from taut.moves.quantize.hard_swish import with_hard_sigmoids
from taut.moves.quantize.opset import raise_opset
from taut.moves.quantize.qdq import QDQ_OPSET
from taut.moves.quantize.targets import target_named


def prepare(graph: Graph, target: str) -> tuple[Graph, NameMap]:
    """Return the graph ready for a placement on a target, and what became of its nodes."""
    typed, names = prepare_unfolded(graph, target)
    folded, merged = fold_affine(typed)
    return with_shapes(folded), names.then(NameMap(merged))


def prepare_unfolded(graph: Graph, target: str) -> tuple[Graph, NameMap]:
    """Return the same with its batch norms, for training."""
    typed = with_shapes(fold_constants(raise_opset(graph, QDQ_OPSET)))
    if target_named(target).has_hard_swish:
        return typed, NameMap()
    gated, names = with_hard_sigmoids(typed)
    return gated, NameMap(names)
