"""Operators: what we compile is what onnxruntime computes, over odd sizes and many attributes.

All cases are nodes of one graph, each with inputs and outputs of its own, so that the compiler runs once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from programs import needs_compiler, relative_error, run_compiled

from taut.graph import Graph, from_onnx
from taut.runtimes.aot.lower import lower, prepared
from taut.runtimes.aot.lowering import NotLowered
from taut.runtimes.aot.program import run_plainly

_TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
}


@dataclass(frozen=True)
class Case:
    """A node: what flows in (shapes, or arrays for constants), its attributes, how many outputs."""

    op: str
    inputs: Sequence[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    positive: bool = False
    """Inputs, where the operator is not defined elsewhere"""


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _unary() -> Iterator[Case]:
    names = (
        "Abs Ceil Cos Erf Exp Floor HardSwish Identity Neg Relu Round Sigmoid Sign Sin Softplus Softsign Tanh"
    )
    for op in (
        *names.split(),
        "Atan",
        "Elu",
        "Selu",
        "Celu",
        "LeakyRelu",
        "HardSigmoid",
        "Mish",
        "ThresholdedRelu",
    ):
        yield Case(op, [(3, 7, 5)])
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield Case(op, [(2, 19)], positive=True)
    yield Case("Gelu", [(2, 33)])
    yield Case("Gelu", [(2, 33)], {"approximate": "tanh"})
    yield Case("Elu", [(4,)], {"alpha": 0.3})
    yield Case("Celu", [(4,)], {"alpha": 0.3})
    yield Case("Clip", [(3, 5), np.float32(-0.5), np.float32(0.25)])
    yield Case("Clip", [(3, 5), "", np.float32(0.25)])
    yield Case("Cast", [(3, 5)], {"to": TensorProto.INT32})
    yield Case("Cast", [(3, 5)], {"to": TensorProto.BOOL})
    yield Case("Shrink", [(3, 5)], {"bias": 0.1, "lambd": 0.4})
    for power in (2.0, 3.0, 0.5, -1.0, 1.7):
        yield Case("Pow", [(3, 5), np.float32(power)], positive=True)


def _binary() -> Iterator[Case]:
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"):
        yield Case(op, [(2, 3, 5), (2, 3, 5)])
        yield Case(op, [(2, 3, 5), _noise(3, 1)])
    yield Case("Add", [(4, 1, 5), (3, 1)])
    yield Case("Mul", [(17,), np.float32(2.5)])
    yield Case("Pow", [(3, 5), (3, 5)], positive=True)
    yield Case("Sum", [(3, 5), (5,), (3, 1)])
    yield Case("Mean", [(3, 5), (5,), (3, 1)])
    for op in ("Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"):
        yield Case(op, [(3, 5), (5,)])
    yield Case("Where", [np.array([[True], [False], [True]]), (3, 5), (3, 5)])
    yield Case("Mod", [(3, 5), _noise(5)], {"fmod": 1})
    yield Case("BatchNormalization", [(2, 3, 5, 4), *[np.abs(_noise(3)) + 0.1 for _ in range(4)]])


def _moves() -> Iterator[Case]:
    yield Case("Transpose", [(2, 3, 5, 4)], {"perm": [0, 2, 3, 1]})
    yield Case("Transpose", [(2, 3, 5)])
    yield Case("Reshape", [(2, 3, 4), np.array([4, -1])])
    yield Case("Flatten", [(2, 3, 4)])
    yield Case("Squeeze", [(1, 3, 1), np.array([0])])
    yield Case("Unsqueeze", [(3, 4), np.array([0, 3])])
    yield Case("Expand", [(3, 1), np.array([2, 3, 5])])
    yield Case("Slice", [(7, 9), np.array([1, -1]), np.array([6, -8]), np.array([0, 1]), np.array([2, -3])])
    yield Case("Slice", [(7, 9), np.array([-3]), np.array([100]), np.array([1])])
    yield Case("Split", [(2, 7), np.array([3, 4])], {"axis": 1}, outputs=2)
    yield Case("Concat", [(2, 3, 4), (2, 1, 4), _noise(2, 2, 4)], {"axis": 1})
    yield Case("Concat", [(2, 3), (2, 5)], {"axis": -1})
    yield Case("Pad", [(2, 3, 4), np.array([0, 1, 2, 0, 0, 1]), np.float32(1.5)])
    yield Case("Pad", [(2, 5), np.array([0, -1, 0, -2])])
    yield Case("Tile", [(2, 3), np.array([2, 3])])
    yield Case("DepthToSpace", [(1, 8, 3, 2)], {"blocksize": 2})
    yield Case("DepthToSpace", [(1, 8, 3, 2)], {"blocksize": 2, "mode": "CRD"})
    yield Case("SpaceToDepth", [(1, 2, 6, 4)], {"blocksize": 2})
    yield Case("Gather", [(5, 4), np.array([[0, 2], [1, 3]])])
    yield Case("Gather", [(5, 4), np.array([3, -1, 0])], {"axis": 1})
    yield Case("Gather", [(5, 4, 3), np.array(2)], {"axis": 1})
    yield Case("GatherND", [(4, 3), np.array([[1], [3]])])
    yield Case("GatherND", [(4, 5), np.stack(np.meshgrid([1, 2], [0, 2, 4], indexing="ij"), axis=-1)])
    yield Case("ScatterND", [(4, 3), np.array([[1], [2]]), (2, 3)])
    yield Case("Resize", [(1, 3, 4, 5), "", np.array([1, 1, 2, 3], np.float32)])
    yield Case(
        "Resize",
        [(1, 3, 4, 5), "", np.array([1, 1, 2, 2], np.float32)],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    )


def _reductions() -> Iterator[Case]:
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"):
        yield Case(op, [(3, 5, 18), np.array([-1])])
        yield Case(op, [(3, 5, 18), np.array([0, 1])], {"keepdims": 0})
    yield Case("ReduceSumSquare", [(3, 40)])
    yield Case("ReduceLogSum", [(3, 40), np.array([1])], positive=True)
    yield Case("GlobalAveragePool", [(2, 5, 4, 3)])
    yield Case("GlobalMaxPool", [(2, 5, 4, 3)])
    for op in ("Softmax", "LogSoftmax"):
        yield Case(op, [(3, 37)])
        yield Case(op, [(3, 7, 5)], {"axis": 1})
    yield Case("LayerNormalization", [(2, 3, 20), _noise(20), _noise(20)])
    yield Case("LayerNormalization", [(2, 3, 20), _noise(3, 20)], {"axis": 1})
    yield Case("InstanceNormalization", [(2, 3, 5, 4), _noise(3), _noise(3)])
    yield Case("LpNormalization", [(3, 20)], {"axis": 1, "p": 2})


def _windows() -> Iterator[Case]:
    for shape, weight, attributes in (
        ((1, 3, 9, 7), (8, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((2, 4, 9, 8), (6, 2, 3, 5), {"group": 2, "strides": [2, 1], "pads": [0, 2, 1, 2]}),
        ((1, 5, 8, 8), (40, 5, 1, 1), {}),
        ((1, 18, 7, 9), (18, 1, 3, 3), {"group": 18, "pads": [1, 1, 1, 1], "dilations": [1, 1]}),
        ((1, 6, 11, 9), (6, 1, 3, 3), {"group": 6, "dilations": [2, 3], "strides": [1, 2]}),
        ((1, 4, 12), (7, 4, 5), {"pads": [4, 0], "dilations": [1]}),
        ((1, 3, 9, 9), (5, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((1, 3, 8, 9), (5, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
        ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), {"pads": [1, 0, 0, 0, 1, 1]}),
    ):
        yield Case("Conv", [shape, _noise(*weight), _noise(weight[0])], attributes)
    for shape, weight, attributes in (
        ((1, 3, 5, 4), (3, 6, 2, 2), {"strides": [2, 2]}),
        (
            (1, 4, 5, 4),
            (4, 3, 3, 3),
            {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "group": 2},
        ),
        ((1, 4, 1, 33), (4, 3, 1, 5), {"strides": [1, 2], "pads": [0, 2, 0, 2]}),
        ((2, 3, 6, 5), (3, 2, 3, 3), {"dilations": [2, 1]}),
        ((1, 3, 4), (3, 2, 2), {"strides": [3]}),
    ):
        channels = weight[1] * attributes.get("group", 1)
        yield Case("ConvTranspose", [shape, _noise(*weight), _noise(channels)], attributes)
    for op in ("MaxPool", "AveragePool"):
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [2, 3]})
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1})
    yield Case(
        "AveragePool", [(1, 2, 5, 5)], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    )


def _matrices() -> Iterator[Case]:
    yield Case("MatMul", [(2, 5, 7), _noise(7, 20)])
    yield Case("MatMul", [(2, 5, 7), (2, 7, 20)])
    yield Case("MatMul", [(3, 1, 5, 7), (2, 7, 4)])
    yield Case("MatMul", [_noise(6, 5), (2, 5, 9)])
    yield Case("MatMul", [(7,), _noise(7, 3)])
    yield Case("MatMul", [(4, 7), _noise(7)])
    yield Case("MatMul", [(2, 4, 7), _noise(2, 7, 3)])
    yield Case("Gemm", [(3, 7), _noise(20, 7), _noise(20)], {"transB": 1, "alpha": 0.5, "beta": 2.0})
    yield Case("Gemm", [(7, 3), _noise(7, 5)], {"transA": 1})
    yield Case("Gemm", [(3, 7), (5, 7)], {"transB": 1})


def _recurrent() -> Iterator[Case]:
    for op, gates, extra in (
        ("GRU", 3, {"linear_before_reset": 1}),
        ("GRU", 3, {}),
        ("LSTM", 4, {}),
        ("RNN", 1, {}),
    ):
        for direction, count in (("forward", 1), ("bidirectional", 2), ("reverse", 1)):
            hidden, width = 6, 5
            weights = [_noise(count, gates * hidden, width), _noise(count, gates * hidden, hidden)]
            bias = _noise(count, 2 * gates * hidden)
            attributes = {"hidden_size": hidden, "direction": direction, **extra}
            yield Case(op, [(7, 2, width), *weights, bias, "", (count, 2, hidden)], attributes, outputs=2)
    yield Case("LSTM", [(4, 1, 3), _noise(1, 80, 3), _noise(1, 80, 20)], {"hidden_size": 20}, outputs=3)


GROUPS = {
    "unary": _unary,
    "binary": _binary,
    "moves": _moves,
    "reductions": _reductions,
    "windows": _windows,
    "matrices": _matrices,
    "recurrent": _recurrent,
}


@dataclass(frozen=True)
class Bundle:
    """All cases of a group as one model, with inputs and what onnxruntime makes of them."""

    graph: Graph
    labels: tuple[str, ...]
    """Of each output"""
    inputs: tuple[np.ndarray, ...]
    wanted: tuple[np.ndarray, ...]


@cache
def bundle(group: str) -> Bundle:
    random = np.random.default_rng(3)
    nodes, given, constants, made, labels = [], [], [], [], []
    arrays: dict[str, np.ndarray] = {}
    for number, case in enumerate(GROUPS[group]()):
        names = []
        for place, one in enumerate(case.inputs):
            name = f"{case.op}_{number}_{place}"
            if isinstance(one, tuple):
                array = random.standard_normal(one).astype(np.float32)
                arrays[name] = np.abs(array) + 0.1 if case.positive else array
                given.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, one))
            elif isinstance(one, str):
                name = ""
            else:
                constants.append(numpy_helper.from_array(np.asarray(one), name))
            names.append(name)
        outputs = [f"{case.op}_{number}_out{place}" for place in range(case.outputs)]
        nodes.append(helper.make_node(case.op, names, outputs, f"{case.op}_{number}", **case.attributes))
        made += [onnx.ValueInfoProto(name=name) for name in outputs]
        labels += [f"{case.op} {case.attributes} {[np.shape(i) for i in case.inputs]}"] * case.outputs
    proto = helper.make_graph(nodes, group, given, made, constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, arrays)
    return Bundle(from_onnx(model), tuple(labels), tuple(arrays.values()), tuple(wanted))


@pytest.mark.parametrize("group", GROUPS)
def test_references_of_the_kernels_compute_what_onnxruntime_does(group: str) -> None:
    cases = bundle(group)
    _compare(cases, run_plainly(lower(cases.graph), cases.inputs))


@needs_compiler
@pytest.mark.parametrize("group", GROUPS)
def test_compiled_operators_compute_what_onnxruntime_does(group: str) -> None:
    cases = bundle(group)
    _compare(cases, run_compiled(lower(cases.graph), cases.inputs))


def _compare(cases: Bundle, made: Sequence[np.ndarray]) -> None:
    wrong = []
    for label, array, wanted in zip(cases.labels, made, cases.wanted, strict=True):
        assert array.size == wanted.size, label
        if relative_error(array, wanted) > 1e-5:
            wrong.append(label)
    assert not wrong


def test_a_node_that_no_kernel_computes_is_named() -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], "where")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))
    proto = helper.make_graph(
        [node], "net", [given], [helper.make_tensor_value_info("y", TensorProto.INT64, (2, 6))]
    )
    with pytest.raises(NotLowered, match="NonZero 'where'"):
        lower(from_onnx(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)])))


def test_operators_are_at_least_sixty() -> None:
    assert len({case.op for group in GROUPS.values() for case in group()}) >= 60
    assert prepared(bundle("binary").graph).outputs == bundle("binary").graph.outputs
