"""Small graphs with the shapes that placement has to deal with, and the context to quantize them in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from taut.core.device import Device
from taut.core.move import Context
from taut.core.network import MAIN, Network, Part
from taut.core.task import ArraySplit, Sealed, Task
from taut.graph import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.shapes import with_shapes

SIZE = 8


class Sketch:
    """Builds a graph from the image (1, 4, 8, 8) on; every method returns the name of a value."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Node] = []
        self._constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        self._constants[name] = array
        return name

    def node(self, name: str, op: str, inputs: tuple[str, ...], **attributes: object) -> str:
        self._nodes.append(Node(name, op, inputs, (f"{name}_out",), attributes))
        return f"{name}_out"

    def split(self, name: str, value: str) -> tuple[str, str]:
        halves = (f"{name}_first", f"{name}_second")
        self._nodes.append(Node(name, "Split", (value,), halves, {"axis": 1}))
        return halves

    def conv(
        self, name: str, value: str, channels: tuple[int, int], kernel: int = 3, **attributes: object
    ) -> str:
        groups = int(str(attributes.get("group", 1)))
        shape = (channels[1], channels[0] // groups, kernel, kernel)
        weight = self._rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        inputs = (
            value,
            self.constant(f"{name}.weight", weight.astype(np.float32)),
            self.constant(f"{name}.bias", self._rng.normal(0, 0.1, channels[1]).astype(np.float32)),
        )
        pads = [kernel // 2] * 4
        return self.node(name, "Conv", inputs, kernel_shape=[kernel, kernel], pads=pads, **attributes)

    def gemm(self, name: str, value: str, channels: tuple[int, int]) -> str:
        weight = self._rng.normal(0, channels[0] ** -0.5, channels[::-1]).astype(np.float32)
        bias = self._rng.normal(0, 0.1, channels[1]).astype(np.float32)
        inputs = (value, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias))
        return self.node(name, "Gemm", inputs, transB=1)

    def graph(self, *outputs: str) -> Graph:
        image = Value("image", "float32", (1, 4, SIZE, SIZE))
        ends = tuple(Value(name, "float32", None) for name in outputs)
        return with_shapes(
            Graph("sketch", (image,), ends, tuple(self._nodes), self._constants, opsets={"": 17})
        )


def residual_net(seed: int = 0) -> Graph:
    """Convolutions with Relu and Clip, a depthwise one, a shortcut, pooling, flatten and a classifier."""
    sketch = Sketch(seed)
    x = sketch.node("relu1", "Relu", (sketch.conv("conv1", "image", (4, 8)),))
    y = sketch.conv("depthwise", x, (8, 8), group=8)
    low = sketch.constant("low", np.array(0, np.float32))
    high = sketch.constant("high", np.array(6, np.float32))
    y = sketch.node("clip", "Clip", (y, low, high))
    y = sketch.conv("conv2", y, (8, 8), kernel=1)
    x = sketch.node("add", "Add", (x, y))
    x = sketch.node("pool", "MaxPool", (x,), kernel_shape=[2, 2], strides=[2, 2])
    x = sketch.node("relu3", "Relu", (sketch.conv("conv3", x, (8, 16)),))
    x = sketch.node("mean", "GlobalAveragePool", (x,))
    x = sketch.node("flatten", "Flatten", (x,))
    return sketch.graph(sketch.gemm("classifier", x, (16, 10)))


def concat_net(seed: int = 0) -> Graph:
    """Two branches of different range, joined by a concatenation."""
    sketch = Sketch(seed)
    left = sketch.conv("left", "image", (4, 4))
    right = sketch.node("relu", "Relu", (sketch.conv("right", "image", (4, 4)),))
    both = sketch.node("concat", "Concat", (left, right), axis=1)
    return sketch.graph(sketch.conv("last", both, (8, 4)))


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4, SIZE, SIZE)).astype(np.float32)


def network_of(graph: Graph) -> Network:
    return Network("sketch", {MAIN: Part(graph)})


def context_in(folder: Path, is_random: bool = False) -> Context:
    train, select = ArraySplit({"image": images(24)}), ArraySplit({"image": images(8, seed=1)})
    task = Task("images", train, select, Sealed(select), (), is_random=is_random, digest="images")
    return Context(task, Device("here", "f", "p", 2, 1, (), {}), folder)


