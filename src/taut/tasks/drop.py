"""How much worse a candidate is than the original, and how sure that is."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from taut.core.quantities import Better, Quantity
from taut.core.task import Metric

# The ends of a 95% interval then vary by about a twentieth of its width from seed to seed.
_RESAMPLES = 2000


class PairedDrop(NamedTuple):
    """How much worse a candidate is than the original on the same samples, with its interval."""

    mean: float
    low: float
    high: float
    samples_needed: int | None
    """Samples that would prove the drop to be within the limit if the mean stays; None if none would"""


def drop_quantity(metric: Metric) -> Quantity:
    """Return ``drop``: how much worse the main metric became, in its own unit."""
    return Quantity("drop", metric.unit, Better.LOWER, is_relative_allowed=False)


def paired_drop(
    original_per_sample: np.ndarray,
    candidate_per_sample: np.ndarray,
    metric: Metric,
    limit: float = math.inf,
    confidence: float = 0.95,
) -> PairedDrop:
    """Bootstrap the mean paired drop in the metric's unit; positive is worse, two-sided ``confidence``.

    Resampling alone calls a handful of equal samples proof. Two made-up samples, one each way at the
    widest difference there can be, keep the interval honest: with no difference in n samples it ends at
    about 3 widths / n, the rule of three. They do not move the mean.
    """
    assert original_per_sample.shape == candidate_per_sample.shape
    sign = 1.0 if metric.better is Better.HIGHER else -1.0
    drops = sign * (np.asarray(original_per_sample, float) - np.asarray(candidate_per_sample, float))
    width = 100.0 if metric.unit == "points" else float(np.abs(drops).max(initial=0))
    padded = np.array([*drops, width, -width])
    low, high = _bootstrap_interval(padded, confidence)
    mean = float(drops.mean())
    room = limit - mean
    return PairedDrop(mean, low, high, _samples_needed(float(padded.std()), room, confidence))


def _bootstrap_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _samples_needed(deviation: float, room: float, confidence: float) -> int | None:
    """Return how many samples make the half-width as small as the room that is left (normal interval)."""
    if room <= 0:
        return None
    half_width = NormalDist().inv_cdf((1 + confidence) / 2) * deviation
    return max(1, math.ceil((half_width / room) ** 2))
