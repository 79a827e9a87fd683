"""A depthwise-separable network for small pictures, after MobileNet (Howard et al., arXiv 1704.04861).

A 3x3 stem, then blocks of depthwise 3x3 and pointwise 1x1, each with batch norm and ReLU; every layer but
the last can be pruned on its own, since nothing is added to anything. It is written as a graph: what is to
be pruned and trained as one needs no export from torch, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from taut.graph.ir import Graph, Node, Value
from taut.graph.shapes import with_shapes

Stage = tuple[int, int]
"""Channels out and stride of a block"""

FOR_32_PIXELS: tuple[Stage, ...] = (
    (48, 2),
    (64, 1),
    (96, 2),
    (96, 1),
    (96, 1),
    (96, 1),
    (160, 2),
    (160, 1),
    (160, 1),
)
"""Behind a stem of 32 channels: ten layers to prune, 5.7 M multiply-accumulates"""


def separable_cnn(
    stem: int = 32,
    blocks: Sequence[Stage] = FOR_32_PIXELS,
    picture: tuple[int, int, int] = (3, 32, 32),
    seed: int = 0,
) -> Graph:
    """Return an untrained network for ten classes: image (1, *picture) -> logits (1, 10)."""
    net = _Builder(np.random.default_rng(seed))
    data = net.layer("image", "stem", (stem, picture[0], 3, 3))
    channels = stem
    for place, (out_channels, stride) in enumerate(blocks):
        data = net.layer(data, f"depthwise{place}", (channels, 1, 3, 3), stride, groups=channels)
        data = net.layer(data, f"pointwise{place}", (out_channels, channels, 1, 1))
        channels = out_channels
    data = net.node("GlobalAveragePool", "pool", data)
    data = net.node("Flatten", "flatten", data, axis=1)
    weight = net.weight("classifier.weight", (10, channels))
    net.node("Gemm", "classifier", data, weight, net.vector("classifier.bias", 10, 0.0), transB=1)
    inputs, outputs = (Value("image", "float32", (1, *picture)),), (Value("classifier", "float32", (1, 10)),)
    return with_shapes(Graph("separable-cnn", inputs, outputs, tuple(net.nodes), net.constants))


@dataclass
class _Builder:
    """Nodes and constants so far; a node's output has the node's name."""

    random: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(Node(name, op, inputs, (name,), attributes))
        return name

    def layer(
        self, data: str, name: str, shape: tuple[int, int, int, int], stride: int = 1, groups: int = 1
    ) -> str:
        """Convolution that halves or keeps height and width, batch norm, ReLU."""
        weight = self.weight(f"{name}.weight", shape)
        pads, strides = [shape[2] // 2] * 4, [stride, stride]
        made = self.node("Conv", name, data, weight, group=groups, pads=pads, strides=strides)
        starts = {"scale": 1.0, "bias": 0.0, "mean": 0.0, "variance": 1.0}
        vectors = [self.vector(f"{name}.{part}", shape[0], start) for part, start in starts.items()]
        return self.node(
            "Relu", f"{name}.relu", self.node("BatchNormalization", f"{name}.norm", made, *vectors)
        )

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        """He et al. (arXiv 1502.01852): variance 2 / fan-in keeps the signal's size through ReLU."""
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        self.constants[name] = (deviation * self.random.standard_normal(shape)).astype(np.float32)
        return name

    def vector(self, name: str, size: int, value: float) -> str:
        self.constants[name] = np.full(size, value, np.float32)
        return name
