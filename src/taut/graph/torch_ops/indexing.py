"""Operators that look elements up or write them at given places. Negative places count from the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site


def gather(site: Site) -> Run:
    axis, known = site.attribute("axis", 0), site.static(1)
    if known is not None and known.ndim == 0:
        place = int(known)
        return lambda x, _places: x.select(axis, place)
    is_wrapped = known is None or bool(np.any(known < 0))

    def run(x: Tensor, places: Tensor) -> Tensor:
        if is_wrapped:
            places = _from_start(places, x.shape[axis])
        if x.dim() == 2 and axis == 0 and x.is_floating_point():
            return F.embedding(places, x)
        first = axis % x.dim()
        picked = x.index_select(axis, places.reshape(-1))
        return picked.reshape(*x.shape[:first], *places.shape, *x.shape[first + 1 :])

    return run


def _from_start(places: Tensor, size: int) -> Tensor:
    return torch.where(places < 0, places + size, places)


def gather_elements(site: Site) -> Run:
    axis = site.attribute("axis", 0)
    return lambda x, places: x.gather(axis, _from_start(places, x.shape[axis]).long())


def gather_nd(site: Site) -> Run:
    site.require(site.attribute("batch_dims", 0) == 0, "batch axes")
    return lambda x, places: x[places.long().unbind(-1)]


def scatter_nd(site: Site) -> Run:
    reduction = site.attribute("reduction", "none")
    site.require(reduction in ("none", "add"), "reduction")

    def run(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
        # Under autocast the updates may come in a smaller type than what they are written into.
        return x.index_put(places.long().unbind(-1), updates.to(x.dtype), accumulate=reduction == "add")

    return run


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(site: Site) -> Run:
    axis, reduction = site.attribute("axis", 0), site.attribute("reduction", "none")

    def run(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
        places, updates = _from_start(places, x.shape[axis]).long(), updates.to(x.dtype)
        if reduction == "none":
            return x.scatter(axis, places, updates)
        return x.scatter_reduce(axis, places, updates, _REDUCTIONS[reduction])

    return run


def one_hot(site: Site) -> Run:
    axis, depth = site.attribute("axis", -1), int(site.scalar(1, 0))

    def run(places: Tensor, _depth: Tensor, off_and_on: Tensor) -> Tensor:
        hot = F.one_hot(_from_start(places.long(), depth), depth).movedim(-1, axis)
        return torch.where(hot.bool(), off_and_on[1], off_and_on[0])

    return run


def nonzero(_site: Site) -> Run:
    return lambda x: torch.nonzero(x).T


def top_k(site: Site) -> Run:
    """The count is an attribute before opset 10, an input since."""
    axis, is_largest = site.attribute("axis", -1), bool(site.attribute("largest", 1))
    count = site.attribute("k") if site.opset < 10 else int(site.scalar(1, 0))

    def run(x: Tensor, *_count: Tensor) -> tuple[Tensor, Tensor]:
        values, places = torch.topk(x, count, axis, is_largest)
        return values, places

    return run


def arg(function: Any) -> Builder:
    """Place of the largest or smallest element; of equal ones the first."""

    def build(site: Site) -> Run:
        site.require(not site.attribute("select_last_index", 0), "choice of the last")
        axis, keeps = site.attribute("axis", 0), bool(site.attribute("keepdims", 1))
        return lambda x: function(x, axis, keeps)

    return build


OPERATORS: dict[str, Builder] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter_elements,
    "OneHot": one_hot,
    "NonZero": nonzero,
    "TopK": top_k,
    "ArgMax": arg(torch.argmax),
    "ArgMin": arg(torch.argmin),
}
