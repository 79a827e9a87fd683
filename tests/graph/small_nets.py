"""Small graphs for the tests of this folder, and onnxruntime as the oracle of what a graph computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st

from taut.graph import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.onnx_import import from_onnx


def parse(text: str) -> Graph:
    """Build a graph from ONNX's textual form."""
    return from_onnx(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> {text}'))


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(graph: Graph, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime computes without optimising, so that a rewrite is compared with the plain graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = to_onnx(graph).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    wanted = [item.name for item in session.get_inputs()]
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: inputs[name] for name in wanted}), strict=True))


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    return {value.name: random_array(*value.static_shape, seed=seed) for value in graph.inputs}


def residual_net() -> Graph:
    """conv1-bn1-relu1-conv2-bn2-add(+relu1)-relu2-pool-flatten-fc on pictures of (1, 3, 8, 8)."""
    nodes = [
        Node("conv1", "Conv", ("image", "conv1.w"), ("c1",), {"pads": [1, 1, 1, 1]}),
        _batch_norm("bn1", "c1", "b1"),
        Node("relu1", "Relu", ("b1",), ("r1",)),
        Node("conv2", "Conv", ("r1", "conv2.w", "conv2.b"), ("c2",), {"pads": [1, 1, 1, 1]}),
        _batch_norm("bn2", "c2", "b2"),
        Node("add", "Add", ("b2", "r1"), ("sum",)),
        Node("relu2", "Relu", ("sum",), ("r2",)),
        Node("pool", "GlobalAveragePool", ("r2",), ("pooled",)),
        Node("flatten", "Flatten", ("pooled",), ("flat",), {"axis": 1}),
        Node("fc", "Gemm", ("flat", "fc.w", "fc.b"), ("logits",), {"transB": 1}),
    ]
    constants = {
        "conv1.w": random_array(4, 3, 3, 3, seed=1),
        "conv2.w": random_array(4, 4, 3, 3, seed=2),
        "conv2.b": random_array(4, seed=3),
        "fc.w": random_array(5, 4, seed=4),
        "fc.b": random_array(5, seed=5),
        **_batch_norm_constants("bn1", 4, seed=6),
        **_batch_norm_constants("bn2", 4, seed=7),
    }
    image = Value("image", "float32", (1, 3, 8, 8))
    return Graph("residual", (image,), (Value("logits", "float32", (1, 5)),), tuple(nodes), constants)


def _batch_norm(name: str, source: str, output: str) -> Node:
    statistics = (f"{name}.scale", f"{name}.bias", f"{name}.mean", f"{name}.var")
    return Node(name, "BatchNormalization", (source, *statistics), (output,), {"epsilon": 1e-3})


def _batch_norm_constants(name: str, channels: int, seed: int) -> dict[str, np.ndarray]:
    scale, bias, mean, spread = random_array(4, channels, seed=seed)
    return {
        f"{name}.scale": scale,
        f"{name}.bias": bias,
        f"{name}.mean": mean,
        f"{name}.var": np.abs(spread) + 0.5,
    }


@st.composite
def runnable_graphs(draw: st.DrawFn) -> Graph:
    """Graphs of elementwise nodes on (2, 3) with branches, constants, and one or two inputs and outputs."""
    inputs = [Value(f"in{place}", "float32", (2, 3)) for place in range(draw(st.integers(1, 2)))]
    constants = {f"const{place}": random_array(2, 3, seed=place) for place in range(2)}
    values = [value.name for value in inputs]
    nodes = []
    for place in range(draw(st.integers(1, 8))):
        op = draw(st.sampled_from(["Relu", "Neg", "Tanh", "Add", "Mul", "Sub", "Sum"]))
        count = {"Add": 2, "Mul": 2, "Sub": 2, "Sum": 3}.get(op, 1)
        sources = [draw(st.sampled_from(values[-3:] + list(constants))) for _ in range(count)]
        nodes.append(Node(f"node{place}", op, tuple(sources), (f"v{place}",)))
        values.append(f"v{place}")
    names = draw(st.lists(st.sampled_from(values[len(inputs) :]), min_size=1, max_size=2, unique=True))
    read = {name for node in nodes for name in node.inputs}
    return Graph(
        "random",
        tuple(inputs),
        tuple(Value(name, "float32", (2, 3)) for name in names),
        tuple(nodes),
        {name: array for name, array in constants.items() if name in read},
    )


DTYPES = [
    "float32",
    "float16",
    "bfloat16",
    "int4",
    "uint4",
    "int8",
    "int64",
    "bool",
    "float8_e4m3fn",
    "float64",
]
_sizes = st.one_of(st.integers(0, 3), st.sampled_from(["batch", "height"]), st.none())
_singles = st.floats(width=32, allow_nan=False)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Arrays of every element type that a network carries, scalars and empty ones among them."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        return np.full(shape, draw(st.text(max_size=5)), object)
    numbers = np.asarray(np.arange(math.prod(shape)).reshape(shape) % 2)
    return numbers.astype(onnx_dtype(draw(st.sampled_from(DTYPES))))


def onnx_dtype(name: str) -> np.dtype[Any]:
    """numpy's dtype of a name, ml_dtypes included."""
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, name))


_attributes = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    _singles,
    st.text(max_size=5),
    st.just(b"\xff\x00raw"),
    arrays(),
    st.lists(st.integers(-9, 9), max_size=3),
    st.lists(_singles, max_size=3),
    st.lists(st.text(max_size=3), max_size=3),
)


@st.composite
def odd_graphs(draw: st.DrawFn) -> Graph:
    """Graphs of custom operators with any attributes, absent inputs, dynamic shapes and any constants."""
    names = st.text("abc/.: é", min_size=1, max_size=4)
    constants = draw(st.dictionaries(names.map(lambda name: f"c {name}"), arrays(), max_size=3))
    inputs = [draw(values(f"in{place}")) for place in range(draw(st.integers(0, 2)))]
    readable = ["", *(value.name for value in inputs), *constants]
    nodes = []
    for place in range(draw(st.integers(1, 4))):
        sources = draw(st.lists(st.sampled_from(readable), max_size=3))
        outputs = (f"v{place}", "", f"w{place}")
        attributes = draw(st.dictionaries(names, _attributes, max_size=3))
        name = f"{draw(names)}{place}"
        nodes.append(Node(name, draw(names), tuple(sources), outputs, attributes, "some.domain"))
        readable += [f"v{place}", f"w{place}"]
    known = [draw(values(name)) for node in nodes[1:] for name in node.outputs if name]
    return Graph(
        "odd",
        tuple(inputs),
        (draw(values("v0")), draw(values("w0"))),
        tuple(nodes),
        constants,
        {value.name: value for value in known},
        {"": 20, "some.domain": 3},
        metadata=draw(st.dictionaries(names, names, max_size=2)),
    )


@st.composite
def values(draw: st.DrawFn, name: str) -> Value:
    shape = draw(st.none() | st.lists(_sizes, max_size=3).map(tuple))
    return Value(name, draw(st.sampled_from(DTYPES)), shape)
