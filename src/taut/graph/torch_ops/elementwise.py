"""Operators that work element by element, with numpy's broadcasting."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.onnx_types import DTYPE_NAMES
from taut.graph.torch_ops.base import Builder, Run, Site
from taut.graph.torch_ops.tensors import is_tensor_type, torch_dtype


def plain(function: Run) -> Builder:
    """An operator without settings."""

    def build(site: Site) -> Run:
        site.require("broadcast" not in site.node.attributes, "broadcasting from before opset 7")
        return function

    return build


def variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Builder:
    """An operator that folds any number of inputs from the left."""
    return lambda _site: lambda *inputs: functools.reduce(function, inputs)


def with_settings(function: Run, **defaults: float) -> Builder:
    """An operator whose attributes are numbers that the function takes by position."""

    def build(site: Site) -> Run:
        settings = [site.attribute(name, default) for name, default in defaults.items()]
        return lambda x: function(x, *settings)

    return build


def divide(x: Tensor, y: Tensor) -> Tensor:
    """Integers are divided towards zero."""
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def power(x: Tensor, exponent: Tensor) -> Tensor:
    """The result has the base's type."""
    return torch.pow(x, exponent).to(x.dtype)


def mean(*inputs: Tensor) -> Tensor:
    return functools.reduce(torch.add, inputs) / len(inputs)


def modulo(site: Site) -> Run:
    return torch.fmod if site.attribute("fmod", 0) else torch.remainder


def clip(site: Site) -> Run:
    """Bounds are attributes before opset 11, inputs since."""
    if site.opset < 11:
        return _clamp_to(site.attribute("min"), site.attribute("max"))
    if any(site.has_input(place) and site.static(place) is None for place in (1, 2)):
        return lambda x, low=None, high=None: torch.clamp(x, low, high)
    return _clamp_to(
        *[site.require_static(place).item() if site.has_input(place) else None for place in (1, 2)]
    )


def _clamp_to(low: float | None, high: float | None) -> Run:
    if low is None and high is None:
        return lambda x, *_bounds: x
    return lambda x, *_bounds: torch.clamp(x, low, high)


def prelu(site: Site) -> Run:
    """One slope for all or one per channel is torch's own; other shapes are spelt out."""
    shape = site.shape(1)
    if shape is None or not _is_per_channel(shape, site.shape(0)):
        return lambda x, slope: F.relu(x) - slope * F.relu(-x)
    return lambda x, slope: F.prelu(x, slope.reshape(-1).to(x.dtype))


def _is_per_channel(slope: tuple[int, ...], x: tuple[int, ...] | None) -> bool:
    if all(size == 1 for size in slope):
        return True
    if x is None or len(x) < 2:
        return False
    # One longer than x's rank less the batch: the slope may itself have a batch axis of size 1.
    aligned = (1,) * (len(x) - len(slope)) + slope
    return aligned[1] == x[1] and all(size == 1 for axis, size in enumerate(aligned) if axis != 1)


def gelu(site: Site) -> Run:
    approximation = site.attribute("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximation)


def hard_sigmoid(site: Site) -> Run:
    alpha, beta = site.attribute("alpha", 0.2), site.attribute("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0, 1)


def cast(site: Site) -> Run:
    name = DTYPE_NAMES[site.attribute("to")]
    site.require(is_tensor_type(name), f"type {name}")
    dtype = torch_dtype(name)
    return lambda x: x.to(dtype)


def is_infinite(site: Site) -> Run:
    positive, negative = site.attribute("detect_positive", 1), site.attribute("detect_negative", 1)
    site.require(bool(positive and negative), "one-sided test")
    return torch.isinf


def dropout(site: Site) -> Run:
    """A deployed graph's dropout passes everything; the mask is not offered."""
    site.require_outputs(1)
    site.require(not site.has_input(2) or not site.require_static(2).item(), "training mode")
    return lambda x, *_settings: x


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def shrink(x: Tensor, bias: float, threshold: float) -> Tensor:
    zeros = torch.zeros_like(x)
    return torch.where(x < -threshold, x + bias, torch.where(x > threshold, x - bias, zeros))


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * F.elu(x, alpha)


def swish(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def celu(x: Tensor, alpha: float) -> Tensor:
    return F.celu(x, alpha)


_NAMED_ALIKE = (
    *(
        "Add",
        "Sub",
        "Mul",
        "Abs",
        "Neg",
        "Sign",
        "Reciprocal",
        "Exp",
        "Log",
        "Sqrt",
        "Floor",
        "Ceil",
        "Round",
    ),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"),
    *("Erf", "Relu", "Sigmoid", "IsNaN", "Where"),
)
_NAMED_OTHERWISE: dict[str, Run] = {
    "Div": divide,
    "Pow": power,
    "Mean": mean,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Not": torch.logical_not,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "BitwiseNot": torch.bitwise_not,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Mish": F.mish,
    "HardSwish": F.hardswish,
    "Identity": lambda x: x,
    "CastLike": lambda x, like: x.to(like.dtype),
    "com.microsoft:Gelu": F.gelu,
}

OPERATORS: dict[str, Builder] = {
    **{name: plain(getattr(torch, name.lower())) for name in _NAMED_ALIKE},
    **{name: plain(function) for name, function in _NAMED_OTHERWISE.items()},
    "Sum": variadic(torch.add),
    "Min": variadic(torch.minimum),
    "Max": variadic(torch.maximum),
    "Mod": modulo,
    "Clip": clip,
    "PRelu": prelu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "LeakyRelu": with_settings(F.leaky_relu, alpha=0.01),
    "Elu": with_settings(F.elu, alpha=1.0),
    "Swish": with_settings(swish, alpha=1.0),
    "Celu": with_settings(celu, alpha=1.0),
    "Selu": with_settings(selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "ThresholdedRelu": with_settings(thresholded_relu, alpha=1.0),
    "Shrink": with_settings(shrink, bias=0.0, lambd=0.5),
    "Cast": cast,
    "IsInf": is_infinite,
    "Dropout": dropout,
}
