from __future__ import annotations

import numpy as np
import onnx
import pytest
from operator_oracle import check, normal

UNARY = (
    *("Abs", "Neg", "Sign", "Reciprocal", "Exp", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Atan"),
    *("Sinh", "Cosh", "Asinh", "Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Mish", "HardSwish"),
    *("IsNaN", "IsInf", "Identity", "Selu", "Elu", "Celu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid"),
    *("Gelu", "Shrink"),
)


@pytest.mark.parametrize("op", UNARY)
def test_unary_agrees_with_onnxruntime(op):
    x = 3 * normal(2, 3, 5)
    x[0, 0, 0] = np.nan if op == "IsNaN" else 0.5
    check(op, x)


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Asin", "Acos", "Atanh"])
def test_function_of_the_unit_interval_agrees_with_onnxruntime(op):
    check(op, np.random.default_rng(0).uniform(0.05, 0.95, (2, 7)).astype(np.float32))


def test_acosh_agrees_with_onnxruntime():
    check("Acosh", 1 + np.abs(normal(2, 7)))


@pytest.mark.parametrize(
    "op", ["Add", "Sub", "Mul", "Div", "Equal", "Greater", "Less", "Min", "Max", "Sum", "Mean"]
)
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1), (4,), ()])
def test_binary_broadcasts_like_onnxruntime(op, shape):
    check(op, normal(2, 3, 4), normal(*shape, seed=1) if shape else np.array(0.7, np.float32), flowing=(0, 1))


@pytest.mark.parametrize("op", ["GreaterOrEqual", "LessOrEqual"])
def test_comparison_agrees_with_onnxruntime_on_equal_numbers(op):
    check(op, np.array([1, 2, 3], np.int64), np.array([2, 2, 2], np.int64), flowing=(0, 1))


@pytest.mark.parametrize("op", ["Min", "Max", "Sum", "Mean"])
def test_variadic_takes_three_inputs(op):
    check(op, *[normal(2, 3, seed=seed) for seed in range(3)], flowing=(0, 1, 2))


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic_agrees_with_onnxruntime(op):
    check(op, np.array([True, True, False, False]), np.array([True, False, True, False]), flowing=(0, 1))


def test_not_agrees_with_onnxruntime():
    check("Not", np.array([True, False]))


def test_integer_division_truncates():
    wanted = check("Div", np.array([7, -7, 7, -7], np.int64), np.array([2, 2, -2, -2], np.int64))
    assert wanted[0].tolist() == [3, -3, -3, 3]


@pytest.mark.parametrize("fmod", [0, 1])
def test_modulo_takes_the_named_sign(fmod):
    check("Mod", np.array([7, -7, 7, -7], np.int64), np.array([4, 4, -4, -4], np.int64), fmod=fmod)


def test_power_keeps_the_type_of_its_base():
    check("Pow", np.abs(normal(3, 4)), np.array(2, np.int64))
    check("Pow", np.array([2, 3], np.int64), np.array([3.0, 2.0], np.float32))


@pytest.mark.parametrize("bounds", [(-0.5, 0.5), (None, 0.5), (-0.5, None), (None, None)])
@pytest.mark.parametrize("is_fed", [True, False])
def test_clip_takes_bounds_as_inputs(bounds, is_fed):
    given = [None if bound is None else np.array(bound, np.float32) for bound in bounds]
    places = [place for place, bound in enumerate(bounds, start=1) if bound is not None]
    check("Clip", normal(3, 5), *given, flowing=(0, *places) if is_fed else (0,))


@pytest.mark.parametrize("bounds", [{"min": -0.5, "max": 0.5}, {"max": 0.5}, {}])
def test_clip_takes_bounds_as_attributes_before_opset_11(bounds):
    check("Clip", normal(3, 5), opset=10, **bounds)


@pytest.mark.parametrize("slope", [(1,), (4, 1, 1), (1, 4, 1, 1), (4, 5, 6), (6,), (1, 1, 1, 6)])
def test_prelu_broadcasts_its_slope(slope):
    check("PRelu", normal(2, 4, 5, 6), normal(*slope, seed=1))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_agrees_with_onnxruntime(approximate):
    check("Gelu", normal(4, 5), approximate=approximate)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {"alpha": 0.7}),
        ("Celu", {"alpha": 0.7}),
        ("ThresholdedRelu", {"alpha": 0.2}),
        ("Shrink", {"bias": 0.3, "lambd": 0.4}),
    ],
)
def test_activation_takes_its_settings(op, attributes):
    check(op, normal(4, 5), **attributes)


@pytest.mark.parametrize("to", ["float64", "int64", "int32", "uint8", "bool", "float16"])
def test_cast_agrees_with_onnxruntime(to):
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check("Cast", np.array([0.0, 1.7, 2.2, 100.9], np.float32), to=number)


def test_where_agrees_with_onnxruntime():
    condition = np.random.default_rng(0).random((3, 1)) > 0.5
    check("Where", condition, normal(3, 4), normal(4, seed=1), flowing=(0, 1, 2))


def test_dropout_passes_everything():
    check("Dropout", normal(3, 4), np.array(0.5, np.float32))


def test_selu_with_other_constants_agrees_with_onnxruntime():
    check("Selu", normal(4, 5), alpha=1.2, gamma=0.9)


@pytest.mark.parametrize("op", ["Softplus", "Exp"])
def test_large_arguments_do_not_lose_the_tail(op):
    check(op, np.array([-30.0, 21.0, 30.0], np.float32) / (1 if op == "Softplus" else 10))


def test_hardmax_stays_whole():
    check("Hardmax", normal(3, 4), is_opaque=True)


def test_type_without_kernels_stays_whole():
    numbers = np.array([1, 2, 3], np.uint32)
    check("Max", numbers, numbers[::-1].copy(), flowing=(0, 1), is_opaque=True)
