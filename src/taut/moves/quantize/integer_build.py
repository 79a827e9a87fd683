"""From a quantized node to its integer kernel: every real number becomes an integer here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.graph import Graph, Node
from taut.moves.quantize.fixed_point import FixedPoint
from taut.moves.quantize.integer_kernels import (
    Addition,
    AveragePool,
    Concatenation,
    Convolution,
    Kernel,
    Linear,
    Lookup,
    MaxPool,
    Product,
    Requantize,
    Rescale,
    Reshaping,
    Transposition,
    Window,
)
from taut.moves.quantize.schemes import QuantizationParameters


@dataclass(frozen=True, eq=False)
class Coded:
    """A real value as codes."""

    name: str
    """Of the codes"""
    parameters: QuantizationParameters
    codes: np.ndarray | None = None
    """Where they are constant"""

    @property
    def scale(self) -> float:
        return float(self.parameters.scale)

    @property
    def zero_point(self) -> int:
        return int(self.parameters.zero_point)

    @property
    def largest(self) -> int:
        """Magnitude that a code can have once its zero point is taken off."""
        limits = np.iinfo(self.parameters.dtype)
        return max(limits.max - self.zero_point, self.zero_point - limits.min)


@dataclass(frozen=True, eq=False)
class Site:
    """A node with its operands in codes."""

    graph: Graph
    node: Node
    inputs: tuple[Coded | None, ...]
    output: Coded
    last: Node | None = None
    """The node that ends the kernel; where it is a Relu or Clip, its bounds are those of the cast"""
    bias: Coded | None = None
    """Where it is not among the inputs"""

    def operand(self, position: int) -> Coded:
        coded = self.inputs[position]
        self.require(coded is not None, f"input {position} is not quantized")
        assert coded is not None
        return coded

    def constant(self, position: int) -> np.ndarray:
        codes = self.operand(position).codes
        self.require(codes is not None, f"input {position} is not constant")
        assert codes is not None
        return codes

    def require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise BadInput(f"node {self.node.name!r} ({self.node.op})", rule, "leave it out")

    def requantize(self, multiplier: np.ndarray | float, largest: int) -> Requantize:
        """From accumulators up to ``largest``, of which one unit is ``multiplier`` steps of the result."""
        parameters = self.output.parameters
        limits = np.iinfo(parameters.dtype)
        low, high = self._clamp_codes(limits.min, limits.max)
        return Requantize(
            FixedPoint.of(multiplier, largest), self.output.zero_point, low, high, parameters.dtype
        )

    def _clamp_codes(self, lowest: int, highest: int) -> tuple[int, int]:
        if self.last is None or self.last.op not in ("Clip", "Relu"):
            return lowest, highest
        bounds = [self.graph.constants[name] if name else None for name in self.last.inputs[1:]]
        if self.last.op == "Relu":
            bounds = [np.array(0.0)]
        codes = [None if bound is None else int(self.output.parameters.quantize(bound)) for bound in bounds]
        low, high = [*codes, None, None][:2]
        return lowest if low is None else low, highest if high is None else high

    def shape(self, value: str) -> tuple[int, ...]:
        known = self.graph.value(value)
        self.require(known is not None and known.is_static, f"the shape of {value} is not known")
        assert known is not None
        return known.static_shape


def build_rescale(site: Site) -> Kernel:
    given = site.operand(0)
    return Rescale(given.zero_point, site.requantize(given.scale / site.output.scale, given.largest))


def _convolution(site: Site) -> Kernel:
    weight, bias = site.constant(1), _bias(site, len(site.constant(1)))
    groups = int(site.node.attributes.get("group", 1))
    multiplier = _accumulator_scale(site).reshape(-1, 1, 1) / site.output.scale
    return Convolution(
        weight.reshape(groups, len(weight) // groups, -1),
        _weight_zero(site),
        bias,
        _window(site, weight.shape[2:]),
        site.operand(0).zero_point,
        site.requantize(multiplier, _largest_sum(site, weight.reshape(len(weight), -1), bias)),
    )


def _linear(site: Site) -> Kernel:
    given = site.operand(0)
    if site.operand(1).codes is None:
        return _product(site)
    weight = site.constant(1)
    weight = weight.T if site.node.attributes.get("transB", 0) else weight
    site.require(not site.node.attributes.get("transA", 0), "its first matrix is transposed")
    bias = _bias(site, weight.shape[-1])
    requantize = site.requantize(
        _accumulator_scale(site) / site.output.scale, _largest_sum(site, weight.T, bias)
    )
    return Linear(weight, _weight_zero(site), bias, given.zero_point, requantize)


def _largest_sum(site: Site, weight: np.ndarray, bias: np.ndarray) -> int:
    """Magnitude that an accumulator can reach: weight (channels out, taps), bias (channels out,)."""
    taps = np.abs(weight.astype(np.int64) - _weight_zero(site)).sum(axis=1)
    return int((taps * site.operand(0).largest + np.abs(bias.astype(np.int64))).max())


def _product(site: Site) -> Kernel:
    left, right = _two_operands(site)
    is_matrix = site.node.op == "MatMul"
    depth = site.shape(site.node.inputs[0])[-1] if is_matrix else 1
    multiplier = left.scale * right.scale / site.output.scale
    requantize = site.requantize(multiplier, depth * left.largest * right.largest)
    kernel = Product(is_matrix, (left.zero_point, right.zero_point), requantize)
    return _with_constants(site, kernel)


def _addition(site: Site) -> Kernel:
    left, right = _two_operands(site)
    inputs, multiplier = Addition.multipliers_of((left.scale, right.scale), site.output.scale)
    zero_points = (left.zero_point, right.zero_point)
    requantize = site.requantize(multiplier, (left.largest + right.largest) << Addition.SHIFT)
    return _with_constants(site, Addition(inputs, zero_points, requantize))


def _two_operands(site: Site) -> tuple[Coded, Coded]:
    site.require(len(site.inputs) == 2, "it has not two inputs")
    return site.operand(0), site.operand(1)


@dataclass(frozen=True, eq=False)
class _Partial:
    """A kernel some of whose inputs are constant."""

    kernel: Kernel
    constants: tuple[np.ndarray | None, ...]

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        given = iter(codes)
        return self.kernel(*(next(given) if array is None else array for array in self.constants))


def _with_constants(site: Site, kernel: Kernel) -> Kernel:
    constants = tuple(None if coded is None else coded.codes for coded in site.inputs)
    return kernel if all(array is None for array in constants) else _Partial(kernel, constants)


def _average_pool(site: Site) -> Kernel:
    given = site.operand(0)
    ratio = given.scale / site.output.scale
    shape = site.shape(site.node.inputs[0])
    if site.node.op != "AveragePool":
        count = int(np.prod(shape[2:]))
        keeps_axes = site.node.op != "ReduceMean" or bool(site.node.attributes.get("keepdims", 1))
        return AveragePool(
            None, given.zero_point, site.requantize(ratio / count, count * given.largest), keeps_axes
        )
    window = _window(site, tuple(site.node.attributes["kernel_shape"]))
    inside = np.ones((1, 1, *shape[2:]))
    includes_border = bool(site.node.attributes.get("count_include_pad", 0))
    counts = window.patches(inside, int(includes_border)).sum(axis=(4, 5))
    largest = window.kernel[0] * window.kernel[1] * given.largest
    return AveragePool(window, given.zero_point, site.requantize(ratio / counts, largest))


def _max_pool(site: Site) -> Kernel:
    _require_same_scale(site)
    return MaxPool(_window(site, tuple(site.node.attributes["kernel_shape"])))


def _lookup(site: Site) -> Kernel:
    given = site.operand(0).parameters
    limits = np.iinfo(given.dtype)
    real = given.dequantize(np.arange(limits.min, limits.max + 1).astype(given.dtype))
    image = _FUNCTIONS[site.node.op](real.astype(np.float64), site.node.attributes)
    return Lookup(site.output.parameters.quantize(image), int(limits.min))


def _hard_sigmoid(x: np.ndarray, attributes: Mapping[str, Any]) -> np.ndarray:
    return np.clip(attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5), 0, 1)


_FUNCTIONS: dict[str, Callable[[np.ndarray, Mapping[str, Any]], np.ndarray]] = {
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": lambda x, attributes: np.where(x < 0, attributes.get("alpha", 0.01) * x, x),
    "Sigmoid": lambda x, _attributes: 1 / (1 + np.exp(-x)),
}


def _concatenation(site: Site) -> Kernel:
    _require_same_scale(site)
    site.require(all(coded is not None and coded.codes is None for coded in site.inputs), "joins constants")
    rank = len(site.shape(site.node.outputs[0]))
    axis = int(site.node.attributes["axis"]) % rank
    site.require(axis != 0, "it joins samples")
    return Concatenation(axis)


def _reshaping(site: Site) -> Kernel:
    _require_same_scale(site)
    before, after = site.shape(site.node.inputs[0]), site.shape(site.node.outputs[0])
    site.require(before[:1] == after[:1], "it reshapes the batch")
    return Reshaping(after[1:])


def _transposition(site: Site) -> Kernel:
    _require_same_scale(site)
    rank = len(site.shape(site.node.inputs[0]))
    order = tuple(site.node.attributes.get("perm", range(rank)[::-1]))
    site.require(order[0] == 0, "it moves the batch")
    return Transposition(order)


def _require_same_scale(site: Site) -> None:
    for coded in site.inputs:
        is_same = coded is None or coded.parameters.is_same(site.output.parameters)
        site.require(is_same, "its inputs and its output differ in scale")


def _weight_zero(site: Site) -> int:
    zero_point = site.operand(1).parameters.zero_point
    is_one = bool((zero_point == zero_point.reshape(-1)[0]).all())
    site.require(is_one, "its channels differ in zero point")
    return int(zero_point.reshape(-1)[0])


def _accumulator_scale(site: Site) -> np.ndarray:
    return np.float64(site.operand(0).scale) * site.operand(1).parameters.scale.astype(np.float64)


def _bias(site: Site, channels: int) -> np.ndarray:
    given = site.inputs[2] if len(site.inputs) > 2 else site.bias
    if given is None:
        return np.zeros(channels, np.int32)
    bias = given.codes
    assert bias is not None
    site.require(bias.dtype == np.int32, "its bias is not 32 bits wide")
    return bias


def _window(site: Site, kernel: tuple[int, ...]) -> Window:
    attributes = site.node.attributes
    site.require(len(kernel) == 2, "it has not two spatial axes")
    site.require(attributes.get("auto_pad", "NOTSET") == "NOTSET", "its padding is automatic")
    site.require(not attributes.get("ceil_mode", 0), "its last window is cut")
    height, width = kernel
    down, across = attributes.get("strides", (1, 1))
    row_step, column_step = attributes.get("dilations", (1, 1))
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return Window((height, width), (down, across), (row_step, column_step), (top, left, bottom, right))


BUILDERS: dict[str, Callable[[Site], Kernel]] = {
    "Add": _addition,
    "AveragePool": _average_pool,
    "Concat": _concatenation,
    "Conv": _convolution,
    "Flatten": _reshaping,
    "Gemm": _linear,
    "GlobalAveragePool": _average_pool,
    "HardSigmoid": _lookup,
    "LeakyRelu": _lookup,
    "MatMul": _linear,
    "MaxPool": _max_pool,
    "Mul": _product,
    "ReduceMean": _average_pool,
    "Reshape": _reshaping,
    "Sigmoid": _lookup,
    "Squeeze": _reshaping,
    "Transpose": _transposition,
    "Unsqueeze": _reshaping,
}
