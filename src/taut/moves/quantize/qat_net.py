"""A network that trains as it will run on integers (section 3 of arXiv 1712.05877).

Weights are quantized before each kernel and activations behind it, in the very places where the QDQ graph
has its pairs, since both follow one placement. A batch norm behind a convolution is folded at every step, by
its moving statistics, so that what is quantized in training is what is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from taut.graph import Graph, Node
from taut.graph.fold_affine import fold_affine
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import to_torch
from taut.graph.torch_ops.base import Run
from taut.moves.quantize.fake import RangeTracker, fake_quantize
from taut.moves.quantize.operators import Operands, bias_of_step, bias_step, operands
from taut.moves.quantize.placement import Placement, place, quantizable_nodes
from taut.moves.quantize.prepare import prepare_unfolded
from taut.moves.quantize.qdq import AFFINE, WeightQuantizer, with_room_for_bias, write_qdq
from taut.moves.quantize.schemes import Scheme

_Quantizer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class QatSettings:
    """What is simulated, and when it begins."""

    nodes: tuple[str, ...] | None = None
    """None: all that can be quantized"""
    target: str = "integer"
    weight_bits: int = 8
    is_per_channel: bool = True
    activations_from_step: int = 0
    """Before it activations stay float while their ranges settle"""
    statistics_until_step: int = 0
    """From it on batch norms keep their statistics; moving them costs every convolution twice"""
    momentum: float = 0.01
    """Share of a batch in the moving averages of ranges and statistics"""

    @property
    def weights(self) -> WeightQuantizer:
        return WeightQuantizer(Scheme(self.weight_bits, is_narrow=True), self.is_per_channel)


class QatNet(nn.Module):
    """Takes and returns float32 tensors as ``to_torch`` does; autocast would blur the grids.

    net = QatNet(graph, QatSettings(activations_from_step=100))
    train(net, ...)
    qdq = net.to_qdq()          the integer engine gives what net gives in evaluation mode
    """

    steps: Tensor

    def __init__(self, graph: Graph, settings: QatSettings) -> None:
        super().__init__()
        self.settings = settings
        unfolded, folded, self._norms = _prepared(graph, settings.target)
        self._unfolded = unfolded
        self.placement = _placement(folded, settings)
        self.net = to_torch(unfolded)
        for weight in self.net.weights.values():
            if weight.dim() == 4:  # the layout in which the training loop feeds images; half the time
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.trackers = nn.ModuleList()
        self._by_group: dict[str, RangeTracker] = {}
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for node in (node for node in folded if node.name in self.placement.nodes):
            found = operands(folded, node)
            if found is not None:
                self._quantize_inputs(unfolded.by_name[node.name], found)
            elif node.inputs[0] not in self.placement.written:  # else a carrier gets codes to pass on
                self.net.wrap(node.name, _with_quantized({0: self._tracker(node.inputs[0])}))
        for value in self._tracked_results(folded):
            maker = unfolded.producer(value)
            assert maker is not None
            self.net.wrap(maker.name, _followed_by(self._tracker(value)))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self.training:
            if int(self.steps) == self.settings.activations_from_step:
                self.switch_on()
            self.steps.add_(1)
        outputs: tuple[Tensor, ...] = self.net(*inputs)
        return outputs

    def switch_on(self) -> None:
        """Quantize activations from now on."""
        for tracker in self._by_group.values():
            tracker.switch_on()

    @property
    def moves_statistics(self) -> bool:
        return self.training and int(self.steps) <= self.settings.statistics_until_step

    def to_qdq(self) -> Graph:
        """Return the graph with the weights and ranges as they are now, batch norms folded."""
        folded, _ = fold_affine(self.net.to_graph())
        activations = {group: tracker.parameters_now() for group, tracker in self._by_group.items()}
        return write_qdq(folded, self.placement, activations, self.settings.weights)

    def _tracker(self, value: str) -> RangeTracker:
        group = self.placement.groups[value]
        if group not in self._by_group:
            tracker = RangeTracker(AFFINE, self.settings.momentum)
            self.trackers.append(tracker)
            self._by_group[group] = tracker
        return self._by_group[group]

    def _tracked_results(self, folded: Graph) -> list[str]:
        """Values to quantize where they are made; carriers and concatenations pass quantized ones on."""
        makers = {value: folded.producer(value) for value in self.placement.groups}
        return [
            value
            for value, maker in makers.items()
            if value in self.placement.written and maker is not None and not self._passes_on(folded, maker)
        ]

    def _passes_on(self, folded: Graph, maker: Node) -> bool:
        found = operands(folded, maker)
        is_carrier = maker.name in self.placement.nodes and found is None
        return is_carrier or (found is not None and found.shares_scale)

    def _quantize_inputs(self, node: Node, found: Operands) -> None:
        quantizers: dict[int, _Quantizer] = dict.fromkeys(found.constants, _quantize_constant)
        for position in found.activations:
            if node.inputs[position] not in self.placement.written:
                quantizers[position] = self._tracker(node.inputs[position])
        if found.weight is None:
            self.net.wrap(node.name, _with_quantized(quantizers))
            return
        layer = _Layer(self, self._tracker(node.inputs[0]), found.weight_axis, quantizers.get(0))
        norm, step = self._norms.get(node.name), bias_step(self._unfolded, node)
        if norm is not None:
            folded = _FoldedLayer(layer, node, norm)
            self.net.wrap(node.name, folded.take_over)
            self.net.wrap(norm.name, folded.compute_instead)
        else:
            self.net.wrap(node.name, layer.around)
        if step is not None:
            position = step.inputs.index(bias_of_step(self._unfolded, step))
            self.net.wrap(step.name, _with_quantized({position: layer.round_bias}))


class _Layer:
    """A convolution or matrix product whose weight, bias and input are on their grids."""

    def __init__(
        self, net: QatNet, tracker: RangeTracker, axis: int | None, quantize_input: _Quantizer | None
    ) -> None:
        self.net = net
        self._tracker, self._axis, self._quantize_input = tracker, axis, quantize_input
        self._bias_scale: np.ndarray | None = None

    def around(self, run: Run) -> Run:
        def quantized(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            x = self.input(x)
            weight, bias = self.on_grid(weight, bias)
            result: Tensor = run(x, weight) if bias is None else run(x, weight, bias)
            return result

        return quantized

    def input(self, x: Tensor) -> Tensor:
        return x if self._quantize_input is None else self._quantize_input(x)

    def on_grid(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Quantize the weight, and the bias as soon as the input has a scale."""
        parameters = self.net.settings.weights.parameters(weight.detach().numpy(), self._axis)
        if self._tracker.is_on:
            input_scale = self._tracker.parameters_now().scale
            if bias is not None:
                parameters = with_room_for_bias(parameters, input_scale, bias.detach().numpy())
            self._bias_scale = np.asarray(input_scale * parameters.scale, np.float32)
        return fake_quantize(weight, parameters), None if bias is None else self.round_bias(bias)

    def round_bias(self, bias: Tensor) -> Tensor:
        """Round a bias to whole accumulator steps, straight through."""
        if self._bias_scale is None:
            return bias
        scale = torch.from_numpy(self._bias_scale)
        return bias + (torch.round(bias / scale) * scale - bias).detach()


