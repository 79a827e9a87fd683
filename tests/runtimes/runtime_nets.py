"""Small networks for the tests of runtimes, and an oracle that no runtime under test has a part in."""

from __future__ import annotations

import numpy as np
import onnx.reference

from taut.core.network import Network, Part, Run, Stage
from taut.core.task import Arrays
from taut.graph.ir import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.shapes import with_shapes

OPSETS = {"": 19}


def conv_graph(channels: int = 8, size: int = 16) -> Graph:
    """Convolution, depthwise convolution, residual addition, pooling and a classifier."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = (
        Node("conv1", "Conv", ("image", "w1", "b1"), ("conv1_out",), {"pads": [1, 1, 1, 1]}),
        Node("relu1", "Relu", ("conv1_out",), ("relu1_out",)),
        Node("conv2", "Conv", ("relu1_out", "w2"), ("conv2_out",), {"pads": [1, 1, 1, 1], "group": channels}),
        Node("add", "Add", ("conv2_out", "relu1_out"), ("add_out",)),
        Node("pool", "GlobalAveragePool", ("add_out",), ("pool_out",)),
        Node("flatten", "Flatten", ("pool_out",), ("flat",)),
        Node("classifier", "Gemm", ("flat", "w3", "b3"), ("logits",)),
    )
    constants = {
        "w1": weight(channels, 3, 3, 3),
        "b1": weight(channels),
        "w2": weight(channels, 1, 3, 3),
        "w3": weight(channels, 10),
        "b3": weight(10),
    }
    image = Value("image", "float32", (1, 3, size, size))
    logits = Value("logits", "float32", (1, 10))
    return with_shapes(Graph("conv_net", (image,), (logits,), nodes, constants, opsets=OPSETS))


def image(size: int = 16, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"image": random.standard_normal((1, 3, size, size)).astype(np.float32)}


def streaming_graph() -> Graph:
    """A recurrent cell whose state is an input and an output: next = tanh(x W + state U), y = next V."""
    random = np.random.default_rng(1)
    constants = {name: random.standard_normal((4, 4)).astype(np.float32) for name in ("w", "u", "v")}
    nodes = (
        Node("input", "MatMul", ("x", "w"), ("xw",)),
        Node("state", "MatMul", ("state_in", "u"), ("su",)),
        Node("sum", "Add", ("xw", "su"), ("both",)),
        Node("tanh", "Tanh", ("both",), ("state_out",)),
        Node("output", "MatMul", ("state_out", "v"), ("y",)),
    )
    inputs = (Value("x", "float32", (1, 4)), Value("state_in", "float32", (1, 4)))
    outputs = (Value("y", "float32", (1, 4)), Value("state_out", "float32", (1, 4)))
    return with_shapes(Graph("streaming", inputs, outputs, nodes, constants, opsets=OPSETS))


def network(graph: Graph, *stages: Stage) -> Network:
    return Network(graph.name, {"main": Part(graph)}, run=Run(stages or (Stage(),)))


def streaming_network(*stages: Stage) -> Network:
    graph = streaming_graph()
    parts = {"main": Part(graph)}
    return Network("streaming", parts, run=Run(stages or (Stage(),)), feedback={"state_out": "state_in"})


def reference(graph: Graph, inputs: Arrays) -> dict[str, np.ndarray]:
    """Outputs by onnx's own reference implementation."""
    evaluator = onnx.reference.ReferenceEvaluator(to_onnx(graph))
    names = [value.name for value in graph.outputs]
    return dict(zip(names, evaluator.run(names, dict(inputs)), strict=True))


def quantized_graph() -> Graph:
    """A convolution between quantize and dequantize pairs, as static int8 placement writes it."""
    random = np.random.default_rng(2)
    constants = {
        "x_scale": np.float32(0.03),
        "y_scale": np.float32(0.05),
        "w_scale": np.float32(0.01),
        "x_zero": np.uint8(128),
        "y_zero": np.uint8(128),
        "w_zero": np.int8(0),
        "w8": random.integers(-100, 100, (8, 16, 3, 3), np.int8),
    }
    nodes = (
        Node("q_x", "QuantizeLinear", ("x", "x_scale", "x_zero"), ("x8",)),
        Node("dq_x", "DequantizeLinear", ("x8", "x_scale", "x_zero"), ("x_dq",)),
        Node("dq_w", "DequantizeLinear", ("w8", "w_scale", "w_zero"), ("w_dq",)),
        Node("conv", "Conv", ("x_dq", "w_dq"), ("c",), {"pads": [1, 1, 1, 1]}),
        Node("q_y", "QuantizeLinear", ("c", "y_scale", "y_zero"), ("y8",)),
        Node("dq_y", "DequantizeLinear", ("y8", "y_scale", "y_zero"), ("y",)),
    )
    ends = Value("x", "float32", (1, 16, 8, 8)), Value("y", "float32", (1, 8, 8, 8))
    arrays = {name: np.asarray(array) for name, array in constants.items()}
    return with_shapes(Graph("quantized", (ends[0],), (ends[1],), nodes, arrays, opsets=OPSETS))
