"""Windows of convolution and pooling: sizes, strides and what lies around the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taut.graph.ir import Node
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Border, text_of


@dataclass(frozen=True)
class Geometry:
    """Of each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Border

    @staticmethod
    def of(node: Node, kernel: Sequence[int], spatial: Sequence[int], out: Sequence[int]) -> Geometry:
        """Read a node's attributes; automatic padding follows from the sizes before and after."""
        rank = len(kernel)
        strides = tuple(node.attributes.get("strides") or [1] * rank)
        dilations = tuple(node.attributes.get("dilations") or [1] * rank)
        flat = node.attributes.get("pads") or [0] * (2 * rank)
        pads = [(flat[axis], flat[axis + rank]) for axis in range(rank)]
        automatic = text_of(node, "auto_pad", "NOTSET")
        if automatic.startswith("SAME"):
            pads = [
                _same(size, made, window, stride, dilation, automatic == "SAME_UPPER")
                for size, made, window, stride, dilation in zip(
                    spatial, out, kernel, strides, dilations, strict=True
                )
            ]
        return Geometry(tuple(kernel), strides, dilations, tuple(pads))

    def border(self, spatial: Sequence[int], out: Sequence[int]) -> Border:
        """What must lie around a value (batch, channels, spatial) for all windows to be inside."""
        reached = []
        for axis, (size, made) in enumerate(zip(spatial, out, strict=True)):
            before, _ = self.pads[axis]
            end = (made - 1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[axis] + 1
            reached.append((before, max(0, end - before - size)))
        return ((0, 0), (0, 0), *reached)

    def windows(self, value: View, out: Sequence[int]) -> View:
        """Return (batch, channels, places, window) of a value within its border."""
        for axis, places in enumerate(out):
            value = value.windows(
                axis + 2, places, self.kernel[axis], self.strides[axis], self.dilations[axis]
            )
        return value


def _same(size: int, made: int, window: int, stride: int, dilation: int, is_upper: bool) -> tuple[int, int]:
    total = max(0, (made - 1) * stride + (window - 1) * dilation + 1 - size)
    return (total // 2, total - total // 2) if is_upper else (total - total // 2, total // 2)
