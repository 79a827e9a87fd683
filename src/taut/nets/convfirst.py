"""ConvFirstNet: Lavin, On the Efficiency of Convolutional Neural Networks (arXiv 2404.03617).

A block looks around first, in groups of eight channels, and then mixes channels: the one layer with a spatial
window reads the block's input, so that a fused kernel needs a halo of nothing else. Deviations: sized for
small pictures; batch norm, which becomes part of the convolution, and ReLU; an expansion of three, with which
a block costs less than ConvNeXt's of the same width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from taut.nets.base import NetSpec
from taut.train.recipe import Recipe

GROUP_WIDTH = 8
WIDTHS = (32, 64, 128, 256)
"""Of the four stages, each at half the resolution of the last"""
RECIPE = Recipe(epochs=6, lr=0.05, gradient_clip=1.0)
"""Minutes on two cores, the same for the net that it is compared with"""


class ConvFirst(nn.Module):
    """x + project(ReLU(expand(norm(grouped 3x3(x))))): (batch, channels, h, w) -> the same shape."""

    def __init__(self, channels: int, expansion: int = 3) -> None:
        super().__init__()
        hidden, groups = channels * expansion, channels // GROUP_WIDTH
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.expand(self.norm(self.spatial(x))).relu()
        y: Tensor = x + self.project(hidden)
        return y


class ConvFirstNet(nn.Module):
    """Stages, each behind a 2x2 convolution with stride 2: (batch, in, size, size) -> (batch, classes)."""

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = (1, 1, 1, 1),
        channels: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, depth in zip(widths, depths, strict=True):
            layers += [nn.Conv2d(channels, width, 2, 2, bias=False), nn.BatchNorm2d(width)]
            layers += [ConvFirst(width) for _ in range(depth)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        features = self.norm(self.features(image)).relu()
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


CONVFIRST_CIFAR10 = NetSpec("convfirst-cifar10", ConvFirstNet, (1, 3, 32, 32), "cifar10", RECIPE)