class _FoldedLayer:
    """A convolution with the batch norm behind it, as one layer (figure C.8 of the paper).

    It runs in the norm's place, where the statistics are at hand; the convolution itself only passes its
    quantized input on to there.
    """

    def __init__(self, layer: _Layer, convolution: Node, norm: Node) -> None:
        self._layer = layer
        self._epsilon = norm.attributes.get("epsilon", 1e-5)  # ONNX's default
        weights, names = layer.net.net.weights, convolution.inputs
        self._weight = weights[names[1]]
        self._bias = weights[names[2]] if len(names) > 2 and names[2] else None
        self._convolve: Run | None = None

    def take_over(self, convolve: Run) -> Run:
        self._convolve = convolve
        return lambda x, *_: self._layer.input(x)

    def compute_instead(self, _normalise: Run) -> Run:
        return self._compute

    def _compute(self, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        assert self._convolve is not None, "the convolution was taken over first"
        if self._layer.net.moves_statistics:
            self._move(mean, variance, self._convolve(x, self._weight, self._bias).detach())
        scale = gamma / torch.sqrt(variance + self._epsilon)
        weight = self._weight * scale.reshape(-1, *[1] * (self._weight.dim() - 1))
        bias = beta - mean * scale if self._bias is None else beta + (self._bias - mean) * scale
        result: Tensor = self._convolve(x, *self._layer.on_grid(weight, bias))
        return result

    def _move(self, mean: Tensor, variance: Tensor, y: Tensor) -> None:
        axes = [axis for axis in range(y.dim()) if axis != 1]
        mean.lerp_(y.mean(axes), self._layer.net.settings.momentum)
        variance.lerp_(y.var(axes), self._layer.net.settings.momentum)


def _prepared(graph: Graph, target: str) -> tuple[Graph, Graph, dict[str, Node]]:
    """The graph to train, the same folded, and the batch norm behind each convolution that has one.

    Where anything but such norms can be folded, the graph to train is the folded one.
    """
    typed, _ = prepare_unfolded(graph, target)
    folded, merged = fold_affine(typed)
    folded = with_shapes(folded)
    norms = {layers[0]: typed.by_name[name] for name, layers in merged.items()}
    is_plain = len(norms) == len(merged) and all(
        norm.op == "BatchNormalization" and typed.by_name[layer].op == "Conv" for layer, norm in norms.items()
    )
    return (typed, folded, norms) if is_plain else (folded, folded, {})


def _placement(folded: Graph, settings: QatSettings) -> Placement:
    nodes = settings.nodes
    nodes = quantizable_nodes(folded, settings.target) if nodes is None else nodes
    return place(folded, nodes, settings.target)


def _with_quantized(quantizers: Mapping[int, _Quantizer]) -> Callable[[Run], Run]:
    """Quantize some of a node's inputs."""

    def around(run: Run) -> Run:
        return lambda *inputs: run(
            *(quantizers[place](x) if place in quantizers else x for place, x in enumerate(inputs))
        )

    return around


def _followed_by(quantizer: _Quantizer) -> Callable[[Run], Run]:
    """Quantize what a node gives."""
    return lambda run: lambda *inputs: quantizer(run(*inputs))


def _quantize_constant(x: Tensor) -> Tensor:
    array = x.detach().numpy()
    return fake_quantize(x, AFFINE.parameters(array.min(), array.max()))
