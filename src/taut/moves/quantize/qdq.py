"""Write a placement into a graph as QuantizeLinear and DequantizeLinear pairs (QDQ).

A runtime fuses a kernel with the pairs around it into one integer kernel; one that does not know how still
computes the right result in float. Weights become real int8 constants behind a DequantizeLinear, biases
int32 with the scale of input times weight (section 2.4 of arXiv 1712.05877).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from taut.graph import Editor, Graph, Node, Value
from taut.moves.quantize.operators import Operands, bias_of_step, bias_step, operands
from taut.moves.quantize.placement import Placement
from taut.moves.quantize.ranges import MinMax, RangeRule, parameters_of
from taut.moves.quantize.schemes import (
    Granularity,
    PerChannel,
    PerTensor,
    QuantizationParameters,
    Scheme,
)

QDQ_OPSET = 13
"""Since then DequantizeLinear takes one scale per channel"""
AFFINE = Scheme(8, is_signed=False, is_symmetric=False)
# A larger code would overflow 32 bits when the accumulator is added to it.
_LARGEST_BIAS_CODE = 2.0**30


@dataclass(frozen=True)
class WeightQuantizer:
    """How weights are quantized: symmetric, so that no zero point enters the inner loop."""

    scheme: Scheme = field(default_factory=lambda: Scheme(8, is_narrow=True))
    is_per_channel: bool = True
    rule: RangeRule = field(default_factory=MinMax)

    def parameters(self, weight: np.ndarray, axis: int | None) -> QuantizationParameters:
        """Return the parameters of a weight whose output channels lie along the axis."""
        granularity: Granularity = PerTensor()
        if self.is_per_channel and axis is not None:
            granularity = PerChannel(axis)
        return parameters_of(weight, self.scheme, granularity, self.rule)


def write_qdq(
    graph: Graph,
    placement: Placement,
    activations: Mapping[str, QuantizationParameters],
    weights: WeightQuantizer,
) -> Graph:
    """Return the graph with the placement in it; ``activations`` has the parameters of every group."""
    writer = _Writer(graph, placement, activations)
    for node in graph:
        found = operands(graph, node) if node.name in placement.nodes else None
        if found is not None:
            writer.write_constants(node, found, weights)
    for value in placement.groups:
        writer.write_pair(value)
    for node in graph:
        if node.op == "HardSigmoid" and node.name in placement.nodes:
            writer.write_hard_sigmoid(node)
    return writer.edit.graph()


def with_room_for_bias(
    weight: QuantizationParameters, input_scale: np.ndarray, bias: np.ndarray
) -> QuantizationParameters:
    """Return the weight's parameters, coarser where a bias (channels,) would not fit in 32 bits.

    It happens in channels whose weights are all but zero, which lose nothing by it.
    """
    needed = np.abs(bias) / (input_scale * _LARGEST_BIAS_CODE)
    if weight.scale.ndim == 0:
        needed = needed.max()
    return replace(weight, scale=np.maximum(weight.scale, needed).astype(np.float32))


def quantize_bias(bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return int32 codes of a bias (channels,) at the accumulator's scale, () or (channels,)."""
    return np.rint(bias.astype(np.float64) / scale).astype(np.int32)


