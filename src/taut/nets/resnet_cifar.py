"""ResNet-20/32/44/56 for 32x32 images: He et al., Deep Residual Learning (arXiv 1512.03385), section 4.2.

Deviation: projection shortcuts (1x1 convolution, option B) instead of zero padding, so that every shortcut
is an ordinary convolution that can be pruned and quantized. The shipped weights of ResNet-20 reach 83.7 on
the select split: they saw 20,000 images, re-encoded as JPEG, in 7,800 steps (the paper: all of CIFAR-10,
64,000 steps, 91.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taut.nets.base import NetSpec
from taut.train.recipe import Recipe


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (batch, in, h, w) -> (batch, out, h / stride, w / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNetCifar(nn.Module):
    """Three stages of ``blocks`` blocks with 16, 32, 64 channels: (batch, 3, 32, 32) -> (batch, classes)."""

    def __init__(self, blocks: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        stages, in_channels = [], 16
        for out_channels, stride in ((16, 1), (32, 2), (64, 2)):
            for index in range(blocks):
                stages.append(BasicBlock(in_channels, out_channels, stride if index == 0 else 1))
                in_channels = out_channels
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(64, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.conv(image)))
        features: Tensor = self.blocks(x).mean(dim=(2, 3))
        logits: Tensor = self.classifier(features)
        return logits


def resnet20(classes: int = 10) -> ResNetCifar:
    """ResNet-20: 0.27 M parameters, 41 M multiply-accumulates at 32x32."""
    return ResNetCifar(3, classes)


RESNET20_CIFAR10 = NetSpec(
    name="resnet20-cifar10",
    build=resnet20,
    input_shape=(1, 3, 32, 32),
    task="cifar10",
    recipe=Recipe(epochs=50, ema_decay=0.999),
    weights="resnet20-cifar10.safetensors",
)
