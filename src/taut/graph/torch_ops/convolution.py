"""Convolution and its transpose, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site
from taut.graph.torch_ops.windows import Sides, Window, pad_sides, read_window

# By rank of the input: autocast knows these, but not the general torch.convolution.
_CONVOLUTIONS: dict[int, Any] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_TRANSPOSES: dict[int, Any] = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}


def conv(site: Site) -> Run:
    window, groups = _window_of_weight(site), site.attribute("group", 1)
    convolve = _CONVOLUTIONS[window.rank + 2]
    stride, dilation, padding = window.strides, window.dilations, window.symmetric_pads
    if padding is not None:
        return lambda x, weight, bias=None: convolve(x, weight, bias, stride, padding, dilation, groups)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        x = pad_sides(x, window.pads_for(x.shape[2:]))
        return convolve(x, weight, bias, stride, 0, dilation, groups)

    return run


def conv_transpose(site: Site) -> Run:
    """Padding cuts the full result; where both sides differ it is cut here, else by torch."""
    window, groups = _window_of_weight(site), site.attribute("group", 1)
    extra = site.attribute("output_padding", [0] * window.rank)
    wanted = site.attribute("output_shape")
    convolve = _TRANSPOSES[window.rank + 2]
    stride, dilation, padding = window.strides, window.dilations, window.symmetric_pads
    if padding is not None and wanted is None:
        return lambda x, weight, bias=None: convolve(
            x, weight, bias, stride, padding, extra, groups, dilation
        )

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        full = convolve(x, weight, None, stride, 0, extra, groups, dilation)
        cuts = _cuts(window, x.shape[2:], full.shape[2:], wanted)
        whole = pad_sides(full, [(-before, -after) for before, after in cuts])
        return whole if bias is None else whole + bias.reshape(-1, *[1] * window.rank)

    return run


def _window_of_weight(site: Site) -> Window:
    shape = site.attribute("kernel_shape") or (site.shape(1) or ())[2:]
    site.require(1 <= len(shape) <= 3, "rank")
    return read_window(site, shape)


def _cuts(window: Window, given: Sequence[int], full: Sequence[int], wanted: Sequence[int] | None) -> Sides:
    """How much of the full result to cut before and after each axis: stated, or what is left over halved."""
    if wanted is None and not window.is_same:
        return window.pads_for(given)
    sizes = wanted or [size * stride for size, stride in zip(given, window.strides, strict=True)]
    over = [size - target for size, target in zip(full, sizes[-len(full) :], strict=True)]
    if window.auto_pad == "SAME_UPPER":
        return [(total // 2, total - total // 2) for total in over]
    return [(total - total // 2, total // 2) for total in over]


OPERATORS: dict[str, Builder] = {"Conv": conv, "ConvTranspose": conv_transpose}
