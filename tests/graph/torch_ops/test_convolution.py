from __future__ import annotations

import pytest
from operator_oracle import check, normal

CONVOLUTIONS = [
    ((1, 4, 9), (6, 4, 3), {"pads": [1, 1], "strides": [2]}),
    ((2, 4, 9, 8), (6, 4, 3, 3), {}),
    ((2, 4, 9, 8), (6, 4, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2]}),
    ((2, 4, 9, 8), (6, 4, 3, 2), {"pads": [0, 1, 2, 0]}),
    ((2, 4, 9, 8), (8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    ((2, 4, 9, 8), (6, 2, 3, 3), {"group": 2, "kernel_shape": [3, 3]}),
    ((2, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((2, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ((2, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "VALID"}),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"pads": [0, 1, 1, 1, 1, 1]}),
]


@pytest.mark.parametrize(("x", "weight", "attributes"), CONVOLUTIONS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_convolution_agrees_with_onnxruntime(x, weight, attributes, has_bias):
    bias = [normal(weight[0], seed=2)] if has_bias else []
    check("Conv", normal(*x), normal(*weight, seed=1), *bias, **attributes)


def test_convolution_takes_a_weight_from_data():
    check("Conv", normal(1, 2, 5, 5), normal(3, 2, 3, 3, seed=1), flowing=(0, 1))


TRANSPOSES = [
    ((2, 4, 5), (4, 3, 3), {"strides": [2]}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "pads": [0, 1, 1, 0], "output_padding": [1, 0]}),
    ((2, 4, 5, 6), (4, 2, 3, 3), {"group": 2, "dilations": [2, 1]}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 12]}),
    ((2, 4, 3, 3), (4, 3, 3, 3), {"strides": [3, 2], "output_shape": [10, 8]}),
    ((2, 4, 5, 6), (4, 3, 4, 4), {"strides": [2, 3], "auto_pad": "SAME_UPPER"}),
    ((2, 4, 5, 6), (4, 3, 4, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 4, 1, 33), (4, 4, 1, 5), {"strides": [1, 2], "pads": [0, 2, 0, 2], "group": 2}),
    ((1, 2, 3, 3, 3), (2, 2, 2, 2, 2), {"strides": [2, 2, 2]}),
]


@pytest.mark.parametrize(("x", "weight", "attributes"), TRANSPOSES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_transposed_convolution_agrees_with_onnxruntime(x, weight, attributes, has_bias):
    bias = [normal(weight[1] * attributes.get("group", 1), seed=2)] if has_bias else []
    check("ConvTranspose", normal(*x), normal(*weight, seed=1), *bias, **attributes)
