"""Where an output place of Resize and Upsample falls onto its source, and what it weighs there.

Resampling is separable: along one axis, each output place is a weighted sum of 1, 2 or 4 source places.
Places are computed in single precision, as ONNX's runtimes do, since rounding decides which is nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_FIRST_WITH_COORDINATES = 11
"""Before this opset Resize was asymmetric, as Upsample always is"""


@dataclass(frozen=True)
class Sampling:
    """How places of the output fall onto the source."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    """Coefficient a of the cubic kernel (Keys 1981)"""
    excludes_outside: bool = False
    """Whether places beyond the ends weigh nothing, and the others as much more"""

    @staticmethod
    def of(op: str, attributes: Mapping[str, Any], opset: int) -> Sampling:
        """Read the attributes of a Resize or Upsample."""
        is_old = op == "Upsample" or opset < _FIRST_WITH_COORDINATES
        return Sampling(
            attributes.get("mode", "nearest"),
            attributes.get("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"),
            attributes.get("nearest_mode", "floor" if is_old else "round_prefer_floor"),
            attributes.get("cubic_coeff_a", -0.75),
            bool(attributes.get("exclude_outside", 0)),
        )


@dataclass(frozen=True)
class SampledAxis:
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


def taps(axis: SampledAxis, sampling: Sampling) -> list[Tap]:
    """Return what is summed for the places of an axis."""
    sources = COORDINATES[sampling.coordinates](np.arange(axis.target, dtype=np.float32), axis)
    if sampling.mode == "nearest":
        return [_tap(_ROUNDINGS[sampling.rounding](sources), np.ones(axis.target), axis)]
    if sampling.mode == "linear":
        sources = np.clip(sources, 0, axis.source - 1)
        low = np.floor(sources)
        return [_tap(low, 1 - (sources - low), axis), _tap(low + 1, sources - low, axis)]
    return _cubic(sources, axis, sampling)


def _cubic(sources: np.ndarray, axis: SampledAxis, sampling: Sampling) -> list[Tap]:
    low = np.floor(sources)
    places = low + np.arange(-1, 3)[:, None]
    weights = _keys(np.abs(sources - places), sampling.cubic)
    if sampling.excludes_outside:
        weights = np.where((places >= 0) & (places < axis.source), weights, 0)
        weights = weights / weights.sum(axis=0)
    return [_tap(place, weight, axis) for place, weight in zip(places, weights, strict=True)]


def _tap(places: np.ndarray, weights: np.ndarray, axis: SampledAxis) -> Tap:
    inside = np.clip(places, 0, axis.source - 1).astype(int)
    return Tap(tuple(inside.tolist()), tuple(weights.tolist()))


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, Cubic convolution interpolation (1981), eq. 15, with a free coefficient."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


def _symmetric(place: np.ndarray, axis: SampledAxis) -> np.ndarray:
    share = axis.target / (axis.scale * axis.source)
    return axis.source / 2 * (1 - share) + (place + 0.5) / axis.scale - 0.5


COORDINATES: Mapping[str, Callable[[np.ndarray, SampledAxis], np.ndarray]] = {
    "half_pixel": lambda place, axis: (place + 0.5) / axis.scale - 0.5,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda place, axis: ((place + 0.5) / axis.scale - 0.5) * (axis.target > 1),
    "align_corners": lambda place, axis: place * (axis.source - 1) / max(axis.target - 1, 1),
    "asymmetric": lambda place, axis: place / axis.scale,
    "tf_half_pixel_for_nn": lambda place, axis: (place + 0.5) / axis.scale,
}
"""Output place -> place on the source, by the names of the ONNX operator"""
_ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda source: np.ceil(source.astype(np.float64) - 0.5),
    "round_prefer_ceil": lambda source: np.floor(source.astype(np.float64) + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
