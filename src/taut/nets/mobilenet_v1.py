"""MobileNet: Howard et al. (arXiv 1704.04861), table 1, for small images and of any size, as a graph.

Depthwise separable convolutions, each half with batch norm and ReLU6. Built as a graph right away, since an
export from torch takes longer than some experiments; ``to_torch`` makes it a module to train.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes


@dataclass(frozen=True)
class MobileNetSpec:
    """Sizes of a MobileNet.

    MobileNetSpec((3, 32, 32), stem=32, blocks=((64, 1), (128, 2)))    two blocks: channels and stride
    """

    image_shape: tuple[int, int, int]
    stem: int
    blocks: tuple[tuple[int, int], ...]
    classes: int = 10


def mobilenet_graph(spec: MobileNetSpec, seed: int = 0) -> Graph:
    """Return an untrained network: ``image`` (1, channels, height, width) -> ``logits`` (1, classes)."""
    build = _Build(np.random.default_rng(seed))
    value = build.unit("stem", "image", (spec.image_shape[0], spec.stem), kernel=3)
    channels = spec.stem
    for index, (width, stride) in enumerate(spec.blocks):
        name = f"block{index}"
        value = build.unit(f"{name}.depthwise", value, (channels, channels), 3, stride, group=channels)
        value = build.unit(f"{name}.pointwise", value, (channels, width), kernel=1)
        channels = width
    build.head(value, channels, spec.classes)
    image = Value("image", "float32", (1, *spec.image_shape))
    logits = Value("logits", "float32", (1, spec.classes))
    return with_shapes(Graph("mobilenet", (image,), (logits,), tuple(build.nodes), build.constants))


@dataclass
class _Build:
    """Nodes and constants so far."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def unit(
        self, name: str, value: str, channels: tuple[int, int], kernel: int, stride: int = 1, group: int = 1
    ) -> str:
        """Add convolution, batch norm and ReLU6; return what they yield."""
        shape = (channels[1], channels[0] // group, kernel, kernel)
        # He et al. (arXiv 1502.01852), over what reaches an output.
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = self._constant(f"{name}.weight", self.rng.normal(0, deviation, shape))
        attributes = {
            "kernel_shape": [kernel, kernel],
            "pads": [kernel // 2] * 4,
            "strides": [stride, stride],
            "group": group,
        }
        x = self._node(f"{name}.conv", "Conv", (value, weight), attributes)
        initial = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}
        statistics = [
            self._constant(f"{name}.norm.{role}", np.full(channels[1], number))
            for role, number in initial.items()
        ]
        x = self._node(f"{name}.norm", "BatchNormalization", (x, *statistics), {"epsilon": 1e-5})
        return self._node(f"{name}.relu6", "Clip", (x, *self._bounds()))

    def head(self, value: str, channels: int, classes: int) -> None:
        """Add pooling and the classifier, which yields ``logits``."""
        x = self._node("pool", "GlobalAveragePool", (value,))
        x = self._node("flatten", "Flatten", (x,))
        weight = self.rng.normal(0, channels**-0.5, (classes, channels))
        names = (self._constant("head.weight", weight), self._constant("head.bias", np.zeros(classes)))
        self.nodes.append(Node("head", "Gemm", (x, *names), ("logits",), {"transB": 1}))

    def _bounds(self) -> tuple[str, str]:
        return self._constant("zero", np.array(0.0)), self._constant("six", np.array(6.0))

    def _node(
        self, name: str, op: str, inputs: tuple[str, ...], attributes: dict[str, object] | None = None
    ) -> str:
        self.nodes.append(Node(name, op, inputs, (f"{name}.out",), attributes or {}))
        return f"{name}.out"

    def _constant(self, name: str, array: np.ndarray) -> str:
        self.constants[name] = np.asarray(array, np.float32)
        return name
