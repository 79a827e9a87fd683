"""Small networks for the tests of pruning: a builder, hand-made nets with every kind of tie, random ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st

from taut.graph import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.shapes import with_shapes
from taut.moves.prune.groups import Channels, Role
from taut.moves.prune.trace import Layout


@dataclass
class Net:
    """Collects nodes; each method appends one and returns the name of its output."""

    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    """Types that onnx cannot infer"""

    def node(self, op: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        name = name or f"{op.lower()}{len(self.nodes)}"
        made = tuple(f"{name}_out{index}" for index in range(outputs))
        self.nodes.append(Node(name, op, inputs, made, attributes))
        return made[0] if outputs == 1 else made

    def constant(self, name: str, array: Any) -> str:
        self.constants[name] = np.asarray(array)
        return name

    def weight(self, name: str, *shape: int) -> str:
        rng = np.random.default_rng((self.seed, len(self.constants)))
        scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(name, (scale * rng.standard_normal(shape)).astype(np.float32))

    def conv(self, data: str, shape: tuple[int, int], name: str, groups: int = 1, kernel: int = 3) -> str:
        """Convolution (out, in / groups) that keeps height and width."""
        weight = self.weight(f"{name}.weight", *shape, kernel, kernel)
        pads = [kernel // 2] * 4
        made: str = self.node("Conv", data, weight, name=name, pads=pads, group=groups)
        return made

    def batch_norm(self, data: str, channels: int, name: str) -> str:
        names = [self.weight(f"{name}.{part}", channels) for part in ("scale", "bias", "mean")]
        variance = self.constant(f"{name}.var", np.abs(self.constants[names[0]]) + 0.5)
        made: str = self.node("BatchNormalization", data, *names, variance, name=name)
        return made

    def linear(self, data: str, inputs: int, outputs: int, name: str) -> str:
        weight, bias = self.weight(f"{name}.weight", outputs, inputs), self.weight(f"{name}.bias", outputs)
        made: str = self.node("Gemm", data, weight, bias, name=name, transB=1)
        return made

    def graph(self, output: str, shape: tuple[int, ...] = (1, 3, 6, 6), result: int = 5) -> Graph:
        inputs = (Value("image", "float32", shape),)
        outputs = (Value(output, "float32", (1, result)),)
        opsets = {"": 21}  # from 21 on GroupNormalization has a factor per channel
        nodes = tuple(self.nodes)
        return with_shapes(Graph("net", inputs, outputs, nodes, self.constants, self.values, opsets))


def run(graph: Graph, seed: int = 0) -> np.ndarray:
    """The first output for random inputs, by plain onnxruntime, after onnx checked the model."""
    model = to_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    feed = {value.name: rng.standard_normal(value.static_shape).astype(np.float32) for value in graph.inputs}
    first: np.ndarray = session.run(None, feed)[0]
    return first


def with_zeros(channels: Channels, units: dict[str, set[int]]) -> Channels:
    """The same channels with everything that makes or carries the given units set to zero."""
    constants = {name: array.copy() for name, array in channels.graph.constants.items()}
    for group in channels.groups:
        for cut in group.cuts:
            if cut.role is not Role.CONSUMES:
                lost = [place for unit in units.get(group.name, ()) for place in cut.positions[unit]]
                np.moveaxis(constants[cut.constant], cut.axis, 0)[lost] = 0
    return replace(channels, graph=replace(channels.graph, constants=constants))


@st.composite
def random_nets(draw: st.DrawFn) -> Graph:
    """Chains of one to three blocks of all kinds below, with one of two heads."""
    net = Net(draw(st.integers(0, 1000)))
    channels = 4 * draw(st.integers(1, 3))
    data = net.node("Relu", net.conv("image", (channels, 3), "stem"))
    for place in range(draw(st.integers(1, 3))):
        block = draw(st.sampled_from(_BLOCKS if channels % 2 == 0 else _BLOCKS_OF_ANY_WIDTH))
        data, channels = block(net, data, channels, f"block{place}", 4 * draw(st.integers(1, 3)))
    if draw(st.booleans()):
        flat = net.node("Flatten", data, axis=1)
        return net.graph(net.linear(flat, channels * 36, 5, "head"))
    pooled = net.node("GlobalAveragePool", data)
    target = net.constant("target", np.array([1, channels], np.int64))
    return net.graph(net.linear(net.node("Reshape", pooled, target), channels, 5, "head"))


def plain(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    made = net.conv(data, (out, channels), f"{name}.conv")
    return net.node("Relu", net.batch_norm(made, out, f"{name}.bn")), out


def residual(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    inner, _ = plain(net, data, channels, name, out)
    return net.node("Add", net.conv(inner, (channels, out), f"{name}.back"), data), channels


def joined(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    made, _ = plain(net, data, channels, name, out)
    return net.node("Concat", made, data, axis=1), channels + out


def depthwise(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    spread = net.conv(data, (2 * channels, 1), f"{name}.depthwise", groups=channels)
    return plain(net, net.node("Relu", spread), 2 * channels, name, out)


def grouped(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    return net.node("Relu", net.conv(data, (out, channels // 2), f"{name}.grouped", groups=2)), out


def gated(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    pooled = net.node("ReduceMean", data, net.constant(f"{name}.axes", np.array([2, 3])), keepdims=1)
    small = net.node("Relu", net.conv(pooled, (out, channels), f"{name}.squeeze", kernel=1))
    gate = net.node("Sigmoid", net.conv(small, (channels, out), f"{name}.excite", kernel=1))
    return net.node("Mul", data, gate), channels


def split_and_swapped(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    small = max(1, channels // 4)
    sizes = net.constant(f"{name}.sizes", np.array([small, channels - small]))
    first, second = net.node("Split", data, sizes, outputs=2, axis=1)
    made, _ = plain(net, first, small, name, out)
    return net.node("Concat", second, made, axis=1), channels - small + out


def shuffled(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    apart = net.constant(f"{name}.apart", np.array([1, 2, channels // 2, 6, 6]))
    swapped = net.node("Transpose", net.node("Reshape", data, apart), perm=[0, 2, 1, 3, 4])
    together = net.constant(f"{name}.together", np.array([1, channels, 6, 6]))
    return plain(net, net.node("Reshape", swapped, together), channels, name, out)


def sliced(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    bounds = [net.constant(f"{name}.{part}", np.array([at])) for part, at in (("start", 2), ("end", -1))]
    inner = net.node("Slice", data, *bounds, net.constant(f"{name}.axis", np.array([1])))
    return plain(net, inner, channels - 3, name, out)


def padded(net: Net, data: str, channels: int, name: str, out: int) -> tuple[str, int]:
    amounts = net.constant(f"{name}.amounts", np.array([0, 1, 0, 0, 0, out, 0, 0]))
    made, _ = plain(net, data, channels, name, channels + out + 1)
    return net.node("Add", net.node("Pad", data, amounts), made), channels + out + 1


_BLOCKS_OF_ANY_WIDTH = (plain, residual, joined, depthwise, gated, split_and_swapped, sliced, padded)
_BLOCKS = (*_BLOCKS_OF_ANY_WIDTH, grouped, shuffled)


def attention(heads: int = 4, width: int = 3) -> Graph:
    """One self-attention layer on 6 tokens of 8 features, with a residual, then a mean and a classifier."""
    net, features = Net(), heads * width
    split = net.constant("split", np.array([1, 6, heads, width]))
    parts = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        made = net.node("MatMul", "image", net.weight(f"{part}.weight", 8, features), name=part)
        made = net.node("Add", made, net.weight(f"{part}.bias", features))
        parts[part] = net.node("Transpose", net.node("Reshape", made, split), perm=order)
    scores = net.node("Softmax", net.node("MatMul", parts["query"], parts["key"]), axis=-1)
    mixed = net.node("Transpose", net.node("MatMul", scores, parts["value"]), perm=[0, 2, 1, 3])
    merged = net.node("Reshape", mixed, net.constant("merge", np.array([1, 6, features])))
    out = net.node("MatMul", merged, net.weight("out.weight", features, 8), name="out")
    pooled = net.node("ReduceMean", net.node("Add", out, "image"), net.constant("axes", [1]), keepdims=0)
    return net.graph(net.linear(pooled, 8, 5, "head"), shape=(1, 6, 8))


def fused_attention(heads: int = 4, width: int = 3) -> Graph:
    """The same with one matrix for query, key and value, whose heads are told apart by a reshape."""
    net, features = Net(), heads * width
    made = net.node("MatMul", "image", net.weight("qkv.weight", 8, 3 * features), name="query")
    apart = net.node("Reshape", made, net.constant("split", np.array([1, 6, 3, heads, width])))
    stacked = net.node("Transpose", apart, perm=[2, 0, 3, 1, 4])
    query, key, value = (
        net.node("Gather", stacked, net.constant(f"index{place}", np.array(place)), axis=0)
        for place in range(3)
    )
    turned = net.node("Transpose", key, perm=[0, 1, 3, 2])
    scores = net.node("Softmax", net.node("MatMul", query, turned), axis=-1)
    mixed = net.node("Transpose", net.node("MatMul", scores, value), perm=[0, 2, 1, 3])
    merged = net.node("Reshape", mixed, net.constant("merge", np.array([1, 6, features])))
    out = net.node("MatMul", merged, net.weight("out.weight", features, 8), name="out")
    pooled = net.node("ReduceMean", net.node("Add", out, "image"), net.constant("axes", [1]), keepdims=0)
    return net.graph(net.linear(pooled, 8, 5, "head"), shape=(1, 6, 8))


def with_transposed_convolution() -> Graph:
    """Upsampling by a transposed convolution, then by pixels (6 channels of 2x2), then by repetition."""
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    weight, bias = net.weight("up.weight", 8, 12, 2, 2), net.weight("up.bias", 12)
    data = net.node("Relu", net.node("ConvTranspose", data, weight, bias, name="up", strides=[2, 2]))
    data = net.node("DepthToSpace", net.conv(data, (24, 12), "pixels"), blocksize=2, mode="DCR")
    sizes = net.constant("sizes", np.array([1, 6, 48, 48]))
    data = net.node("Resize", data, "", "", sizes, mode="nearest")
    pooled = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    return net.graph(net.linear(pooled, 6, 5, "head"))


def with_computed_shape() -> Graph:
    """A flatten by a shape that is taken from the value itself, as exporters write it."""
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    batch = net.node("Gather", net.node("Shape", data), net.constant("first", np.array([0])), axis=0)
    target = net.node("Concat", batch, net.constant("rest", np.array([8 * 36])), axis=0)
    return net.graph(net.linear(net.node("Reshape", data, target), 8 * 36, 5, "head"))


def with_group_norm() -> Graph:
    """GroupNormalization of 4 groups, then the same spelled out with reshapes."""
    net = Net()
    data = net.conv("image", (8, 3), "stem")
    scale, bias = net.weight("norm.scale", 8), net.weight("norm.bias", 8)
    normed = net.node("GroupNormalization", data, scale, bias, num_groups=4)
    net.values[normed] = Value(normed, "float32", (1, 8, 6, 6))
    data = net.node("Relu", normed)
    data = net.conv(data, (8, 8), "second")
    grouped = net.node("Reshape", data, net.constant("apart", np.array([1, 4, -1])))
    ones = [net.constant(name, np.full(4, fill, np.float32)) for name, fill in (("ones", 1), ("none", 0))]
    normed = net.node("InstanceNormalization", grouped, *ones)
    data = net.node("Reshape", normed, net.constant("together", np.array([1, 8, 6, 6])))
    data = net.node("Mul", data, net.weight("factor", 8, 1, 1))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    return net.graph(net.linear(pooled, 8, 5, "head"))


def layouts_agree(channels: Channels, layout: Layout, name: str) -> bool:
    """Whether a tensor's recorded layout has its shape."""
    value = channels.graph.value(name)
    assert value is not None
    return all(
        axis is None or len(axis) == size for axis, size in zip(layout, value.static_shape, strict=True)
    )