def mixed_net(seed: int = 0) -> Graph:
    """Strided and dilated windows, products, tables, average pooling over a border, and changes of shape."""
    sketch = Sketch(seed)
    x = sketch.conv("strided", "image", (4, 6), strides=[2, 2])
    gate = sketch.node("sigmoid", "Sigmoid", (sketch.conv("gate", x, (6, 6), kernel=1),))
    x = sketch.node("mul", "Mul", (x, gate))
    x = sketch.node("pool", "AveragePool", (x,), kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    x = sketch.node("leaky", "LeakyRelu", (sketch.conv("grouped", x, (6, 6), group=2),), alpha=0.1)
    shift = sketch.constant("shift", np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 6, 1, 1))
    x = sketch.node("add", "Add", (x, shift))
    shape = sketch.constant("shape", np.array([1, 6, 16]))
    x = sketch.node("reshape", "Reshape", (x, shape))
    x = sketch.node("transpose", "Transpose", (x,), perm=[0, 2, 1])
    weight = sketch.constant(
        "matmul.weight", np.random.default_rng(seed).normal(size=(6, 5)).astype(np.float32)
    )
    x = sketch.node("matmul", "MatMul", (x, weight))
    bias = sketch.constant("matmul.bias", np.linspace(-2, 3, 5, dtype=np.float32))
    return sketch.graph(sketch.node("relu", "Relu", (sketch.node("bias", "Add", (bias, x)),)))


def matrix_net(seed: int = 0) -> Graph:
    """Three products of one value with matrices, of which two feed another product, and a Gemm behind."""
    rng = np.random.default_rng(seed)
    sketch = Sketch(seed)
    shape = sketch.constant("shape", np.array([1, 4, 64]))
    x = sketch.node("flat", "Reshape", ("image", shape))
    heads = [
        sketch.node(
            name,
            "MatMul",
            (x, sketch.constant(f"{name}.weight", rng.normal(0, 0.1, (64, 48)).astype(np.float32))),
        )
        for name in ("query", "key", "value")
    ]
    bias = sketch.constant("bias", rng.normal(size=48).astype(np.float32))
    keys = sketch.node("turn", "Transpose", (heads[1],), perm=[0, 2, 1])
    scores = sketch.node("softmax", "Softmax", (sketch.node("scores", "MatMul", (heads[0], keys)),), axis=-1)
    mixed = sketch.node("mix", "MatMul", (scores, sketch.node("add", "Add", (heads[2], bias))))
    mixed = sketch.node("rows", "Reshape", (mixed, sketch.constant("rows_shape", np.array([4, 48]))))
    return sketch.graph(sketch.gemm("out", mixed, (48, 8)))


def branching_net(seed: int = 0) -> Graph:
    """A split of channels, a branch, a concatenation and a nearest-neighbour resize: carriers of codes."""
    sketch = Sketch(seed)
    x = sketch.conv("conv1", "image", (4, 8))
    kept, worked = sketch.split("split", x)
    joined = sketch.node("join", "Concat", (sketch.conv("conv2", worked, (4, 4)), kept), axis=1)
    scales = sketch.constant("scales", np.array([1, 1, 2, 2], np.float32))
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    larger = sketch.node("enlarge", "Resize", (joined, "", scales), mode="nearest", **settings)
    return sketch.graph(sketch.conv("conv3", larger, (8, 4)))


def outputs_of(graph: Graph, batch: np.ndarray) -> np.ndarray:
    """What onnxruntime computes, image by image."""
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in batch])


def noise_share(wanted: np.ndarray, got: np.ndarray) -> float:
    """Power of the difference over that of the signal."""
    return float(((wanted - got) ** 2).sum() / (wanted**2).sum())


def optimized_operators(graph: Graph, folder: Path) -> Counter[str]:
    """Operators that onnxruntime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3  # it warns that the file is for this machine only
    onnxruntime.InferenceSession(to_onnx(graph).SerializeToString(), options)
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def swish_net(seed: int = 0) -> Graph:
    """HardSwish in both forms, and a gate of squeeze and excitation with a HardSigmoid."""
    sketch = Sketch(seed)
    three, six = (
        sketch.constant("three", np.array(3, np.float32)),
        sketch.constant("six", np.array([6], np.float32)),
    )
    zero = sketch.constant("zero", np.array(0, np.float32))
    x = sketch.conv("conv1", "image", (4, 8))
    clipped = sketch.node("clip", "Clip", (sketch.node("shift", "Add", (x, three)), zero, "six_scalar"))
    sketch.constant("six_scalar", np.array(6, np.float32))
    x = sketch.node("divide", "Div", (sketch.node("product", "Mul", (x, clipped)), six))
    x = sketch.node("swish", "HardSwish", (sketch.conv("conv2", x, (8, 8)),))
    squeezed = sketch.node("mean", "GlobalAveragePool", (x,))
    gate = sketch.node(
        "gate", "HardSigmoid", (sketch.conv("excite", squeezed, (8, 8), 1),), alpha=0.2, beta=0.5
    )
    return sketch.graph(sketch.conv("conv3", sketch.node("scale", "Mul", (x, gate)), (8, 4)))
