"""Pooling in one to three dimensions, and over all of space."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site
from taut.graph.torch_ops.windows import Window, pad_sides, read_window

_MAXIMA: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEANS: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _read(site: Site) -> Window:
    window = read_window(site, site.attribute("kernel_shape"))
    site.require(1 <= window.rank <= 3, "rank")
    site.require_outputs(1)
    return window


def _is_native(window: Window) -> bool:
    """Torch pads both sides alike, by at most half the kernel."""
    pads = window.symmetric_pads
    return pads is not None and all(2 * pad <= size for pad, size in zip(pads, window.kernel, strict=True))


def max_pool(site: Site) -> Run:
    window = _read(site)
    pool, kernel, strides = _MAXIMA[window.rank], window.kernel, window.strides
    dilations, is_ceil, pads = window.dilations, window.is_ceil, window.symmetric_pads
    if _is_native(window):
        return lambda x: pool(x, kernel, strides, pads, dilations, is_ceil)

    def run(x: Tensor) -> Tensor:
        x = pad_sides(x, window.overhang(x.shape[2:]), -math.inf)
        return pool(x, kernel, strides, 0, dilations)

    return run


def average_pool(site: Site) -> Run:
    """The divisor counts padding only with ``count_include_pad``, and never what ceil mode adds."""
    window = _read(site)
    site.require(all(dilation == 1 for dilation in window.dilations), "dilation")
    pool, kernel, strides = _MEANS[window.rank], window.kernel, window.strides
    is_ceil, pads, counts_pads = (
        window.is_ceil,
        window.symmetric_pads,
        bool(site.attribute("count_include_pad", 0)),
    )
    if _is_native(window):
        return lambda x: pool(x, kernel, strides, pads, is_ceil, counts_pads)

    def run(x: Tensor) -> Tensor:
        # Both means are over whole windows, so their ratio is the mean over what counts.
        total = pool(pad_sides(x, window.overhang(x.shape[2:])), kernel, strides)
        return total / pool(_counted(x, window, float(counts_pads)), kernel, strides)

    return run


def _counted(x: Tensor, window: Window, pad_weight: float) -> Tensor:
    """(1, 1, *space) with 1 where an element counts, as large as the padded input."""
    sizes = x.shape[2:]
    pads, overhang = window.pads_for(sizes), window.overhang(sizes)
    counted = torch.ones((1, 1, *sizes), dtype=x.dtype, device=x.device)
    counted = pad_sides(counted, pads, pad_weight)
    return pad_sides(
        counted, [(0, over - after) for (_, after), (_, over) in zip(pads, overhang, strict=True)]
    )


def over_space(function: Any) -> Builder:
    """Over all spatial axes, which stay as size 1."""
    return lambda _site: lambda x: function(x, tuple(range(2, x.dim())), True)


OPERATORS: dict[str, Builder] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": over_space(torch.mean),
    "GlobalMaxPool": over_space(torch.amax),
}
