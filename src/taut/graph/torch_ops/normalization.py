"""Normalisations and softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Modes, Run, Site

MOMENTUM = 0.1
"""Share of a training batch in the running statistics: torch's default, not the attribute, which exporters
fill with ONNX's complement of it or leave at 0.9"""


def batch_norm(site: Site) -> Modes:
    """Stored statistics in evaluation; those of the batch in training, where the stored ones follow."""
    site.require(not site.attribute("training_mode", 0), "training mode")
    site.require_outputs(1)
    epsilon = site.attribute("epsilon", 1e-5)

    def evaluate(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, scale, bias, False, MOMENTUM, epsilon)

    def train(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, scale, bias, True, MOMENTUM, epsilon)

    return Modes(evaluate, train)


def layer_norm(site: Site) -> Run:
    site.require_outputs(1)
    axis, epsilon = site.attribute("axis", -1), site.attribute("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        sizes = x.shape[axis:]
        if scale.shape == sizes and (bias is None or bias.shape == sizes):
            return F.layer_norm(x, sizes, scale, bias, epsilon)
        normal = F.layer_norm(x, sizes, None, None, epsilon) * scale
        return normal if bias is None else normal + bias

    return run


def rms_norm(site: Site) -> Run:
    axis, epsilon = site.attribute("axis", -1), site.attribute("epsilon", 1e-5)
    return lambda x, scale: F.rms_norm(x, x.shape[axis:], None, epsilon) * scale


def instance_norm(site: Site) -> Run:
    epsilon = site.attribute("epsilon", 1e-5)
    return lambda x, scale, bias: F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def group_norm(site: Site) -> Run:
    """Scale and bias are per group up to opset 20, per channel since 21."""
    groups, epsilon, is_per_group = (
        site.attribute("num_groups"),
        site.attribute("epsilon", 1e-5),
        site.opset < 21,
    )

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if is_per_group:
            repeats = x.shape[1] // groups
            scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
        return F.group_norm(x, groups, scale, bias, epsilon)

    return run


def lp_norm(site: Site) -> Run:
    order, axis = site.attribute("p", 2), site.attribute("axis", -1)
    return lambda x: F.normalize(x, order, axis, eps=1e-30)  # only a vector of zeros is shorter


def local_response_norm(site: Site) -> Run:
    size, bias = site.attribute("size"), site.attribute("bias", 1.0)
    site.require(size % 2 == 1, "even size, whose longer side differs,")
    alpha, beta = site.attribute("alpha", 1e-4), site.attribute("beta", 0.75)
    return lambda x: F.local_response_norm(x, size, alpha, beta, bias)


def softmax(function: Any) -> Builder:
    """Along one axis since opset 13; before, over all axes from the given one on."""

    def build(site: Site) -> Run:
        if site.opset >= 13:
            axis = site.attribute("axis", -1)
            return lambda x: function(x, axis)
        first = site.attribute("axis", 1)
        return lambda x: function(x.flatten(first), -1).reshape(x.shape) if x.dim() else function(x, -1)

    return build


OPERATORS: dict[str, Builder] = {
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LpNormalization": lp_norm,
    "LRN": local_response_norm,
    "Softmax": softmax(torch.softmax),
    "LogSoftmax": softmax(torch.log_softmax),
}
