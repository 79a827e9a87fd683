"""Static int8: weights and activations of chosen nodes as 8-bit integers, ranges calibrated on real data.

Jacob et al. (arXiv 1712.05877) as post-training quantization, written as QDQ. Which nodes stay float is the
move's main setting: int8 everywhere makes many real networks slower, so a search chooses. Batch norms are
folded first, since a kernel that is followed by one cannot end in integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved, NameMap
from taut.core.network import Network
from taut.graph import Graph
from taut.moves.quantize.calibrate import activation_histograms
from taut.moves.quantize.placement import (
    Placement,
    compute_nodes,
    place,
    with_joints,
)
from taut.moves.quantize.prepare import prepare
from taut.moves.quantize.qdq import AFFINE, WeightQuantizer, write_qdq
from taut.moves.quantize.ranges import Histogram, LeastSquares, MinMax, Percentile, RangeRule
from taut.moves.quantize.schemes import QuantizationParameters, Scheme
from taut.moves.quantize.targets import TARGETS, target_named

RANGES: Mapping[str, RangeRule] = {
    "minmax": MinMax(),
    "percentile": Percentile(99.99),
    "mse": LeastSquares(),
}


@dataclass(frozen=True)
class StaticInt8:
    """Run nodes on integers.

    StaticInt8()                                          the whole network, for onnxruntime
    StaticInt8(("conv1", "conv2"), "openvino", "mse")     these two alone
    """

    nodes: tuple[str, ...] | None = None
    """By their names in the original; None: all that multiply matrices, and the joints between them"""
    target: str = "onnxruntime"
    """The runtime whose kernels decide what can be quantized and where"""
    ranges: str = "minmax"
    """Of activations; weights keep their extremes"""
    is_symmetric: bool = False
    """Activations without a zero point, which OpenVINO's kernels like; never for onnxruntime"""
    weight_bits: int = 8
    """Fewer are a finer model of the loss only: they are stored one to a byte"""
    is_per_channel: bool = True
    calibration_samples: int = 128
    kind = "int8"
    form = Form.GRAPH

    def __post_init__(self) -> None:
        target_named(self.target)
        if self.ranges not in RANGES:
            raise BadInput(f"ranges {self.ranges!r}", "are not known", f"one of: {', '.join(RANGES)}")

    def apply(self, network: Network, context: Context) -> Moved:
        """Return a copy with int8 kernels. Raises BadInput for random inputs and for unfit nodes."""
        graph, names = prepare(network.graph, self.target)
        placement = place(graph, self._chosen(graph, names), self.target)
        histograms = activation_histograms(graph, context, self.calibration_samples, network.feedback)
        weights = WeightQuantizer(Scheme(self.weight_bits, is_narrow=True), self.is_per_channel)
        quantized = write_qdq(graph, placement, self.activation_parameters(placement, histograms), weights)
        return Moved(network.with_graph(quantized), names)

    def activation_parameters(
        self, placement: Placement, histograms: Mapping[str, Histogram]
    ) -> dict[str, QuantizationParameters]:
        """Return the parameters of each group: its members' ranges together."""
        representatives = dict.fromkeys(placement.groups.values())
        return {
            group: self._parameters(
                [histograms[name] for name in placement.members(group) if name in histograms]
            )
            for group in representatives
        }

    def _parameters(self, members: Sequence[Histogram]) -> QuantizationParameters:
        is_positive = all(member.minimum >= 0 for member in members)
        scheme = Scheme(8) if self.is_symmetric and not is_positive else AFFINE
        ranges = [RANGES[self.ranges].choose(member.distribution(), scheme) for member in members]
        low, high = min(float(low[0]) for low, _ in ranges), max(float(high[0]) for _, high in ranges)
        return scheme.parameters(np.array(low), np.array(high))

    def _chosen(self, graph: Graph, names: NameMap) -> tuple[str, ...]:
        if self.nodes is None:
            return with_joints(graph, compute_nodes(graph, self.target), self.target)
        return tuple(dict.fromkeys(new for name in self.nodes for new in names.new_names(name)))


class Int8Kind:
    """Offers the whole network in int8 for every runtime here that has integer kernels."""

    name = "int8"
    form = Form.GRAPH

    def offers(self, network: Network, context: Context) -> Sequence[StaticInt8]:
        """Return whole-network moves; empty for random inputs, which cannot calibrate."""
        if context.task.is_random:
            return []
        targets = [name for name in TARGETS if name in context.device.runtimes]
        return [move for target in targets if _can_help(network, target) for move in _offers(target)]

    def nodes(self, graph: Graph, move: StaticInt8) -> tuple[str, ...]:
        """Return the nodes of a graph that the move's runtime can run on integers, by their names there."""
        prepared, names = prepare(graph, move.target)
        able = set(with_joints(prepared, compute_nodes(prepared, move.target), move.target))
        return tuple(node.name for node in graph.nodes if able & set(names.new_names(node.name)))

    def from_json(self, settings: Mapping[str, Any]) -> StaticInt8:
        nodes = settings.get("nodes")
        return StaticInt8(**{**settings, "nodes": None if nodes is None else tuple(nodes)})


def _can_help(network: Network, target: str) -> bool:
    return bool(compute_nodes(prepare(network.graph, target)[0], target))


def _offers(target: str) -> list[StaticInt8]:
    moves = [StaticInt8(target=target, ranges=ranges) for ranges in ("minmax", "mse")]
    if target == "openvino":
        moves.append(StaticInt8(target=target, is_symmetric=True))
    return moves


KIND = Int8Kind()
