from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 4, 5)])
@pytest.mark.parametrize("opset", [11, 13, 15])
def test_batch_norm_in_evaluation_agrees_with_onnxruntime(shape, opset):
    scale, bias, mean = (normal(3, seed=seed) for seed in (1, 2, 3))
    check(
        "BatchNormalization",
        normal(*shape),
        scale,
        bias,
        mean,
        np.abs(normal(3, seed=4)),
        opset=opset,
        epsilon=1e-3,
    )


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("has_bias", [True, False])
def test_layer_norm_agrees_with_onnxruntime(axis, has_bias):
    sizes = (2, 3, 4)[axis:]
    check(
        "LayerNormalization",
        normal(2, 3, 4),
        *[normal(*sizes, seed=seed) for seed in range(1, 2 + has_bias)],
        axis=axis,
    )


def test_layer_norm_broadcasts_its_scale():
    check("LayerNormalization", normal(2, 3, 4), normal(1, seed=1), normal(1, seed=2), axis=-1)


def test_layer_norm_with_statistics_as_outputs_stays_whole():
    check("LayerNormalization", normal(2, 3), normal(3, seed=1), outputs=2, is_opaque=True)


def test_rms_norm_agrees_with_onnxruntime():
    check("RMSNormalization", normal(2, 3, 4), normal(4, seed=1), opset=23)


def test_instance_norm_agrees_with_onnxruntime():
    check("InstanceNormalization", normal(2, 3, 4, 5), normal(3, seed=1), normal(3, seed=2))


@pytest.mark.parametrize(("opset", "count"), [(18, 2), (21, 6)])
def test_group_norm_agrees_with_onnxruntime(opset, count):
    scale, bias = normal(count, seed=1), normal(count, seed=2)
    check("GroupNormalization", normal(2, 6, 4, 5), scale, bias, opset=opset, num_groups=2)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_norm_agrees_with_onnxruntime(p):
    x = normal(3, 4)
    x[1] = 0
    check("LpNormalization", x, axis=1, p=p)


def test_local_response_norm_agrees_with_onnxruntime():
    check("LRN", normal(2, 7, 3, 3), size=5, alpha=0.3, beta=0.6, bias=1.5)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
def test_softmax_agrees_with_onnxruntime(op, opset, axis):
    check(op, normal(2, 3, 4), opset=opset, **({} if axis is None else {"axis": axis}))
