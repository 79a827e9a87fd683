"""Kernels of the integer reference engine: plain numpy on integers, as sections 2.2-2.4 of arXiv 1712.05877.

A kernel takes arrays of codes (uint8 or int8) and returns codes. Everything real (scales, multipliers,
tables) was turned into integers when the kernel was made. Written to be read and compared with, not fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from taut.moves.quantize.fixed_point import FixedPoint


class Kernel(Protocol):
    """One step of an integer program."""

    def __call__(self, *codes: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Requantize:
    """Accumulator to codes: down-scale, add the zero point, saturate; a clamp is part of the cast."""

    multiplier: FixedPoint
    zero_point: int
    low: int
    high: int
    dtype: np.dtype

    def __call__(self, accumulator: np.ndarray) -> np.ndarray:
        codes = self.multiplier.multiply(accumulator) + self.zero_point
        return np.clip(codes, self.low, self.high).astype(self.dtype)


def integer_matmul(left: np.ndarray, right: np.ndarray, left_zero: int, right_zero: int) -> np.ndarray:
    """Return the int32 products of codes (..., m, k) and (..., k, n), zero points taken out (eq. 7).

    sum (q1 - Z1)(q2 - Z2) = sum q1 q2 - Z1 sum q2 - Z2 sum q1 + k Z1 Z2
    """
    depth = left.shape[-1]
    # 127 * 255 * 66,000 is just below 2^31.
    assert depth <= 66_000, f"a sum over {depth} products may leave 32 bits"
    left, right = left.astype(np.int32), right.astype(np.int32)
    product = np.einsum("...mk,...kn->...mn", left, right)
    if left_zero:
        product -= left_zero * right.sum(axis=-2, keepdims=True, dtype=np.int32)
    if right_zero:
        product -= right_zero * left.sum(axis=-1, keepdims=True, dtype=np.int32)
    return product + np.int32(depth * left_zero * right_zero)


@dataclass(frozen=True)
class Window:
    """A sliding window over (height, width)."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, left, bottom, right"""

    def patches(self, images: np.ndarray, padding: int) -> np.ndarray:
        """Return (batch, channels, rows, columns, kernel height, kernel width), the border filled up."""
        top, left, bottom, right = self.pads
        padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding)
        reach = [(size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True)]
        views = np.lib.stride_tricks.sliding_window_view(padded, tuple(reach), axis=(2, 3))
        (down, across), (row_step, column_step) = self.strides, self.dilations
        return views[:, :, ::down, ::across, ::row_step, ::column_step]


@dataclass(frozen=True, eq=False)
class Convolution:
    """im2col, then one matrix product per group; the border is filled with the zero point, not with 0."""

    weight: np.ndarray
    """(groups, channels out per group, taps)"""
    weight_zero: int
    bias: np.ndarray
    """int32 (channels out,)"""
    window: Window
    zero_point: int
    requantize: Requantize

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        patches = self.window.patches(codes[0], self.zero_point)
        batch, _, rows, columns, _, _ = patches.shape
        columns_of = patches.transpose(0, 1, 4, 5, 2, 3).reshape(
            batch, len(self.weight), self.weight.shape[-1], rows * columns
        )
        product = integer_matmul(self.weight, columns_of, self.weight_zero, self.zero_point)
        product = product.reshape(batch, -1, rows, columns)
        return self.requantize(product + self.bias.reshape(-1, 1, 1))


@dataclass(frozen=True, eq=False)
class Linear:
    """Codes (batch..., in) times a constant matrix (in, out), plus an int32 bias (out,)."""

    weight: np.ndarray
    weight_zero: int
    bias: np.ndarray
    zero_point: int
    requantize: Requantize

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        product = integer_matmul(codes[0], self.weight, self.zero_point, self.weight_zero)
        return self.requantize(product + self.bias)


@dataclass(frozen=True, eq=False)
class Product:
    """Two arrays of codes multiplied as matrices, or element by element."""

    is_matrix: bool
    zero_points: tuple[int, int]
    requantize: Requantize

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        left, right = codes
        if self.is_matrix:
            return self.requantize(integer_matmul(left, right, *self.zero_points))
        left_zero, right_zero = self.zero_points
        return self.requantize((left.astype(np.int32) - left_zero) * (right.astype(np.int32) - right_zero))


@dataclass(frozen=True, eq=False)
class Addition:
    """Both inputs rescaled to a common step of 20 more bits, added, and scaled down (section 2.4 and A.2)."""

    multipliers: tuple[FixedPoint, FixedPoint]
    zero_points: tuple[int, int]
    requantize: Requantize
    SHIFT = 20
    """Codes of 8 bits moved up by it stay within 32 bits"""

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        shifted = [
            multiplier.multiply((array.astype(np.int64) - zero_point) << self.SHIFT)
            for array, multiplier, zero_point in zip(codes, self.multipliers, self.zero_points, strict=True)
        ]
        return self.requantize(shifted[0] + shifted[1])

    @staticmethod
    def multipliers_of(
        scales: tuple[float, float], result: float
    ) -> tuple[tuple[FixedPoint, FixedPoint], float]:
        """Return the inputs' multipliers, below 1, and the real multiplier of their sum."""
        common = 2 * max(scales)
        inputs = (FixedPoint.of(scales[0] / common), FixedPoint.of(scales[1] / common))
        return inputs, common / (2**Addition.SHIFT * result)


@dataclass(frozen=True, eq=False)
class AveragePool:
    """Sum over each window, then one multiplier that holds the number of elements as well."""

    window: Window | None
    """None: all there is behind the channels"""
    zero_point: int
    requantize: Requantize
    keeps_axes: bool = True

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        centred = codes[0].astype(np.int32) - self.zero_point
        if self.window is None:
            axes = tuple(range(2, centred.ndim))
            return self.requantize(centred.sum(axis=axes, keepdims=self.keeps_axes, dtype=np.int32))
        patches = self.window.patches(centred, 0)
        return self.requantize(patches.sum(axis=(4, 5), dtype=np.int32))


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest code of each window; the border never wins."""

    window: Window

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        lowest = int(np.iinfo(codes[0].dtype).min)
        return self.window.patches(codes[0], lowest).max(axis=(4, 5))


@dataclass(frozen=True, eq=False)
class Rescale:
    """Codes of one scale to codes of another."""

    zero_point: int
    requantize: Requantize

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        return self.requantize(codes[0].astype(np.int32) - self.zero_point)


@dataclass(frozen=True, eq=False)
class Lookup:
    """Any function of one code, by table."""

    table: np.ndarray
    """Entry i is for the code ``lowest + i``"""
    lowest: int

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        return self.table[codes[0].astype(np.int64) - self.lowest]


@dataclass(frozen=True)
class Concatenation:
    """Codes of one scale side by side."""

    axis: int

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        return np.concatenate(codes, axis=self.axis)


@dataclass(frozen=True)
class Reshaping:
    """Another shape behind the batch."""

    shape: tuple[int, ...]

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        return codes[0].reshape(len(codes[0]), *self.shape)


@dataclass(frozen=True)
class Transposition:
    """Axes in another order."""

    order: tuple[int, ...]

    def __call__(self, *codes: np.ndarray) -> np.ndarray:
        return codes[0].transpose(self.order)
