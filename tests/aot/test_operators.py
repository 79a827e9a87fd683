"""Operators: what we compile is what onnxruntime computes, over odd sizes and many attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from cases import OPSET, Bundle, Case, Given, bundle, noise
from onnx import TensorProto
from programs import needs_compiler, run_compiled

from taut.runtimes.aot.lower import lower
from taut.runtimes.aot.program import run_plainly


def _whole(*shape: int, dtype: str = "int32", low: int = -9, high: int = 10) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


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
    for op in ("Tan", "Sinh", "Cosh", "Asinh", "Atan"):
        yield Case(op, [(3, 5)])
    for op in ("Asin", "Acos", "Atanh"):
        yield Case(op, [Given(np.linspace(-0.9, 0.9, 7, dtype=np.float32))])
    yield Case("Acosh", [Given(np.linspace(1.1, 9, 7, dtype=np.float32))])
    yield Case("Not", [Given(np.array([True, False]))])
    odd = Given(np.array([1, np.inf, -np.inf, np.nan], np.float32))
    yield Case("IsNaN", [odd])
    for settings in ({}, {"detect_negative": 0}, {"detect_positive": 0}):
        yield Case("IsInf", [odd], settings)
    yield Case("Clip", [Given(_whole(3, 5)), np.int32(-2), np.int32(3)])
    yield Case("Clip", [(3, 5), Given(np.array(-0.5, np.float32)), Given(np.array(0.5, np.float32))])
    yield Case("Clip", [(3, 5), "", Given(np.array(0.5, np.float32))])
    yield Case("Relu", [Given(_whole(3, 5))])
    yield Case("Neg", [Given(_whole(3, 5))])
    yield Case("Abs", [Given(_whole(3, 5, dtype="int64"))])
    yield Case("BitwiseNot", [Given(_whole(3, 5))])


def _casts() -> Iterator[Case]:
    """Among all types that C computes with; numbers that every type can hold."""
    types = {
        "float32": TensorProto.FLOAT,
        "float64": TensorProto.DOUBLE,
        "int8": TensorProto.INT8,
        "uint8": TensorProto.UINT8,
        "int16": TensorProto.INT16,
        "uint16": TensorProto.UINT16,
        "int32": TensorProto.INT32,
        "uint32": TensorProto.UINT32,
        "int64": TensorProto.INT64,
        "uint64": TensorProto.UINT64,
        "bool": TensorProto.BOOL,
    }
    for source in types:
        for target in types.values():
            yield Case("Cast", [Given(_whole(7, dtype=source, low=0, high=5))], {"to": target})
    yield Case("CastLike", [(3, 5), np.zeros(1, np.int64)])


def _binary() -> Iterator[Case]:
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"):
        yield Case(op, [(2, 3, 5), (2, 3, 5)])
        yield Case(op, [(2, 3, 5), noise(3, 1)])
    yield Case("Add", [(4, 1, 5), (3, 1)])
    yield Case("Mul", [(17,), np.float32(2.5)])
    yield Case("Pow", [(3, 5), (3, 5)], positive=True)
    yield Case("Sum", [(3, 5), (5,), (3, 1)])
    yield Case("Mean", [(3, 5), (5,), (3, 1)])
    for op in ("Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"):
        yield Case(op, [(3, 5), (5,)])
    yield Case("Where", [np.array([[True], [False], [True]]), (3, 5), (3, 5)])
    yield Case("Mod", [(3, 5), noise(5)], {"fmod": 1})
    for dtype in ("int32", "int64", "uint8"):
        low = 0 if dtype == "uint8" else -9
        x = Given(_whole(4, 5, dtype=dtype, low=low))
        y = Given(_whole(5, dtype=dtype, low=1))
        for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "Equal"):
            yield Case(op, [x, y])
        for settings in ({}, {"fmod": 1}):
            yield Case("Mod", [x, y], settings)
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            yield Case(op, [x, y])
    yield Case("Mod", [Given(_whole(4, 5)), Given(np.array([-3, 4, -5, 2, -1], np.int32))])
    for dtype in ("uint8", "uint32", "uint64"):
        shifts = [Given(_whole(4, 5, dtype=dtype, low=0)), Given(_whole(5, dtype=dtype, low=0, high=4))]
        for direction in ("LEFT", "RIGHT"):
            yield Case("BitShift", shifts, {"direction": direction})
    yield Case("Pow", [Given(_whole(4, 5)), Given(_whole(5, low=0, high=4))])
    yield Case("Pow", [Given(_whole(4, 5, dtype="int64")), np.int64(3)])
    yield Case("Pow", [(4, 5), Given(_whole(5, low=-2, high=4))], positive=True)
    masks = [Given(np.array([[True], [False]])), Given(np.array([True, False, True]))]
    for op in ("And", "Or", "Xor", "Equal"):
        yield Case(op, masks)
    yield Case("Where", [*masks, Given(np.array([False, True, True]))], is_by_definition=True)
    yield Case("Where", [masks[0], Given(_whole(2, 3)), Given(_whole(3))])
    doubles = [Given(noise(3, 4).astype(np.float64)), Given(noise(4).astype(np.float64))]
    yield Case("Mean", doubles, is_by_definition=True)
    yield Case("BatchNormalization", [(2, 3, 5, 4), *[np.abs(noise(3)) + 0.1 for _ in range(4)]])


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
    yield Case("Concat", [(2, 3, 4), (2, 1, 4), noise(2, 2, 4)], {"axis": 1})
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


def _pads() -> Iterator[Case]:
    for mode in ("reflect", "edge", "wrap", "constant"):
        yield Case("Pad", [(2, 3, 4), np.array([0, 2, 1, 1, 0, 3])], {"mode": mode})
        yield Case("Pad", [(5, 6), np.array([2, -1]), "", np.array([1])], {"mode": mode})
    yield Case("Pad", [(2, 5), np.array([1, -1, 0, -2]), np.float32(2)])
    yield Case("Pad", [Given(_whole(2, 5)), np.array([1, 0, 0, 2]), np.int32(7)])


def _indexing() -> Iterator[Case]:
    yield Case("Gather", [(5, 4), np.array([[0, 4], [1, 3]])])
    yield Case("Gather", [(3, 5, 4), np.array([4, 0, -1, 2])], {"axis": 1})
    yield Case("Gather", [(3, 5, 4), Given(np.array([[4], [0], [-1]]))], {"axis": 1})
    yield Case("Gather", [(3, 5), Given(np.array(1))], {"axis": 1})
    numbers = _whole(2, 5, dtype="int64", low=-3, high=3)
    yield Case("GatherElements", [(3, 6), numbers])
    yield Case("GatherElements", [(3, 6), Given(np.abs(numbers))], {"axis": 1})
    yield Case("GatherND", [(4, 3), Given(np.array([[1], [3], [-1]]))])
    yield Case("GatherND", [(4, 3, 2), np.array([[[3, 1]], [[0, 2]], [[1, 1]]])])
    yield Case("GatherND", [(2, 4, 3), Given(np.array([[[1], [3]], [[0], [-2]]]))], {"batch_dims": 1})
    yield Case("GatherND", [(2, 3, 4), Given(np.array([[[1, 2]], [[0, -2]]]))])
    for combine in ("none", "add", "mul", "max", "min"):
        settings = {"reduction": combine}
        yield Case("ScatterND", [(4, 3), np.array([[3], [0]]), (2, 3)], settings)
        yield Case("ScatterND", [(4, 3), Given(np.array([[3, 1], [0, 2], [-1, 0]])), (3,)], settings)
        changes = [(3, 6), Given(np.array([[0, 2, -1], [2, 0, 1]])), (2, 3)]
        yield Case("ScatterElements", changes, settings)
        yield Case("ScatterElements", changes, {"axis": 1, **settings})
    for axis in (-1, 0, 1):
        choices = [Given(np.array([[0, 3], [-1, 9]])), np.array(4), np.array([0.5, 2], np.float32)]
        yield Case("OneHot", choices, {"axis": axis})
    for upper, diagonal in ((1, 0), (0, 1), (1, -2)):
        yield Case("Trilu", [(2, 4, 5), np.array(diagonal)], {"upper": upper})
    yield Case("Trilu", [Given(_whole(4, 4))])
    yield Case("ReverseSequence", [(4, 3, 2), np.array([2, 4, 1])])
    yield Case("ReverseSequence", [(3, 4), np.array([2, 4, 1])], {"batch_axis": 0, "time_axis": 1})
    yield Case("EyeLike", [(3, 4)], {"k": 1})
    yield Case("ConstantOfShape", [np.array([2, 3])])
    yield Case("Range", [np.float32(1), np.float32(4), np.float32(0.5)])
    yield Case("Shape", [(3, 4, 5)], {"start": 1})
    yield Case("Size", [(3, 4, 5)])


def _ranks() -> Iterator[Case]:
    equals = Given(_whole(4, 9, low=0, high=4))
    for op in ("ArgMax", "ArgMin"):
        for settings in ({}, {"axis": 1, "keepdims": 0}, {"axis": -1, "select_last_index": 1}):
            yield Case(op, [(4, 9)], settings)
            yield Case(op, [equals], settings)
    for largest in (0, 1):
        yield Case("TopK", [(4, 9), np.array([3])], {"largest": largest}, outputs=2)
        yield Case("TopK", [equals, np.array([4])], {"largest": largest, "axis": 0}, outputs=2)
        yield Case("TopK", [equals, np.array([9])], {"largest": largest}, outputs=2)
    for settings in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
        yield Case("CumSum", [(3, 4, 5), np.array(1)], settings)
        yield Case("CumSum", [Given(_whole(6)), np.array(-1)], settings)
    yield Case("Hardmax", [(3, 4, 5)])
    yield Case("Hardmax", [(3, 4, 5)], {"axis": 1})


def _resizes() -> Iterator[Case]:
    coordinates = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    for transform in coordinates:
        settings = {"coordinate_transformation_mode": transform}
        for mode in ("nearest", "linear", "cubic"):
            for scales in ((1, 1, 2, 3), (1, 1, 0.6, 1.7)):
                inputs = [(2, 3, 5, 6), "", np.array(scales, np.float32)]
                yield Case("Resize", inputs, {"mode": mode, **settings})
            sizes = [(2, 3, 5, 6), "", "", np.array([2, 3, 7, 4])]
            yield Case("Resize", sizes, {"mode": mode, **settings})
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for transform in ("asymmetric", "tf_half_pixel_for_nn"):
            settings = {"nearest_mode": rounding, "coordinate_transformation_mode": transform}
            yield Case("Resize", [(1, 1, 4, 7), "", np.array([1, 1, 2.5, 2], np.float32)], settings)
    yield Case("Resize", [(1, 2, 4, 5), "", np.array([2, 3], np.float32)], {"axes": [2, 3]})
    yield Case("Resize", [(1, 2, 4, 5), "", "", np.array([9, 7])], {"axes": [3, 2], "mode": "linear"})
    outside = {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5}
    yield Case("Resize", [(1, 2, 4, 5), "", np.array([1, 1, 2.2, 0.7], np.float32)], outside)
    yield Case("Resize", [(1, 1, 10, 10), "", np.array([1, 1, 2.05, 2.05], np.float32)])
    yield Case("Resize", [(1, 2, 3, 40), "", np.array([1, 1, 2, 1], np.float32)], {"mode": "linear"})
    yield Case("Resize", [Given(_whole(1, 2, 3, 4)), "", np.array([1, 1, 2, 1.5], np.float32)])


def _old() -> Iterator[Case]:
    """Of opset 9."""
    for mode in ("nearest", "linear"):
        yield Case("Upsample", [(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32)], {"mode": mode})
        yield Case("Upsample", [(1, 2, 3, 4), np.array([1, 1, 1.5, 2.3], np.float32)], {"mode": mode})
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        yield Case(op, [(3, 4, 5)])
        yield Case(op, [(3, 4, 5)], {"axis": 0})
    yield Case("TopK", [(3, 4)], {"k": 2}, outputs=2)
    yield Case("Clip", [(3, 4)], {"min": -0.5})
    yield Case("Pad", [(2, 3)], {"pads": [0, 1, 2, 0], "mode": "edge"})
    yield Case("Slice", [(4, 5)], {"starts": [1, -3], "ends": [3, 9]})
    yield Case("Scatter", [(3, 3), np.array([[1, 0, 2]]), (1, 3)])
    yield Case("ReduceSum", [(3, 4)], {"axes": [1]})


def _new() -> Iterator[Case]:
    """Of opset 21."""
    for shape in ((2, 6, 5, 4), (2, 6, 7)):
        yield Case("GroupNormalization", [shape, noise(6), noise(6)], {"num_groups": 3})


def _einsums() -> Iterator[Case]:
    yield Case("Einsum", [(3, 4), (4, 5)], {"equation": "ij,jk->ik"})
    yield Case("Einsum", [(2, 3, 4), (2, 5, 4)], {"equation": "bik,bjk->bij"})
    yield Case("Einsum", [(2, 5, 3, 4), (2, 6, 3, 4)], {"equation": "bqhd,bkhd->bhqk"})
    yield Case("Einsum", [(2, 3, 5, 6), (2, 6, 3, 4)], {"equation": "bhqk,bkhd->bqhd"})
    yield Case("Einsum", [(3, 4), noise(4, 5)], {"equation": "ij,jk"})
    yield Case("Einsum", [(2, 3, 4)], {"equation": "bij->bji"})
    yield Case("Einsum", [(3, 4)], {"equation": "ij->i"})
    yield Case("Einsum", [(3, 4), (3, 4)], {"equation": "ij,ij->"})
    yield Case("Einsum", [(4, 4)], {"equation": "ii->i"})
    yield Case("Einsum", [(4, 4)], {"equation": "ii"})
    yield Case("Einsum", [(3,), (4,)], {"equation": "i,j->ij"})
    yield Case("Einsum", [(2, 3, 4), (4, 5)], {"equation": "...j,jk->...k"})
    yield Case("Einsum", [(1, 3, 4), (5, 4, 2)], {"equation": "...ij,...jk->...ik"})
    yield Case("Einsum", [(3, 4), (4, 5), (5, 2)], {"equation": "ij,jk,kl->il"})
    yield Case("Einsum", [(2, 3, 4), (2, 4, 5, 6)], {"equation": "bij,bjkl->bkil"})
    yield Case("Einsum", [(3, 4), (4, 5)], {"equation": "ij,jk->k"})


def _reductions() -> Iterator[Case]:
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"):
        yield Case(op, [(3, 5, 18), np.array([-1])])
        yield Case(op, [(3, 5, 18), np.array([0, 1])], {"keepdims": 0})
    yield Case("ReduceSumSquare", [(3, 40)])
    yield Case("ReduceLogSum", [(3, 40), np.array([1])], positive=True)
    yield Case("ReduceLogSumExp", [(3, 40), np.array([1])], {"keepdims": 0})
    yield Case("ReduceLogSumExp", [Given(1e3 * noise(3, 4, 5)), np.array([0, 2])])
    whole = Given(_whole(3, 4, 5))
    yield Case("ReduceProd", [Given(_whole(2, 5)), np.array([1])])
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1"):
        yield Case(op, [whole, np.array([1])])
        yield Case(op, [whole, np.array([0, 2])], {"keepdims": 0})
    yield Case("ReduceSumSquare", [whole, np.array([1])])
    yield Case("ReduceMax", [Given(_whole(3, 7, dtype="int8")), np.array([1])])
    yield Case("ReduceMin", [Given(_whole(3, 7, dtype="uint8", low=3)), np.array([1])])
    yield Case("ReduceSum", [Given(noise(3, 7).astype(np.float64)), np.array([1])])
    for order in (1, 2, 3):
        yield Case("GlobalLpPool", [(2, 5, 4, 3)], {"p": order})
    yield Case("GlobalAveragePool", [(2, 5, 4, 3)])
    yield Case("GlobalMaxPool", [(2, 5, 4, 3)])
    for op in ("Softmax", "LogSoftmax"):
        yield Case(op, [(3, 37)])
        yield Case(op, [(3, 7, 5)], {"axis": 1})
    yield Case("LayerNormalization", [(2, 3, 20), noise(20), noise(20)])
    yield Case("LayerNormalization", [(2, 3, 20), noise(3, 20)], {"axis": 1})
    yield Case("InstanceNormalization", [(2, 3, 5, 4), noise(3), noise(3)])
    yield Case("LpNormalization", [(3, 20)], {"axis": 1, "p": 2})
    yield Case("LpNormalization", [(3, 4, 20)], {"axis": 1, "p": 1})
    yield Case("LpNormalization", [Given(np.zeros((2, 3), np.float32))])
    yield Case("MeanVarianceNormalization", [(2, 3, 5, 4)])
    yield Case("MeanVarianceNormalization", [(2, 3, 5, 4)], {"axes": [1, 3]})
    for size in (1, 3, 5):
        yield Case("LRN", [(2, 7, 5, 4)], {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5})
    for shape in ((2, 6, 5, 4), (2, 6, 7)):
        yield Case("GroupNormalization", [shape, noise(3), noise(3)], {"num_groups": 3})


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
        yield Case("Conv", [shape, noise(*weight), noise(weight[0])], attributes)
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
        yield Case("ConvTranspose", [shape, noise(*weight), noise(channels)], attributes)
    for op in ("MaxPool", "AveragePool"):
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [2, 3]})
        yield Case(op, [(1, 5, 9, 8)], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1})
    yield Case(
        "AveragePool", [(1, 2, 5, 5)], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    )
    yield Case("MaxPool", [(1, 5, 9, 8)], {"kernel_shape": [3, 2], "dilations": [2, 3], "ceil_mode": 1})
    for order in (1, 2, 3):
        settings = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "p": order}
        yield Case("LpPool", [(2, 3, 7, 6)], settings)


def _matrices() -> Iterator[Case]:
    yield Case("MatMul", [(2, 5, 7), noise(7, 20)])
    yield Case("MatMul", [(2, 5, 7), (2, 7, 20)])
    yield Case("MatMul", [(3, 1, 5, 7), (2, 7, 4)])
    yield Case("MatMul", [noise(6, 5), (2, 5, 9)])
    yield Case("MatMul", [(7,), noise(7, 3)])
    yield Case("MatMul", [(4, 7), noise(7)])
    yield Case("MatMul", [(2, 4, 7), noise(2, 7, 3)])
    yield Case("Gemm", [(3, 7), noise(20, 7), noise(20)], {"transB": 1, "alpha": 0.5, "beta": 2.0})
    yield Case("Gemm", [(7, 3), noise(7, 5)], {"transA": 1})
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
            weights = [noise(count, gates * hidden, width), noise(count, gates * hidden, hidden)]
            bias = noise(count, 2 * gates * hidden)
            attributes = {"hidden_size": hidden, "direction": direction, **extra}
            yield Case(op, [(7, 2, width), *weights, bias, "", (count, 2, hidden)], attributes, outputs=2)
    yield Case("LSTM", [(4, 1, 3), noise(1, 80, 3), noise(1, 80, 20)], {"hidden_size": 20}, outputs=3)


@dataclass(frozen=True)
class Group:
    """Cases that are one model."""

    cases: Callable[[], Iterator[Case]]
    opset: int = OPSET


GROUPS = {
    "unary": Group(_unary),
    "casts": Group(_casts),
    "binary": Group(_binary),
    "moves": Group(_moves),
    "pads": Group(_pads),
    "indexing": Group(_indexing),
    "ranks": Group(_ranks),
    "resizes": Group(_resizes),
    "reductions": Group(_reductions),
    "windows": Group(_windows),
    "matrices": Group(_matrices),
    "einsums": Group(_einsums),
    "recurrent": Group(_recurrent),
    "old": Group(_old, 9),
    "new": Group(_new, 21),
}


@cache
def made(group: str) -> Bundle:
    return bundle(group, GROUPS[group].cases(), GROUPS[group].opset)


@pytest.mark.parametrize("group", GROUPS)
def test_references_of_the_kernels_compute_what_onnxruntime_does(group: str) -> None:
    cases = made(group)
    cases.compare(run_plainly(lower(cases.graph), cases.inputs))


@needs_compiler
@pytest.mark.parametrize("group", GROUPS)
def test_compiled_operators_compute_what_onnxruntime_does(group: str) -> None:
    cases = made(group)
    cases.compare(run_compiled(lower(cases.graph), cases.inputs))


def test_operators_are_at_least_a_hundred() -> None:
    assert len({case.op for group in GROUPS.values() for case in group.cases()}) >= 100
