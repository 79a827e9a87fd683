from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal

REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axes", [(1,), (0, -1), None])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduction_agrees_with_onnxruntime(name, axes, keepdims):
    x = np.abs(normal(2, 3, 4)) + 0.1
    check(f"Reduce{name}", x, *([] if axes is None else [np.array(axes, np.int64)]), keepdims=keepdims)
    older = {} if axes is None else {"axes": axes}
    check(f"Reduce{name}", x, opset=12, keepdims=keepdims, **older)


def test_reduction_without_axes_does_nothing_when_told():
    check("ReduceSum", normal(2, 3), noop_with_empty_axes=1)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
def test_cumulative_sum_agrees_with_onnxruntime(reverse, exclusive):
    check("CumSum", normal(3, 5), np.array(1, np.int64), reverse=reverse, exclusive=exclusive)


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((4,), (4,))]
)
@pytest.mark.parametrize("flowing", [(0, 1), (0,), (1,)])
def test_matrix_product_agrees_with_onnxruntime(shapes, flowing):
    check("MatMul", normal(*shapes[0]), normal(*shapes[1], seed=1), flowing=flowing)


@pytest.mark.parametrize("bias", [None, (), (5,), (1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"transA": 1, "alpha": 0.5, "beta": 2.0}])
def test_gemm_agrees_with_onnxruntime(bias, attributes):
    a = normal(4, 3) if attributes.get("transA") else normal(3, 4)
    b = normal(5, 4, seed=1) if attributes.get("transB") else normal(4, 5, seed=1)
    biases = [] if bias is None else [np.asarray(normal(*bias, seed=2), np.float32)]
    check("Gemm", a, b, *biases, **attributes)


def test_einsum_agrees_with_onnxruntime():
    check("Einsum", normal(2, 3, 4), normal(2, 4, 5, seed=1), flowing=(0, 1), equation="bij,bjk->bik")
