"""The sliding window that convolution and pooling share: kernel, strides, dilations and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Site

Sides = list[tuple[int, int]]
"""Padding before and after each spatial axis"""


@dataclass(frozen=True)
class Window:
    """One entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    auto_pad: str
    is_ceil: bool = False
    """Whether the last, incomplete window counts"""

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def is_same(self) -> bool:
        """Whether the padding follows from the size of the input."""
        return self.auto_pad.startswith("SAME")

    @property
    def reach(self) -> tuple[int, ...]:
        """Extent of the dilated kernel."""
        return tuple(
            dilation * (size - 1) + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)
        )

    @property
    def symmetric_pads(self) -> tuple[int, ...] | None:
        """The padding where it is fixed and the same on both sides, as torch's functions take it."""
        if self.is_same or self.begins != self.ends:
            return None
        return self.begins

    def pads_for(self, sizes: Sequence[int]) -> Sides:
        """Return the padding for an input of these spatial sizes."""
        if not self.is_same:
            return list(zip(self.begins, self.ends, strict=True))
        return [self._same(size, axis) for axis, size in enumerate(sizes)]

    def _same(self, size: int, axis: int) -> tuple[int, int]:
        """As much as makes the output the input over the stride; the odd one goes to the named side."""
        stride = self.strides[axis]
        total = max((-(-size // stride) - 1) * stride + self.reach[axis] - size, 0)
        smaller, larger = total // 2, total - total // 2
        return (smaller, larger) if self.auto_pad == "SAME_UPPER" else (larger, smaller)

    def overhang(self, sizes: Sequence[int]) -> Sides:
        """Return the padding that also fits the last window of ceil mode, or cuts what no window reaches."""
        sides = []
        for axis, (before, after) in enumerate(self.pads_for(sizes)):
            size, stride, reach = sizes[axis], self.strides[axis], self.reach[axis]
            room = size + before + after - reach
            count = (-(-room // stride) if self.is_ceil else room // stride) + 1
            if self.is_ceil and (count - 1) * stride >= size + before:
                count -= 1  # the last window would start in the padding
            sides.append((before, (count - 1) * stride + reach - size - before))
        return sides


def read_window(site: Site, kernel: Sequence[int]) -> Window:
    """Read the attributes that all windowed operators share."""
    rank, auto_pad = len(kernel), site.attribute("auto_pad", "NOTSET")
    pads = site.attribute("pads") if auto_pad == "NOTSET" else None
    pads = pads or [0] * (2 * rank)
    return Window(
        kernel=tuple(kernel),
        strides=tuple(site.attribute("strides", [1] * rank)),
        dilations=tuple(site.attribute("dilations", [1] * rank)),
        begins=tuple(pads[:rank]),
        ends=tuple(pads[rank:]),
        auto_pad=auto_pad,
        is_ceil=bool(site.attribute("ceil_mode", 0)),
    )


def pad_sides(x: Tensor, sides: Sides, value: float = 0.0) -> Tensor:
    """Pad (or cut, where negative) the spatial axes, which are the last ones."""
    flat = [amount for side in reversed(sides) for amount in side]
    return F.pad(x, flat, value=value) if any(flat) else x
