"""Resize, Upsample and GridSample.

The common cases are torch's ``interpolate``; in all others an axis costs one gather for each tap (1, 2 or 4).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.sampling import COORDINATES, SampledAxis, Sampling, Tap, taps
from taut.graph.torch_ops.base import Builder, Run, Site, Unsupported


def resize(site: Site) -> Run:
    site.require(not site.attribute("antialias", 0), "antialiasing")
    site.require(not site.attribute("exclude_outside", 0), "exclusion of places outside")
    site.require(site.attribute("keep_aspect_ratio_policy", "stretch") == "stretch", "aspect ratio policy")
    sampling = Sampling.of("Resize", site.node.attributes, site.opset)
    site.require(sampling.coordinates in COORDINATES, "coordinate transformation")
    return _resample(site, sampling, _changed_axes(site, scales_index=1 if site.opset < 11 else 2))


def upsample(site: Site) -> Run:
    """The predecessor of Resize; scales are an attribute before opset 9."""
    sampling = Sampling.of("Upsample", site.node.attributes, site.opset)
    return _resample(site, sampling, _changed_axes(site, 1))


def _changed_axes(site: Site, scales_index: int) -> list[SampledAxis]:
    """Axes with a new size, from sizes (input 3) or scales; sizes as declared stay, whatever the batch."""
    shape = site.shape(0)
    if shape is None:
        raise Unsupported(f"shape of {site.node.inputs[0]}, which is not known,")
    listed = [axis % len(shape) for axis in site.attribute("axes", range(len(shape)))]
    if site.has_input(3):
        sizes = [int(size) for size in site.require_static(3)]
        axes = [
            SampledAxis(i, shape[i], size, size / shape[i]) for i, size in zip(listed, sizes, strict=True)
        ]
    else:
        scales = site.attribute("scales") or [float(item) for item in site.require_static(scales_index)]
        axes = [
            SampledAxis(i, shape[i], int(shape[i] * scale), scale)
            for i, scale in zip(listed, scales, strict=True)
        ]
    return [axis for axis in axes if axis.scale != 1]


def _resample(site: Site, sampling: Sampling, axes: list[SampledAxis]) -> Run:
    rank = len(site.shape(0) or ())
    gathered = [(axis.index, taps(axis, sampling)) for axis in axes]
    mode = _torch_mode(sampling, axes, rank)
    if mode is not None:
        is_aligned = None if mode == "nearest" else sampling.coordinates == "align_corners"
        targets = {axis.index: axis.target for axis in axes}

        def interpolate(x: Tensor, *_settings: Tensor | None) -> Tensor:
            sizes = [targets.get(index, x.shape[index]) for index in range(2, rank)]
            return F.interpolate(x, sizes, mode=mode, align_corners=is_aligned)

        return interpolate

    def run(x: Tensor, *_settings: Tensor | None) -> Tensor:
        for index, along in gathered:
            x = _weighted(x, index, along)
        return x

    return run


_TORCH_MODES = {
    **{("nearest", rank): "nearest" for rank in (3, 4, 5)},
    ("linear", 3): "linear",
    ("linear", 4): "bilinear",
    ("linear", 5): "trilinear",
    ("cubic", 4): "bicubic",
}


def _torch_mode(sampling: Sampling, axes: list[SampledAxis], rank: int) -> str | None:
    """Name of torch's mode where it gives the same, else None."""
    mode = _TORCH_MODES.get((sampling.mode, rank))
    if any(axis.index < 2 for axis in axes):
        return None
    if sampling.mode == "nearest":
        return mode if all(_is_torch_nearest(axis, sampling) for axis in axes) else None
    is_same_kernel = sampling.mode != "cubic" or sampling.cubic == -0.75  # torch's own coefficient
    is_same_place = sampling.coordinates in ("half_pixel", "align_corners")
    return mode if is_same_kernel and is_same_place and all(axis.is_exact for axis in axes) else None


def _is_torch_nearest(axis: SampledAxis, sampling: Sampling) -> bool:
    places = tuple(place * axis.source // axis.target for place in range(axis.target))
    return taps(axis, sampling)[0].places == places


def _weighted(x: Tensor, index: int, along: list[Tap]) -> Tensor:
    total: Tensor | None = None
    for tap in along:
        picked = x.index_select(index, torch.tensor(tap.places, dtype=torch.long, device=x.device))
        if len(along) == 1:
            return picked
        weights = torch.tensor(tap.weights, dtype=x.dtype, device=x.device)
        part = picked * weights.reshape(-1, *[1] * (x.dim() - 1 - index))
        total = part if total is None else total + part
    assert total is not None, "a sampling has at least one tap"
    return total


_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}


def grid_sample(site: Site) -> Run:
    mode = site.attribute("mode", "linear")
    mode, is_aligned = _GRID_MODES.get(mode, mode), bool(site.attribute("align_corners", 0))
    padding = site.attribute("padding_mode", "zeros")
    return lambda x, grid: F.grid_sample(x, grid, mode, padding, is_aligned)


OPERATORS: dict[str, Builder] = {"Resize": resize, "Upsample": upsample, "GridSample": grid_sample}
