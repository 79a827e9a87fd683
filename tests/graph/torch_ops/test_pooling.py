from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from operator_oracle import check, normal

WINDOWS = [
    {"kernel_shape": [3, 3]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 4], "strides": [2, 3], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "strides": [3, 3], "auto_pad": "VALID"},
]


@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool_agrees_with_onnxruntime(window):
    check("MaxPool", normal(2, 3, 10, 11), **window)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_average_pool_agrees_with_onnxruntime(window, count_include_pad):
    check("AveragePool", normal(2, 3, 10, 11), count_include_pad=count_include_pad, **window)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("space", [(9,), (5, 6, 7)])
def test_pool_takes_one_and_three_dimensions(op, space):
    check(op, normal(1, 2, *space), kernel_shape=[3] * len(space), strides=[2] * len(space))


def test_max_pool_takes_dilation():
    check("MaxPool", normal(1, 2, 10, 11), kernel_shape=[3, 2], dilations=[2, 3])


def test_max_pool_with_places_stays_whole():
    check("MaxPool", normal(1, 2, 6, 6), kernel_shape=[2, 2], outputs=2, is_opaque=True)


def test_average_pool_with_dilation_stays_whole():
    check("AveragePool", normal(1, 2, 10, 11), kernel_shape=[3, 2], dilations=[2, 3], is_opaque=True)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("space", [(9,), (4, 5), (3, 4, 5)])
def test_global_pool_agrees_with_onnxruntime(op, space):
    check(op, normal(2, 3, *space))


@given(
    op=st.sampled_from(["MaxPool", "AveragePool"]),
    size=st.integers(3, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    ceil_mode=st.integers(0, 1),
)
def test_pool_agrees_with_onnxruntime_on_random_windows(op, size, kernel, stride, pads, ceil_mode):
    assume(max(pads) < kernel <= size)  # onnxruntime wants every window to touch the input
    window = {"kernel_shape": [kernel], "strides": [stride], "pads": list(pads), "ceil_mode": ceil_mode}
    check(op, normal(1, 2, size), **window)
