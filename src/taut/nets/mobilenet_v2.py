"""MobileNetV2: Sandler et al., Inverted Residuals and Linear Bottlenecks (arXiv 1801.04381), table 2.

For 32x32 images the stem and the first two stages keep their resolution (strides 1), as is usual for CIFAR.
The shipped weights of the half-width net reach 82.5 on the select split (20,000 images, re-encoded as JPEG).
"""

from __future__ import annotations

from torch import Tensor, nn

from taut.nets.base import NetSpec
from taut.train.recipe import Recipe

# expansion, output channels, blocks, stride at 224x224
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def scaled_channels(channels: int, width: float, divisor: int = 8) -> int:
    """Scale to the nearest multiple of ``divisor`` that is not more than 10% below (the authors' rule)."""
    scaled = channels * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution without bias, then batch norm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project; with a shortcut where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        layers = [] if expansion == 1 else [*conv_bn(in_channels, hidden, 1), nn.ReLU6()]
        layers += [*conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6()]
        layers += conv_bn(hidden, out_channels, 1)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
    """(batch, 3, size, size) -> (batch, classes)."""

    def __init__(
        self, width: float = 1.0, classes: int = 10, head_channels: int = 1280, is_small: bool = True
    ) -> None:
        super().__init__()
        channels = scaled_channels(32, width)
        layers = [*conv_bn(3, channels, 3, stride=1 if is_small else 2), nn.ReLU6()]
        for index, (expansion, base, blocks, stride) in enumerate(STAGES):
            out_channels = scaled_channels(base, width)
            first_stride = 1 if is_small and index < 2 else stride
            for block in range(blocks):
                layers.append(
                    InvertedResidual(channels, out_channels, first_stride if block == 0 else 1, expansion)
                )
                channels = out_channels
        layers += [*conv_bn(channels, head_channels, 1), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(head_channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(image).mean(dim=(2, 3)))
        return logits


def mobilenet_v2_half(classes: int = 10) -> MobileNetV2:
    """Half width for 32x32; the head has 320 channels: 1280 were sized for 1000 classes."""
    return MobileNetV2(0.5, classes, head_channels=320)


MOBILENET_V2_HALF_CIFAR10 = NetSpec(
    name="mobilenetv2-half-cifar10",
    build=mobilenet_v2_half,
    input_shape=(1, 3, 32, 32),
    task="cifar10",
    recipe=Recipe(epochs=40, batch_size=64, lr=0.05, ema_decay=0.999),
    weights="mobilenetv2-half-cifar10.safetensors.planes",
)
