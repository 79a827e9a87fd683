"""ConvNeXt: Liu et al., A ConvNet for the 2020s (arXiv 2201.03545), section 2, for small pictures.

Deviations: the stem's patches are 2x2, as pictures are small; no layer scale and no stochastic depth, which
matter to deep networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from taut.nets.base import NetSpec
from taut.nets.convfirst import RECIPE, WIDTHS


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel: (batch, channels, h, w) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """x + project(GELU(expand(norm(depthwise 7x7(x))))): (batch, channels, h, w) -> the same shape."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels, eps=1e-6)
        self.expand = nn.Conv2d(channels, channels * expansion, 1)
        self.project = nn.Conv2d(channels * expansion, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.gelu(self.expand(self.norm(self.spatial(x))))
        y: Tensor = x + self.project(hidden)
        return y


class ConvNext(nn.Module):
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
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            down = nn.Conv2d(channels, width, 2, 2)
            layers += [down, ChannelNorm(width)] if stage == 0 else [ChannelNorm(channels), down]
            layers += [ConvNextBlock(width) for _ in range(depth)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.norm(self.features(image).mean(dim=(2, 3))))
        return logits


CONVNEXT_CIFAR10 = NetSpec("convnext-cifar10", ConvNext, (1, 3, 32, 32), "cifar10", RECIPE)
