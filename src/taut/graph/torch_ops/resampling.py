"""Resize, Upsample and GridSample.

The common cases are torch's ``interpolate``. All others are separable: along one axis, each output place
is a weighted sum of source places, so an axis costs one gather for each tap (1, 2 or 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site, Unsupported


@dataclass(frozen=True)
class Sampling:
    """How places of the output fall onto the source."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    """Coefficient a of the cubic kernel (Keys 1981)"""


@dataclass(frozen=True)
class Axis:
    """An axis that changes its size."""

    index: int
    source: int
    target: int
    scale: float
    """Need not be target / source: sizes are rounded down"""

    @property
    def is_exact(self) -> bool:
        return self.scale == self.target / self.source


@dataclass(frozen=True)
class Tap:
    """For each output place along an axis, a source place and its weight."""

    places: tuple[int, ...]
    weights: tuple[float, ...]


def resize(site: Site) -> Run:
    site.require(not site.attribute("antialias", 0), "antialiasing")
    site.require(not site.attribute("exclude_outside", 0), "exclusion of places outside")
    site.require(site.attribute("keep_aspect_ratio_policy", "stretch") == "stretch", "aspect ratio policy")
    is_old = site.opset < 11
    sampling = Sampling(
        site.attribute("mode", "nearest"),
        site.attribute("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"),
        site.attribute("nearest_mode", "floor" if is_old else "round_prefer_floor"),
        site.attribute("cubic_coeff_a", -0.75),
    )
    site.require(sampling.coordinates in _SOURCES, "coordinate transformation")
    return _resample(site, sampling, _changed_axes(site, scales_index=1 if is_old else 2))


def upsample(site: Site) -> Run:
    """The predecessor of Resize; scales are an attribute before opset 9."""
    return _resample(
        site,
        Sampling(site.attribute("mode", "nearest"), "asymmetric", "floor", -0.75),
        _changed_axes(site, 1),
    )


def _changed_axes(site: Site, scales_index: int) -> list[Axis]:
    """Axes with a new size, from sizes (input 3) or scales; sizes as declared stay, whatever the batch."""
    shape = site.shape(0)
    if shape is None:
        raise Unsupported(f"shape of {site.node.inputs[0]}, which is not known,")
    listed = [axis % len(shape) for axis in site.attribute("axes", range(len(shape)))]
    if site.has_input(3):
        sizes = [int(size) for size in site.require_static(3)]
        axes = [Axis(i, shape[i], size, size / shape[i]) for i, size in zip(listed, sizes, strict=True)]
    else:
        scales = site.attribute("scales") or [float(item) for item in site.require_static(scales_index)]
        axes = [
            Axis(i, shape[i], int(shape[i] * scale), scale) for i, scale in zip(listed, scales, strict=True)
        ]
    return [axis for axis in axes if axis.scale != 1]


def _resample(site: Site, sampling: Sampling, axes: list[Axis]) -> Run:
    rank = len(site.shape(0) or ())
    taps = [(axis.index, _taps(axis, sampling)) for axis in axes]
    mode = _torch_mode(sampling, axes, rank)
    if mode is not None:
        is_aligned = None if mode == "nearest" else sampling.coordinates == "align_corners"
        targets = {axis.index: axis.target for axis in axes}

        def interpolate(x: Tensor, *_settings: Tensor | None) -> Tensor:
            sizes = [targets.get(index, x.shape[index]) for index in range(2, rank)]
            return F.interpolate(x, sizes, mode=mode, align_corners=is_aligned)

        return interpolate

    def run(x: Tensor, *_settings: Tensor | None) -> Tensor:
        for index, along in taps:
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


def _torch_mode(sampling: Sampling, axes: list[Axis], rank: int) -> str | None:
    """Name of torch's mode where it gives the same, else None."""
    mode = _TORCH_MODES.get((sampling.mode, rank))
    if any(axis.index < 2 for axis in axes):
        return None
    if sampling.mode == "nearest":
        return mode if all(_is_torch_nearest(axis, sampling) for axis in axes) else None
    is_same_kernel = sampling.mode != "cubic" or sampling.cubic == -0.75  # torch's own coefficient
    is_same_place = sampling.coordinates in ("half_pixel", "align_corners")
    return mode if is_same_kernel and is_same_place and all(axis.is_exact for axis in axes) else None


def _is_torch_nearest(axis: Axis, sampling: Sampling) -> bool:
    places = tuple(place * axis.source // axis.target for place in range(axis.target))
    return _taps(axis, sampling)[0].places == places


def _taps(axis: Axis, sampling: Sampling) -> list[Tap]:
    sources = _SOURCES[sampling.coordinates](np.arange(axis.target, dtype=np.float32), axis)
    if sampling.mode == "nearest":
        return [_tap(_ROUNDINGS[sampling.rounding](sources), np.ones(axis.target), axis)]
    if sampling.mode == "linear":
        sources = np.clip(sources, 0, axis.source - 1)
        low = np.floor(sources)
        return [_tap(low, 1 - (sources - low), axis), _tap(low + 1, sources - low, axis)]
    low = np.floor(sources)
    return [
        _tap(low + offset, _keys(np.abs(sources - low - offset), sampling.cubic), axis)
        for offset in (-1, 0, 1, 2)
    ]


def _tap(places: np.ndarray, weights: np.ndarray, axis: Axis) -> Tap:
    inside = np.clip(places, 0, axis.source - 1).astype(int)
    return Tap(tuple(inside.tolist()), tuple(weights.tolist()))


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, Cubic convolution interpolation (1981), eq. 15, with a free coefficient."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


def _weighted(x: Tensor, index: int, taps: list[Tap]) -> Tensor:
    total: Tensor | None = None
    for tap in taps:
        picked = x.index_select(index, torch.tensor(tap.places, dtype=torch.long, device=x.device))
        if len(taps) == 1:
            return picked
        weights = torch.tensor(tap.weights, dtype=x.dtype, device=x.device)
        part = picked * weights.reshape(-1, *[1] * (x.dim() - 1 - index))
        total = part if total is None else total + part
    assert total is not None, "a sampling has at least one tap"
    return total


def _symmetric(place: np.ndarray, axis: Axis) -> np.ndarray:
    share = axis.target / (axis.scale * axis.source)
    return axis.source / 2 * (1 - share) + (place + 0.5) / axis.scale - 0.5


# Output place -> place on the source, by the names of the ONNX operator.
_SOURCES: dict[str, Callable[[np.ndarray, Axis], np.ndarray]] = {
    "half_pixel": lambda place, axis: (place + 0.5) / axis.scale - 0.5,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda place, axis: ((place + 0.5) / axis.scale - 0.5) * (axis.target > 1),
    "align_corners": lambda place, axis: place * (axis.source - 1) / max(axis.target - 1, 1),
    "asymmetric": lambda place, axis: place / axis.scale,
    "tf_half_pixel_for_nn": lambda place, axis: (place + 0.5) / axis.scale,
}
_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda source: np.ceil(source - 0.5),
    "round_prefer_ceil": lambda source: np.floor(source + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}


def grid_sample(site: Site) -> Run:
    mode = site.attribute("mode", "linear")
    mode, is_aligned = _GRID_MODES.get(mode, mode), bool(site.attribute("align_corners", 0))
    padding = site.attribute("padding_mode", "zeros")
    return lambda x, grid: F.grid_sample(x, grid, mode, padding, is_aligned)


OPERATORS: dict[str, Builder] = {"Resize": resize, "Upsample": upsample, "GridSample": grid_sample}
