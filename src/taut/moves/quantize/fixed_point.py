"""Multiplying an integer by a positive real with integers only (section 2.2 of arXiv 1712.05877).

The real multiplier is known when the network is quantized; it becomes M0 * 2^-n with M0 in [0.5, 1) kept as
a 32-bit fixed-point number. At run time: a rounding doubling high multiply, then a rounding right shift,
both as in gemmlowp, ties away from zero. One thing is added: bits that the accumulator leaves free are filled
by shifting it up first. Without it the first rounding, to whole numbers, pushes one result in 30 to the next
code where accumulators are small, as with 4-bit weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ONE = 1 << 31
# There every 32-bit value rounds to 0 already, and a larger shift would overflow 64 bits.
_LARGEST_SHIFT = 40


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """mantissa * 2^(left - right - 31); all broadcast against what is multiplied."""

    mantissa: np.ndarray
    """int64 within [2^30, 2^31)"""
    left: np.ndarray
    right: np.ndarray

    @staticmethod
    def of(real: np.ndarray | float, largest: int = _ONE - 1) -> FixedPoint:
        """Return the nearest multiplier of positive reals (eq. 6) for values of at most this magnitude."""
        fraction, exponent = np.frexp(np.asarray(real, np.float64))
        mantissa = np.rint(fraction * _ONE).astype(np.int64)
        is_one = mantissa == _ONE  # rounded up to 1.0, which is 0.5 * 2
        shift = np.minimum(-exponent.astype(np.int64) - is_one, _LARGEST_SHIFT)
        up = np.maximum(-shift, 0)
        free = np.maximum(31 - int(largest).bit_length() - up, 0)
        free = np.minimum(free, _LARGEST_SHIFT - np.maximum(shift, 0))
        return FixedPoint(np.where(is_one, _ONE // 2, mantissa), up + free, np.maximum(shift, 0) + free)

    def multiply(self, accumulator: np.ndarray) -> np.ndarray:
        """Return the rounded product with int32 values, as int64."""
        high = doubling_high_multiply(accumulator.astype(np.int64) << self.left, self.mantissa)
        return rounding_right_shift(high, self.right)


def doubling_high_multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return round(left * right / 2^31) of int64 values that fit in 32 bits, ties away from zero."""
    product = np.abs(left * right) + (_ONE >> 1)
    return np.sign(left) * np.sign(right) * (product >> 31)


def rounding_right_shift(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return round(values / 2^shift), ties away from zero."""
    remainder = values & ((1 << shift) - 1)
    threshold = ((1 << shift) >> 1) - 1 + (values < 0)
    return (values >> shift) + (remainder > np.maximum(threshold, 0))
