"""Operators that sum over axes: reductions, running sums, matrix products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site

Reduce = Callable[[Tensor, list[int], bool], Tensor]
"""(x, axes, whether reduced axes stay as size 1)"""


def reduction(function: Reduce) -> Builder:
    """Axes are an attribute in older opsets, an input in newer ones; without axes all are reduced."""

    def build(site: Site) -> Run:
        axes, keeps = site.settings("axes", 1), bool(site.attribute("keepdims", 1))
        if not axes and site.attribute("noop_with_empty_axes", 0):
            return lambda x, *_axes: x
        if axes:
            return lambda x, *_axes: function(x, axes, keeps)
        return lambda x, *_axes: function(x, list(range(x.dim())), keeps)

    return build


def product(x: Tensor, axes: list[int], keeps: bool) -> Tensor:
    """Torch multiplies along one axis at a time; from the last one on, so that earlier ones stay in place."""
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = torch.prod(x, axis, keeps)
    return x


def euclidean(x: Tensor, axes: list[int], keeps: bool) -> Tensor:
    return torch.linalg.vector_norm(x, 2, axes, keeps)


def cumulative_sum(site: Site) -> Run:
    axis = int(site.scalar(1, 0))
    is_reverse, is_exclusive = site.attribute("reverse", 0), site.attribute("exclusive", 0)

    def run(x: Tensor, _axis: Tensor) -> Tensor:
        x = x.flip(axis) if is_reverse else x
        total = torch.cumsum(x, axis, dtype=x.dtype)
        total = total - x if is_exclusive else total
        return total.flip(axis) if is_reverse else total

    return run


def gemm(site: Site) -> Run:
    """alpha A B + beta C, with A or B transposed."""
    alpha, beta = site.attribute("alpha", 1.0), site.attribute("beta", 1.0)
    is_a_transposed, is_b_transposed = site.attribute("transA", 0), site.attribute("transB", 0)
    bias = site.shape(2) if site.has_input(2) else ()
    is_linear = is_b_transposed and not is_a_transposed and alpha == 1 and beta == 1
    if is_linear and bias is not None and len(bias) <= 1 and (not site.has_input(2) or len(bias) == 1):
        return F.linear

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = torch.matmul(a.T if is_a_transposed else a, b.T if is_b_transposed else b)
        product = product if alpha == 1 else alpha * product
        return product if c is None else product + (c if beta == 1 else beta * c)

    return run


def einsum(site: Site) -> Run:
    equation = site.attribute("equation")
    return lambda *inputs: torch.einsum(equation, *inputs)


OPERATORS: dict[str, Builder] = {
    "ReduceSum": reduction(torch.sum),
    "ReduceMean": reduction(torch.mean),
    "ReduceMax": reduction(torch.amax),
    "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(product),
    "ReduceL1": reduction(lambda x, axes, keeps: torch.sum(x.abs(), axes, keeps)),
    "ReduceL2": reduction(euclidean),
    "ReduceSumSquare": reduction(lambda x, axes, keeps: torch.sum(x * x, axes, keeps)),
    "ReduceLogSum": reduction(lambda x, axes, keeps: torch.log(torch.sum(x, axes, keeps))),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "CumSum": cumulative_sum,
    "MatMul": lambda _site: torch.matmul,
    "Gemm": gemm,
    "Einsum": einsum,
}
