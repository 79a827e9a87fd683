from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.moves.quantize.quantize_nets import (
    Sketch,
    context_in,
    images,
    network_of,
    noise_share,
    outputs_of,
    residual_net,
)

from taut.graph.verify import verify
from taut.moves.quantize.qdq import quantize_bias, with_room_for_bias
from taut.moves.quantize.ranges import MinMax, parameters_of
from taut.moves.quantize.schemes import PerChannel, PerTensor, Scheme
from taut.moves.quantize.static_int8 import StaticInt8


def test_bias_codes_stay_within_32_bits_where_a_channel_is_all_but_zero() -> None:
    weight = np.array([[1.0, -1.0], [1e-12, 0.0]], np.float32)
    bias, step = np.array([0.5, 0.5], np.float32), np.array(0.02, np.float32)
    plain = parameters_of(weight, Scheme(8, is_narrow=True), PerChannel(0), MinMax())
    roomy = with_room_for_bias(plain, step, bias)
    assert roomy.scale[0] == plain.scale[0] and roomy.scale[1] > plain.scale[1]
    codes = quantize_bias(bias, step * roomy.scale)
    assert np.abs(codes).max() <= 2**30 * 1.001
    np.testing.assert_allclose(codes * (step * roomy.scale), bias, rtol=1e-3)


def test_a_scale_for_the_whole_weight_makes_room_for_the_largest_bias() -> None:
    plain = parameters_of(np.full((2, 2), 1e-12, np.float32), Scheme(8), PerTensor(), MinMax())
    roomy = with_room_for_bias(plain, np.array(0.02, np.float32), np.array([0.5, -2.0], np.float32))
    assert roomy.scale.shape == () and 2.0 / (0.02 * roomy.scale) <= 2**30 * 1.001


def test_a_weight_that_two_layers_share_is_stored_once(tmp_path: Path) -> None:
    sketch = Sketch()
    x = sketch.conv("first", "image", (4, 4))
    x = sketch.node("second", "Conv", (x, "first.weight"), kernel_shape=[3, 3], pads=[1] * 4)
    graph = sketch.graph(x)
    moved = StaticInt8().apply(network_of(graph), context_in(tmp_path)).network.graph
    assert sum(array.dtype == np.int8 and array.ndim == 4 for array in moved.constants.values()) == 1
    assert noise_share(outputs_of(graph, images(4)), outputs_of(moved, images(4))) < 0.01


def test_shared_weights_with_different_biases_still_compute_right(tmp_path: Path) -> None:
    sketch = Sketch()
    x = sketch.conv("first", "image", (4, 4))
    bias = sketch.constant("other.bias", np.array([1, -1, 2, 0.5], np.float32))
    x = sketch.node("second", "Conv", (x, "first.weight", bias), kernel_shape=[3, 3], pads=[1] * 4)
    graph = sketch.graph(x)
    moved = StaticInt8().apply(network_of(graph), context_in(tmp_path)).network.graph
    assert noise_share(outputs_of(graph, images(4)), outputs_of(moved, images(4))) < 0.01


def test_a_value_that_is_output_and_read_on_keeps_its_name(tmp_path: Path) -> None:
    graph = residual_net()
    known = graph.value("relu1_out")
    assert known is not None
    both = replace(graph, outputs=(known, *graph.outputs))
    moved = StaticInt8().apply(network_of(both), context_in(tmp_path)).network.graph
    verify(moved, "int8")
    assert [value.name for value in moved.outputs] == ["relu1_out", "classifier_out"]
    assert noise_share(outputs_of(both, images(4)), outputs_of(moved, images(4))) < 0.01


def test_every_written_graph_is_sound(tmp_path: Path) -> None:
    for target in ("onnxruntime", "openvino", "integer"):
        moved = StaticInt8(target=target).apply(network_of(residual_net()), context_in(tmp_path))
        verify(moved.network.graph, "int8")
        assert moved.network.graph.value("relu1_out_codes") is not None
