"""Narrow arithmetic: quantized graphs come out as onnxruntime computes them, bfloat16 near to float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
from programs import TARGETS, needs_compiler, run_compiled

from taut.graph import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.shapes import with_shapes
from taut.kernels.dense import Dense
from taut.kernels.target import Target
from taut.moves.quantize.placement import place, quantizable_nodes
from taut.moves.quantize.qdq import AFFINE, WeightQuantizer, write_qdq
from taut.moves.quantize.schemes import QuantizationParameters, Scheme
from taut.runtimes.aot.lower import lower, prepared
from taut.runtimes.aot.program import Program, run_plainly

_STEP = 6 / 255
_FLOORED = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}


def _random(*shape: int) -> np.random.Generator:
    return np.random.default_rng(sum(shape))


def _noise(*shape: int) -> np.ndarray:
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 10
    return (_random(*shape).standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


def _conv(name: str, x: str, out: str, **attributes: object) -> Node:
    return Node(name, "Conv", (x, f"{name}_w", f"{name}_b"), (out,), attributes)


def everything() -> Graph:
    """Strided, grouped and depthwise convolutions, a residual, pools, a concatenation, carriers, products."""
    nodes = (
        _conv("stem", "x", "c1", pads=[1, 1, 1, 1], strides=[2, 2]),
        Node("relu1", "Relu", ("c1",), ("a1",)),
        _conv("depthwise", "a1", "c2", pads=[1, 1, 1, 1], group=10),
        Node("clip", "Clip", ("c2", "low", "high"), ("a2",)),
        _conv("pointwise", "a2", "c3"),
        Node("add", "Add", ("c3", "a1"), ("s",)),
        Node("relu2", "Relu", ("s",), ("a3",)),
        _conv("grouped", "a3", "c4", pads=[0, 1, 0, 1], group=2),
        Node("pool", "MaxPool", ("a3",), ("p",), {"kernel_shape": [3, 1]}),
        Node("concat", "Concat", ("p", "c4"), ("j",), {"axis": 1}),
        _conv("last", "j", "c5", dilations=[2, 1]),
        Node("gap", "GlobalAveragePool", ("c5",), ("g",)),
        Node("flatten", "Flatten", ("g",), ("f",)),
        Node("linear", "Gemm", ("f", "linear_w", "linear_b"), ("h",), {"transB": 1}),
        Node("relu3", "Relu", ("h",), ("h1",)),
        Node("matmul", "MatMul", ("h1", "matmul_w"), ("m",)),
        Node("bias", "Add", ("m", "matmul_b"), ("y",)),
    )
    shapes = {"stem": (10, 3, 3, 3), "depthwise": (10, 1, 3, 3), "pointwise": (10, 10, 1, 1)}
    shapes |= {"grouped": (6, 5, 3, 3), "last": (37, 16, 3, 3), "linear": (21, 37)}
    constants = {f"{name}_w": _noise(*shape) for name, shape in shapes.items()}
    constants |= {f"{name}_b": 0.3 * _noise(shape[0]) for name, shape in shapes.items()}
    constants |= {"matmul_w": _noise(21, 5), "matmul_b": _noise(5)}
    constants |= {"low": np.float32(0), "high": np.float32(6)}
    ends = Value("x", "float32", (1, 3, 19, 14)), Value("y", "float32", (1, 5))
    arrays = {name: np.asarray(array) for name, array in constants.items()}
    return with_shapes(Graph("everything", (ends[0],), (ends[1],), nodes, arrays, opsets={"": 17}))


def quantized(scheme: Scheme) -> Graph:
    """The same on integers, all activations in the range of three around zero."""
    graph = everything()
    nodes = quantizable_nodes(graph, "aot")
    assert {"stem", "depthwise", "grouped", "concat", "add", "linear", "matmul"} <= set(nodes)
    placement = place(graph, nodes, "aot")
    parameters: QuantizationParameters = scheme.parameters(np.array(-3.0), np.array(3.0))
    made = write_qdq(
        graph, placement, dict.fromkeys(placement.groups.values(), parameters), WeightQuantizer()
    )
    return with_shapes(made)


def _inputs(graph: Graph) -> list[np.ndarray]:
    shapes = [value.static_shape for value in graph.inputs]
    return [2 * _random(*shape).standard_normal(shape).astype(np.float32) for shape in shapes]


def _wanted(graph: Graph, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What onnxruntime computes without fusing pairs into kernels, which would round elsewhere."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString(), options)
    feed = {value.name: array for value, array in zip(graph.inputs, inputs, strict=True)}
    return np.asarray(session.run(None, feed)[0])


SCHEMES = {"unsigned": AFFINE, "signed": Scheme(8)}


@needs_compiler
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_quantized_graph_equals_onnxruntime(scheme: str, target: Target) -> None:
    graph = quantized(SCHEMES[scheme])
    program, inputs = lower(graph), _inputs(graph)
    made = run_compiled(program, inputs, target)[0]
    np.testing.assert_allclose(made, run_plainly(program, inputs)[0], atol=_STEP / 2)
    # One mean in 37 falls on a tie and is rounded the other way; the product behind it multiplies that.
    np.testing.assert_allclose(made, _wanted(graph, inputs).reshape(-1), atol=2 * _STEP)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_products_of_a_quantized_graph_are_of_integers(scheme: str) -> None:
    """But for depthwise ones, which are as quick on whole floats."""
    kernels = _kernels(lower(quantized(SCHEMES[scheme])))
    products = {name: [kernel for kernel in kernels if kernel.name == name] for name in ("conv", "matmul")}
    assert [len(found) for found in products.values()] == [4, 2]
    assert {kernel.precision for found in products.values() for kernel in found} == {"int8"}
    assert {kernel.precision for kernel in kernels if kernel.name == "depthwise"} == {"float32"}


def test_values_between_two_integer_kernels_are_bytes() -> None:
    """Pairs, pooling, concatenation and the residual leave no float but what a depthwise kernel reads."""
    kernels = _kernels(lower(quantized(AFFINE)))
    depthwise = {view.buffer for kernel in kernels if kernel.name == "depthwise" for view in kernel.reads}
    written = [view for kernel in kernels for view in kernel.writes if view.buffer not in depthwise]
    assert {view.shape for view in written if view.dtype == "float32"} == {(1, 5)}


_MOVES = {
    # Operator: its further inputs, attributes, the output's shape, kernels
    "Transpose": ((), {"perm": [1, 0, 3, 2]}, (4, 2, 5, 3), 2),
    "DepthToSpace": ((), {"blocksize": 2}, (2, 1, 6, 10), 3),
    "Tile": ((np.array([1, 2, 1, 1]),), {}, (2, 8, 3, 5), 3),
    "Resize": (("", np.array([1, 1, 2, 3], np.float32)), {"mode": "nearest", **_FLOORED}, (2, 4, 6, 15), 3),
    "Pad": ((np.array([0, 0, 1, 0, 0, 0, 0, 2]),), {}, (2, 4, 4, 7), 5),
}


@pytest.mark.parametrize("op", _MOVES)
def test_pairs_around_what_only_moves_elements_leave_codes(op: str) -> None:
    """Between the first kernel and the last, which are those of the ends, everything is a byte."""
    further, attributes, shape, kernels = _MOVES[op]
    constants = {f"further{place}": one for place, one in enumerate(further) if not isinstance(one, str)}
    names = tuple(
        f"further{place}" if f"further{place}" in constants else "" for place in range(len(further))
    )
    nodes = (
        Node("q", "QuantizeLinear", ("x", "s", "z"), ("c",)),
        Node("dq", "DequantizeLinear", ("c", "s", "z"), ("v",)),
        Node("move", op, ("v", *names), ("t",), attributes),
        Node("q2", "QuantizeLinear", ("t", "s", "z"), ("c2",)),
        Node("dq2", "DequantizeLinear", ("c2", "s", "z"), ("y",)),
    )
    constants |= {"s": np.asarray(np.float32(0.1)), "z": np.asarray(np.uint8(7))}
    ends = Value("x", "float32", (2, 4, 3, 5)), Value("y", "float32", shape)
    graph = with_shapes(Graph("moved", (ends[0],), (ends[1],), nodes, constants, opsets={"": 17}))
    program, inputs = lower(graph), _inputs(graph)
    assert [view.dtype for kernel in _kernels(program)[:-1] for view in kernel.writes] == ["uint8"] * (
        kernels - 1
    )
    np.testing.assert_allclose(run_plainly(program, inputs)[0], _wanted(graph, inputs).reshape(-1), atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_bfloat16_rounds_what_products_read_and_nothing_else(target: Target) -> None:
    graph = everything()
    program, inputs = lower(graph, "bfloat16"), _inputs(graph)
    kernels = [kernel for kernel in _kernels(program) if isinstance(kernel, Dense)]
    assert {kernel.precision for kernel in kernels} == {"bfloat16"}
    made = run_compiled(program, inputs, target)[0]
    wanted = _wanted(graph, inputs).reshape(-1)
    error = np.abs(made - wanted).max() / np.abs(wanted).max()
    assert 1e-5 < error < 2e-2


@needs_compiler
def test_weights_that_alone_are_quantized_are_restored_while_compiling() -> None:
    nodes = (
        Node("dq", "DequantizeLinear", ("w", "s", "z"), ("v",), {"axis": 0}),
        Node("conv", "Conv", ("x", "v"), ("y",)),
    )
    constants = {
        "w": _random().integers(-99, 99, (6, 3, 2, 2), np.int8),
        "s": _random().random(6, np.float32),
        "z": _random().integers(-9, 9, 6, np.int8),
    }
    ends = Value("x", "float32", (1, 3, 7, 7)), Value("y", "float32", (1, 6, 6, 6))
    graph = with_shapes(Graph("weights", (ends[0],), (ends[1],), nodes, constants, opsets={"": 17}))
    inputs = _inputs(graph)
    wanted = _wanted(graph, inputs).reshape(-1)
    made = run_compiled(lower(graph), inputs)[0]
    np.testing.assert_allclose(made, wanted, atol=1e-5 * np.abs(wanted).max())
    assert prepared(graph).constants["w"].dtype == np.int8


def _kernels(program: Program) -> list:  # type: ignore[type-arg]
    return [step.kernel for step in program.steps]
