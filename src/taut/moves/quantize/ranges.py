"""Which range of reals to represent: the extremes, a percentile, or the least squared error.

A rule looks at a Distribution, which comes from an array of weights (exact) or from a Histogram filled over
many batches of activations (bounded memory). The simplification of the latter: a value counts as the
centre of its bin, and only an evenly strided sample of a large tensor is counted; extremes are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from taut.moves.quantize.schemes import Granularity, PerChannel, PerTensor, QuantizationParameters, Scheme

BINS = 2048
# Counting takes 10 ns an element; 65,536 fix the 99.99th percentile of one tensor to within 6 elements.
SAMPLED_ELEMENTS = 65_536


@dataclass(frozen=True, eq=False)
class Distribution:
    """What is known of the values to be quantized: arrays (groups,) and (groups, members)."""

    minimum: np.ndarray
    maximum: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    """How often each value occurs"""

    @staticmethod
    def of(array: np.ndarray, granularity: Granularity | None = None) -> Distribution:
        """Describe an array exactly."""
        values = (granularity or PerTensor()).split(array).astype(np.float64)
        ones = np.ones_like(values)
        return Distribution(values.min(axis=1), values.max(axis=1), values, ones)


@dataclass
class Histogram:
    """Counts over equal bins; when a value falls outside, pairs of bins merge and the range doubles."""

    minimum: float = np.inf
    maximum: float = -np.inf
    start: float = 0.0
    width: float = 0.0
    """Of one bin"""
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS))

    def observe(self, array: np.ndarray) -> None:
        """Count the finite values of a tensor."""
        values = np.asarray(array, np.float64 if array.dtype == np.float64 else np.float32).reshape(-1)
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            self.observe(values[np.isfinite(values)])
            return
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self._cover(low, high)
        self._count(values)

    def _count(self, values: np.ndarray) -> None:
        # An odd step does not fall in with the power-of-two strides of images and channels.
        step = max(1, values.size // SAMPLED_ELEMENTS) | 1
        sample = values[::step].astype(np.float64)
        bins = ((sample - self.start) / self.width).astype(np.int64)
        self.counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS) * (values.size / sample.size)

    def _cover(self, low: float, high: float) -> None:
        if self.width == 0.0:
            # 1e-12: a tensor that is constant so far
            self.start, self.width = low, max(high - low, abs(low) * 1e-6, 1e-12) / BINS
        while high > self.start + self.width * BINS:
            self.counts = np.concatenate([self._merged(), np.zeros(BINS // 2)])
            self.width *= 2
        while low < self.start:
            self.counts = np.concatenate([np.zeros(BINS // 2), self._merged()])
            self.start -= self.width * BINS
            self.width *= 2

    def _merged(self) -> np.ndarray:
        return self.counts.reshape(-1, 2).sum(axis=1)

    def distribution(self) -> Distribution:
        """Describe what was counted; a histogram that saw nothing is all zeros."""
        if self.width == 0.0:
            return Distribution.of(np.zeros(1))
        centres = self.start + self.width * (np.arange(BINS) + 0.5)
        values = np.clip(centres, self.minimum, self.maximum)[None]
        return Distribution(np.array([self.minimum]), np.array([self.maximum]), values, self.counts[None])

    def to_array(self) -> np.ndarray:
        """Return everything in one float64 array, for ``from_array``."""
        return np.concatenate([[self.minimum, self.maximum, self.start, self.width], self.counts])

    @staticmethod
    def from_array(array: np.ndarray) -> Histogram:
        minimum, maximum, start, width = (float(value) for value in array[:4])
        return Histogram(minimum, maximum, start, width, array[4:].copy())


class RangeRule(Protocol):
    """Chooses the range that a scheme shall represent."""

    def choose(self, seen: Distribution, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper bounds, one of each per group."""
        ...


@dataclass(frozen=True)
class MinMax:
    """Nothing saturates."""

    def choose(self, seen: Distribution, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        return seen.minimum, seen.maximum


@dataclass(frozen=True)
class Percentile:
    """Cut off the rarest values, half of them at each end."""

    percent: float = 99.99
    """Share of the values that stay inside"""

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise ValueError(f"percent {self.percent} is not within 50..100")

    def choose(self, seen: Distribution, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        tail = (100 - self.percent) / 200
        order = np.argsort(seen.values, axis=1)
        mass = np.cumsum(np.take_along_axis(seen.weights, order, axis=1), axis=1)
        total = mass[:, -1:]
        first = np.argmax(mass > tail * total, axis=1, keepdims=True)
        last = np.argmax(mass >= (1 - tail) * total, axis=1, keepdims=True)
        ends = np.take_along_axis(order, np.hstack([first, last]), axis=1)
        low, high = np.take_along_axis(seen.values, ends, axis=1).T
        return low, high


@dataclass(frozen=True)
class LeastSquares:
    """The shrunken range with the least squared error: what saturates against finer steps.

    Both bounds shrink by one ratio; the ratios tried are even steps from 1 down to ``smallest_ratio``.
    """

    candidates: int = 40
    smallest_ratio: float = 0.2

    def choose(self, seen: Distribution, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
        ratios = np.linspace(1.0, self.smallest_ratio, self.candidates)
        errors = np.stack([_squared_error(seen, scheme, ratio) for ratio in ratios])
        best = ratios[errors.argmin(axis=0)]
        return best * seen.minimum, best * seen.maximum


def _squared_error(seen: Distribution, scheme: Scheme, ratio: float) -> np.ndarray:
    parameters = scheme.parameters(ratio * seen.minimum, ratio * seen.maximum, PerChannel(0))
    error = parameters.fake_quantize(seen.values) - seen.values
    return (seen.weights * error**2).sum(axis=1)


def parameters_of(
    array: np.ndarray, scheme: Scheme, granularity: Granularity, rule: RangeRule
) -> QuantizationParameters:
    """Return the parameters that a rule chooses for an array such as a weight."""
    low, high = rule.choose(Distribution.of(array, granularity), scheme)
    shape = granularity.parameter_shape(array.shape)
    return scheme.parameters(low.reshape(shape), high.reshape(shape), granularity)
