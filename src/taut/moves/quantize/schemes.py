"""Quantizers as value objects: which integers, how finely scales are kept, and the plain numpy reference.

A real number r is represented by an integer q through r = scale * (q - zero_point), eq. 1 of Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(arXiv 1712.05877). Everything else in this package that quantizes is tested against this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class Granularity(Protocol):
    """Which elements of a tensor share one scale: a *group*."""

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the scales of a tensor, as ONNX wants them."""
        ...

    def split(self, array: np.ndarray) -> np.ndarray:
        """Return the array as (groups, members); groups in the order of the raveled parameters."""
        ...

    def spread(self, parameters: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the parameters in a shape that broadcasts against the tensor."""
        ...


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole tensor."""

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002
        return ()

    def split(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(1, -1)

    def spread(self, parameters: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ARG002
        return parameters


@dataclass(frozen=True)
class PerChannel:
    """One scale per index of an axis; ``PerChannel(0)`` of a (16, 3, 3, 3) kernel has 16."""

    axis: int

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[self.axis],)

    def split(self, array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, self.axis, 0).reshape(array.shape[self.axis], -1)

    def spread(self, parameters: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        sizes = [1] * len(shape)
        sizes[self.axis] = shape[self.axis]
        return parameters.reshape(sizes)


@dataclass(frozen=True)
class PerGroup:
    """One scale per ``size`` neighbours along an axis, and per index of every other axis.

    ``PerGroup(32, axis=0)`` of a (64, 10) matrix has scales (2, 10). The axis must be whole groups.
    """

    size: int
    axis: int

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if shape[self.axis] % self.size:
            raise ValueError(f"axis {self.axis} of {shape} is not a whole number of groups of {self.size}")
        return tuple(
            size // self.size if axis == self.axis % len(shape) else size for axis, size in enumerate(shape)
        )

    def split(self, array: np.ndarray) -> np.ndarray:
        blocks = array.reshape(self._blocked(array.shape))
        return np.moveaxis(blocks, self.axis % array.ndim + 1, -1).reshape(-1, self.size)

    def spread(self, parameters: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.repeat(parameters, self.size, axis=self.axis % len(shape))

    def _blocked(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = self.axis % len(shape)
        return (*shape[:axis], self.parameter_shape(shape)[axis], self.size, *shape[axis + 1 :])


@dataclass(frozen=True)
class Scheme:
    """Which integers a range of reals is spread over.

    Scheme(8, is_signed=False, is_symmetric=False)    activations: 0..255, zero point anywhere
    Scheme(8, is_narrow=True)                         weights: -127..127, zero point 0
    """

    bits: int = 8
    is_signed: bool = True
    is_symmetric: bool = True
    """Zero point in the middle; otherwise wherever the range puts it"""
    is_narrow: bool = False
    """Leave out the lowest code, so that products of two codes pair up in 16 bits (section 2.3, B)"""

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"{self.bits} bits are not within 2..8")

    @property
    def low(self) -> int:
        return (-(2 ** (self.bits - 1)) if self.is_signed else 0) + self.is_narrow

    @property
    def high(self) -> int:
        return 2 ** (self.bits - 1) - 1 if self.is_signed else 2**self.bits - 1

    @property
    def dtype(self) -> np.dtype:
        """Storage type; fewer than 8 bits are kept one to a byte."""
        return np.dtype(np.int8 if self.is_signed else np.uint8)

    def parameters(
        self, minimum: np.ndarray, maximum: np.ndarray, granularity: Granularity | None = None
    ) -> QuantizationParameters:
        """Return scale and zero point that cover [minimum, maximum], nudged so that 0 is on the grid.

        The bounds have the granularity's parameter shape. A range without 0 is widened to it (section 3):
        padding and ReLU need an exact zero. A symmetric range covers the larger of the two bounds.
        """
        low = np.minimum(np.asarray(minimum, np.float64), 0.0)
        high = np.maximum(np.asarray(maximum, np.float64), 0.0)
        if self.is_symmetric:
            scale = _positive(np.maximum(-low, high) / (self.high - self._middle))
            zero_point = np.full(scale.shape, self._middle)
        else:
            scale = _positive((high - low) / (self.high - self.low))
            zero_point = np.clip(np.rint(self.low - low / scale), self.low, self.high)
        codes = np.asarray(zero_point, self.dtype)
        return QuantizationParameters(scale, codes, self, granularity or PerTensor())

    @property
    def _middle(self) -> int:
        return 0 if self.is_signed else 2 ** (self.bits - 1)


def _positive(scale: np.ndarray) -> np.ndarray:
    """Scales as float32; 1 where everything is zero."""
    # 1e-30: dividing an ordinary value by finer steps would overflow float32.
    return np.asarray(np.where(scale > 0, np.maximum(scale, 1e-30), 1.0), np.float32)


@dataclass(frozen=True, eq=False)
class QuantizationParameters:
    """Scale and zero point of a tensor, shaped as its granularity says.

    q = clip(round(r / scale) + zero_point, low, high)        round half to even, as ONNX
    r = scale * (q - zero_point)
    """

    scale: np.ndarray
    zero_point: np.ndarray
    scheme: Scheme
    granularity: Granularity = field(default_factory=PerTensor)

    @property
    def dtype(self) -> np.dtype:
        return self.scheme.dtype

    def quantize(self, array: np.ndarray) -> np.ndarray:
        """Return the codes of a float array, saturated."""
        scale, zero_point = self._spread(array.shape)
        codes = np.rint(array / scale) + zero_point
        return np.clip(codes, self.scheme.low, self.scheme.high).astype(self.dtype)

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """Return the float32 values of codes."""
        scale, zero_point = self._spread(codes.shape)
        return (codes.astype(np.int32) - zero_point).astype(np.float32) * scale

    def fake_quantize(self, array: np.ndarray) -> np.ndarray:
        """Return the nearest values on the grid."""
        return self.dequantize(self.quantize(array))

    @property
    def range(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value on the grid, per group."""
        zero_point = self.zero_point.astype(np.int32)
        return self.scale * (self.scheme.low - zero_point), self.scale * (self.scheme.high - zero_point)

    def is_same(self, other: QuantizationParameters) -> bool:
        """Whether equal codes mean equal values."""
        return (
            self.scheme == other.scheme
            and self.granularity == other.granularity
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def _spread(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        zero_point = self.zero_point.astype(np.int32)
        return self.granularity.spread(self.scale, shape), self.granularity.spread(zero_point, shape)
