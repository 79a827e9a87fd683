"""A small residual network for the 8x8 digits, trained in seconds: the one of the demonstration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taut.nets.base import NetSpec
from taut.nets.resnet_cifar import BasicBlock
from taut.train.recipe import Recipe


class DigitsCnn(nn.Module):
    """Stem, one residual block at 8x8, one at 4x4: (batch, 1, 8, 8) -> (batch, classes)."""

    def __init__(self, channels: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(BasicBlock(channels, channels, 1), BasicBlock(channels, 2 * channels, 2))
        self.classifier = nn.Linear(2 * channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.conv(image)))
        features: Tensor = self.blocks(x).mean(dim=(2, 3))
        logits: Tensor = self.classifier(features)
        return logits


DIGITS_CNN = NetSpec(
    name="digits-cnn",
    build=DigitsCnn,
    input_shape=(1, 1, 8, 8),
    task="digits",
    recipe=Recipe(epochs=10, batch_size=64, ema_decay=0.99),
)
