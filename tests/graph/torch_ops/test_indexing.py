from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal


def ints(*numbers: object) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "places", [ints(0, 2), ints([1, -1], [0, 1]), np.array(1, np.int64), np.array(-1, np.int64)]
)
@pytest.mark.parametrize("flowing", [(0,), (0, 1), (1,)])
def test_gather_agrees_with_onnxruntime(axis, places, flowing):
    check("Gather", normal(3, 4, 5), places, flowing=flowing, axis=axis)


def test_embedding_agrees_with_onnxruntime():
    check("Gather", normal(10, 4), ints([1, 9], [-1, 3]), flowing=(1,))


@pytest.mark.parametrize("axis", [0, 1])
def test_gather_elements_agrees_with_onnxruntime(axis):
    check("GatherElements", normal(3, 3), ints([0, 2, 1], [-1, 0, 1]), axis=axis, flowing=(0, 1))


def test_gather_nd_agrees_with_onnxruntime():
    check("GatherND", normal(3, 4, 5), ints([0, 1], [2, -1]), flowing=(0, 1))


def test_gather_nd_with_batch_axes_stays_whole():
    check("GatherND", normal(2, 4, 5), ints([[1]], [[2]]), flowing=(0, 1), is_opaque=True, batch_dims=1)


@pytest.mark.parametrize("attributes", [{}, {"reduction": "add"}])
def test_scatter_nd_agrees_with_onnxruntime(attributes):
    places = ints([0, 1], [2, -1], [0, 1]) if attributes else ints([0, 1], [2, -1])
    check(
        "ScatterND", normal(3, 4, 5), places, normal(len(places), 5, seed=1), flowing=(0, 1, 2), **attributes
    )


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scatter_elements_agrees_with_onnxruntime(reduction, axis):
    places = ints([1, 0, -1], [2, 2, 0]) if reduction != "none" else ints([1, 0, -1], [2, 1, 0])
    updates = normal(2, 3, seed=1)
    check("ScatterElements", normal(3, 3), places, updates, flowing=(0, 1, 2), axis=axis, reduction=reduction)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_agrees_with_onnxruntime(axis):
    off_and_on = np.array([-1, 2], np.float32)
    check("OneHot", ints([0, 2], [-1, 1]), np.array(4, np.int64), off_and_on, axis=axis)


def test_nonzero_agrees_with_onnxruntime():
    check("NonZero", np.array([[0, 1.5, 0], [2, 0, 3]], np.float32))


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_agrees_with_onnxruntime(largest):
    check("TopK", normal(3, 7), ints(3), outputs=2, axis=1, largest=largest)
    check("TopK", normal(7, 2), opset=9, outputs=2, axis=0, k=3)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_arg_takes_the_first_of_equal_ones(op, keepdims):
    x = np.array([[1, 3, 3, 0, 0], [2, 2, 1, 1, 2]], np.float32)
    check(op, x, axis=1, keepdims=keepdims)


def test_arg_max_that_takes_the_last_stays_whole():
    check("ArgMax", normal(2, 3), axis=1, select_last_index=1, is_opaque=True)
