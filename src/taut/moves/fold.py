"""Folding as a move: nodes of constants, batch norms, and constant factors and summands behind a layer.

It changes no result but for rounding. Runtimes fold batch norms by themselves; constant steps they mostly do
not, and each is a pass over an activation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved, NameMap
from taut.core.network import Network
from taut.graph.fold import fold_constants
from taut.graph.fold_affine import fold_affine
from taut.graph.shapes import with_shapes


@dataclass(frozen=True)
class Fold:
    """Fold whatever can be folded."""

    kind = "fold"
    form = Form.GRAPH

    def apply(self, network: Network, context: Context) -> Moved:  # noqa: ARG002
        """Return a copy with the folded graph, and which layer each folded node went into."""
        graph, names = fold_affine(with_shapes(fold_constants(network.graph)))
        return Moved(network.with_graph(graph), NameMap(names))


class FoldKind:
    """Offers folding where it removes a node."""

    name = "fold"
    form = Form.GRAPH

    def offers(self, network: Network, context: Context) -> Sequence[Fold]:
        folded = Fold().apply(network, context).network.graph
        return [Fold()] if len(folded.nodes) < len(network.graph.nodes) else []

    def from_json(self, settings: Mapping[str, Any]) -> Fold:
        if settings:
            raise BadInput(f"settings {dict(settings)}", "folding has none", "give {}")
        return Fold()


KIND = FoldKind()