class _Writer:
    """Adds pairs and constants to an Editor; positions and readers are those of the graph given."""

    def __init__(
        self, graph: Graph, placement: Placement, activations: Mapping[str, QuantizationParameters]
    ) -> None:
        self.edit = Editor(graph)
        self.edit.require_opset(QDQ_OPSET)
        self._graph, self._placement, self._activations = graph, placement, activations
        self._written: dict[tuple[str, Granularity, bytes], str] = {}
        self._shared: dict[str, tuple[str, str]] = {}
        self._codes: dict[str, str] = {}

    def write_constants(self, node: Node, found: Operands, weights: WeightQuantizer) -> None:
        """Replace a node's weight, bias and constant operands by their codes behind DequantizeLinear."""
        inputs = list(node.inputs)
        for position in found.constants:
            parameters = self._parameters_of_constant(node, found, position)
            inputs[position] = self._write_constant(node.inputs[position], parameters)
        if found.weight is not None:
            parameters = self._parameters_of_weight(node, found, weights)
            inputs[found.weight] = self._write_constant(node.inputs[found.weight], parameters)
            if found.bias is not None:
                inputs[found.bias] = self._write_bias(node, found, parameters, node.inputs[found.bias])
            self._write_bias_step(node, found, parameters)
        self.edit.change(node.name, inputs=tuple(inputs))

    def write_pair(self, value: str) -> None:
        """Put QuantizeLinear and DequantizeLinear between a value and its quantized readers."""
        is_written = value in self._placement.written
        readers = {reader.name for reader in self._graph.consumers(value)}
        if not is_written:
            readers &= self._placement.nodes
        group = self._placement.groups[value]
        parameters = self._activations[group]
        codes = self._codes[value] = self._typed(f"{value}_codes", value, str(parameters.dtype))
        if is_written and self._graph.is_output(value):
            made, restored = self._free_name(value), value
        else:
            made, restored = value, self._typed(f"{value}_dequantized", value, "float32")
            self.edit.redirect(value, restored, readers)
        extra = self._write_parameters(group, parameters)
        self.edit.add("QuantizeLinear", (made, *extra), (codes,), name=self.edit.fresh(f"{value}_quantize"))
        name = self.edit.fresh(f"{value}_dequantize")
        self.edit.add("DequantizeLinear", (codes, *extra), (restored,), name=name)

    def write_hard_sigmoid(self, node: Node) -> None:
        """Write clip(alpha x + beta, 0, 1) as an addition: alpha goes into the scale, the cast clips.

        No runtime here has an integer kernel for it, all have one for Add.
        """
        value, attributes = node.inputs[0], node.attributes
        group = self._placement.groups[value]
        parameters = self._activations[group]
        alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)  # ONNX's defaults
        scaled_step = np.asarray(parameters.scale * np.float32(alpha), np.float32)
        scale = self.edit.set_constant(self.edit.fresh(f"{node.name}_scale"), scaled_step)
        _, zero_point = self._write_parameters(group, parameters)
        scaled = self._typed(f"{node.name}_scaled", value, "float32")
        name = self.edit.fresh(f"{node.name}_dequantize")
        self.edit.add("DequantizeLinear", (self._codes[value], scale, zero_point), (scaled,), name=name)
        shift = AFFINE.parameters(np.array(0.0), np.array(beta))
        codes = shift.quantize(np.array(beta, np.float32))
        restored = self._write_codes(f"{node.name}_shift", codes, (shift.scale, shift.zero_point), None)
        self.edit.change(node.name, op="Add", inputs=(scaled, restored), attributes={})

    def _free_name(self, value: str) -> str:
        """Rename a value at its producer, so that the graph's output can be the dequantized one."""
        producer = self._graph.producer(value)
        assert producer is not None, f"{value} is written, so it has a producer"
        made = self._typed(f"{value}_float", value, "float32")
        outputs = tuple(made if output == value else output for output in producer.outputs)
        self.edit.change(producer.name, outputs=outputs)
        return made

    def _typed(self, stem: str, like: str, dtype: str) -> str:
        """Return a fresh name, recorded as having another value's shape."""
        name = self.edit.fresh(stem)
        known = self._graph.value(like)
        if known is not None:
            self.edit.set_value(Value(name, dtype, known.shape))
        return name

    def _parameters_of_constant(self, node: Node, found: Operands, position: int) -> QuantizationParameters:
        if found.shares_scale:
            return self._input_parameters(node, found)
        array = self._graph.constants[node.inputs[position]]
        return AFFINE.parameters(array.min(), array.max())

    def _parameters_of_weight(
        self, node: Node, found: Operands, weights: WeightQuantizer
    ) -> QuantizationParameters:
        assert found.weight is not None
        weight = self._graph.constants[node.inputs[found.weight]]
        parameters = weights.parameters(weight, found.weight_axis)
        bias = self._bias(node, found)
        if not bias:
            return parameters
        numbers = self._graph.constants[bias].reshape(-1)
        return with_room_for_bias(parameters, self._input_parameters(node, found).scale, numbers)

    def _bias(self, node: Node, found: Operands) -> str:
        """Name of the constant that a node, or the step behind it, adds; empty where none is."""
        step = bias_step(self._graph, node)
        if found.bias is not None:
            return node.inputs[found.bias]
        return "" if step is None else bias_of_step(self._graph, step)

    def _input_parameters(self, node: Node, found: Operands) -> QuantizationParameters:
        return self._activations[self._placement.groups[node.inputs[found.activations[0]]]]

    def _write_bias(self, node: Node, found: Operands, weight: QuantizationParameters, bias: str) -> str:
        scale = np.asarray(self._input_parameters(node, found).scale * weight.scale, np.float32)
        codes = quantize_bias(self._graph.constants[bias].reshape(-1), scale)
        axis = 0 if scale.ndim else None
        # An absent zero point is 0; for a bias all runtimes take it so.
        return self._write_codes(f"{node.name}_bias", codes, (scale,), axis)

    def _write_bias_step(self, node: Node, found: Operands, weight: QuantizationParameters) -> None:
        """Let the addition behind a matrix product read int32 as well, so that it can become its bias."""
        step = bias_step(self._graph, node)
        if step is not None:
            bias = bias_of_step(self._graph, step)
            restored = self._write_bias(node, found, weight, bias)
            inputs = tuple(restored if name == bias else name for name in step.inputs)
            self.edit.change(step.name, inputs=inputs)

    def _write_constant(self, name: str, parameters: QuantizationParameters) -> str:
        granularity = parameters.granularity
        key = (name, granularity, parameters.scale.tobytes())
        if key not in self._written:
            codes = parameters.quantize(self._graph.constants[name])
            axis = granularity.axis if isinstance(granularity, PerChannel) else None
            extra = (parameters.scale, parameters.zero_point)
            self._written[key] = self._write_codes(name, codes, extra, axis)
        return self._written[key]

    def _write_codes(
        self, stem: str, codes: np.ndarray, parameters: tuple[np.ndarray, ...], axis: int | None
    ) -> str:
        """Add a constant behind a DequantizeLinear and return what that yields."""
        inputs = [
            self.edit.set_constant(self.edit.fresh(f"{stem}_{what}"), array)
            for what, array in zip(("codes", "scale", "zero_point"), (codes, *parameters), strict=False)
        ]
        restored = self.edit.fresh(f"{stem}_dequantized")
        self.edit.set_value(Value(restored, "float32", codes.shape))
        attributes = {} if axis is None else {"axis": axis}
        name = self.edit.fresh(f"{stem}_dequantize")
        self.edit.add("DequantizeLinear", inputs, (restored,), name=name, attributes=attributes)
        return restored

    def _write_parameters(self, group: str, parameters: QuantizationParameters) -> tuple[str, str]:
        """Return the names of a group's scale and zero point, which all its members share."""
        if group not in self._shared:
            scale = self.edit.set_constant(self.edit.fresh(f"{group}_scale"), parameters.scale)
            zero = self.edit.set_constant(self.edit.fresh(f"{group}_zero_point"), parameters.zero_point)
            self._shared[group] = (scale, zero)
        return self._shared[group]
