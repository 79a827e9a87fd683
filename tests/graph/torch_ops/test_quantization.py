from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from operator_oracle import check, normal

from taut.graph.onnx_import import from_onnx
from taut.graph.to_torch import to_torch


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantize_agrees_with_onnxruntime(dtype):
    scale, zero_point = np.array(0.02, np.float32), np.array(3, dtype)
    check("QuantizeLinear", 3 * normal(4, 50), scale, zero_point, opset=21)


def test_quantize_without_zero_point_is_unsigned():
    check("QuantizeLinear", 3 * normal(4, 50), np.array(0.02, np.float32))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_takes_one_scale_per_channel(axis):
    channels = (3, 4, 5)[axis]
    scale = np.linspace(0.01, 0.05, channels, dtype=np.float32)
    check("QuantizeLinear", normal(3, 4, 5), scale, np.arange(channels, dtype=np.int8), axis=axis)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_dequantize_agrees_with_onnxruntime(dtype):
    whole = np.random.default_rng(0).integers(0, 100, (3, 4)).astype(dtype)
    zero_point = [] if dtype == np.int32 else [np.array(7, dtype)]
    check("DequantizeLinear", whole, np.array(0.03, np.float32), *zero_point)


def test_dequantize_takes_one_scale_per_channel():
    whole = np.random.default_rng(0).integers(-100, 100, (3, 4)).astype(np.int8)
    check("DequantizeLinear", whole, np.array([0.1, 0.2, 0.3], np.float32), np.zeros(3, np.int8), axis=0)


def _fake_quantized() -> onnx.ModelProto:
    return onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        net (float[2, 8] x) => (float[2, 8] y) <float scale = {0.1}, int8 zero = {0}> {
            whole = QuantizeLinear(x, scale, zero)
            y = DequantizeLinear(whole, scale, zero)
        }""")


def test_gradient_passes_rounding_and_stops_outside_the_range():
    module = to_torch(from_onnx(_fake_quantized()))
    x = torch.tensor([[-20.0, -12.0, -1.01, -0.3, 0.04, 1.2, 12.0, 20.0]] * 2, requires_grad=True)
    (y,) = module(x)
    y.sum().backward()
    assert torch.all((y.detach() / 0.1 - torch.round(y.detach() / 0.1)).abs() < 1e-4)
    assert x.grad is not None
    assert x.grad[0].tolist() == pytest.approx([0, 1, 1, 1, 1, 1, 1, 0], abs=1e-6)
