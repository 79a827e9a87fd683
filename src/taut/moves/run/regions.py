"""Precision by region: one part of the graph in float32, the other in bfloat16, chained at a single tensor.

OpenVINO has one float precision per model, and a few sensitive nodes at either end may spoil the quality of a
whole network in bfloat16. The offers cut once; where to cut best is for a search to find, and it may bisect,
because float32 only grows along the offers of one direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taut.core.move import Context, Form
from taut.core.network import Network, Stage
from taut.devices.features import has_bfloat16
from taut.graph.costs import node_costs
from taut.graph.ir import Graph
from taut.graph.split import single_tensor_edges
from taut.moves.run.set_run import SetRun

LEAST_SHARE = 0.02
"""Of the cost between two cuts that are both offered: less cannot be told apart by timing"""
_BYTE_IN_MACS = 2.0
# Processors of today move a byte in the time of about two float32 multiplications of a convolution.

_DIRECTIONS = (
    (("openvino", "float32"), ("openvino", "bfloat16")),
    (("openvino", "bfloat16"), ("openvino", "float32")),
    (("onnxruntime", "float32"), ("openvino", "bfloat16")),
    (("openvino", "bfloat16"), ("onnxruntime", "float32")),
)


@dataclass(frozen=True)
class RegionsKind:
    """Offers two stages with a cut between them, direction by direction, in the order of the graph."""

    name = "regions"
    form = Form.RUN

    def offers(self, network: Network, context: Context) -> Sequence[SetRun]:
        """Return the cuts in every direction; none without bfloat16 units or without OpenVINO."""
        if not has_bfloat16(context.device) or "openvino" not in context.device.runtimes:
            return []
        cuts = cut_positions(network.graph)
        return [
            SetRun.of([Stage(*first, until=(cut,)), Stage(*second)])
            for first, second in _DIRECTIONS
            for cut in cuts
        ]

    def from_json(self, settings: Mapping[str, Any]) -> SetRun:
        return SetRun.from_json(settings)


def cut_positions(graph: Graph) -> list[str]:
    """Return float values where a cut crosses one tensor, in order, at least 2% of the cost apart."""
    shares = _shares_before(graph)
    chosen, last = [], 0.0
    for value in single_tensor_edges(graph):
        known = graph.value(value)
        is_float = known is not None and known.dtype == "float32"
        share = shares.get(value, 0.0)
        if is_float and last + LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            chosen.append(value)
            last = share
    return chosen


def _shares_before(graph: Graph) -> dict[str, float]:
    """Value -> share of the graph's cost spent when it is made, in the graph's order."""
    costs = {
        cost.node: cost.macs + _BYTE_IN_MACS * (cost.input_bytes + cost.output_bytes)
        for cost in node_costs(graph)
    }
    total = sum(costs.values()) or 1.0
    shares, spent = {}, 0.0
    for node in graph:
        spent += costs.get(node.name, 0.0)
        shares.update(dict.fromkeys(node.outputs, spent / total))
    return shares


KIND = RegionsKind()
