"""Measured tables that predict the time of a placement of int8 before it is realised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tables:
    """What the integer program needs, by node name of the original, for one runtime and precision."""

    float_ms: Mapping[str, float]
    int8_ms: Mapping[str, float]
    loss: Mapping[str, float]
    edges: Mapping[tuple[str, str], float]
    """Boundary cost in ms of an edge between two nodes that can be lowered"""
    outer: Mapping[str, float]
    """Boundary cost in ms of a node's edges to nodes that stay float"""

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self.loss)

    def predict_ms(self, lowered: Sequence[str]) -> float:
        """Sum over nodes and boundaries of a placement."""
        low = set(lowered)
        total = sum(self.float_ms.values())
        total += sum(self.int8_ms.get(node, 0.0) - self.float_ms.get(node, 0.0) for node in low)
        total += sum(cost for (a, b), cost in self.edges.items() if (a in low) != (b in low))
        return total + sum(cost for node, cost in self.outer.items() if node in low)
