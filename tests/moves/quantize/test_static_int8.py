from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.moves.quantize.quantize_nets import (
    branching_net,
    concat_net,
    context_in,
    images,
    matrix_net,
    mixed_net,
    network_of,
    noise_share,
    optimized_operators,
    outputs_of,
    residual_net,
    swish_net,
)

from taut.core.errors import BadInput
from taut.core.move import move_to_json
from taut.graph import Graph
from taut.graph.onnx_export import to_onnx
from taut.moves.quantize.static_int8 import KIND, StaticInt8


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("make", [residual_net, swish_net, branching_net])
def test_outputs_stay_close_to_float(
    make: Callable[[], Graph], ranges: str, target: str, tmp_path: Path
) -> None:
    graph = make()
    moved = StaticInt8(None, target, ranges).apply(network_of(graph), context_in(tmp_path))
    assert noise_share(outputs_of(graph, images(8, 5)), outputs_of(moved.network.graph, images(8, 5))) < 0.01


def test_every_kernel_fuses_in_onnxruntime(tmp_path: Path) -> None:
    graph = residual_net()
    moved = StaticInt8().apply(network_of(graph), context_in(tmp_path))
    operators = optimized_operators(moved.network.graph, tmp_path)
    assert operators["QLinearConv"] == 4
    assert operators["QLinearAdd"] == operators["QLinearGlobalAveragePool"] == operators["QGemm"] == 1
    assert operators["QuantizeLinear"] == 1
    assert not operators.keys() & {"Conv", "Add", "Relu", "Clip", "Gemm", "GlobalAveragePool"}


def test_a_concatenation_fuses_in_onnxruntime(tmp_path: Path) -> None:
    moved = StaticInt8().apply(network_of(concat_net()), context_in(tmp_path))
    operators = optimized_operators(moved.network.graph, tmp_path)
    assert operators["QLinearConv"] == 3 and "Conv" not in operators
    assert operators["DequantizeLinear"] == 1


@pytest.mark.parametrize("make", [residual_net, concat_net, mixed_net, swish_net, matrix_net])
def test_no_weight_is_dequantized_at_run_time_in_onnxruntime(
    make: Callable[[], Graph], tmp_path: Path
) -> None:
    """A kernel that does not fuse would turn its weight into floats at every call."""
    moved = StaticInt8().apply(network_of(make()), context_in(tmp_path))
    optimized_operators(moved.network.graph, tmp_path)
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    assert not [
        node.name for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants
    ]


def test_convolutions_compute_in_8_bits_in_openvino(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    graph = residual_net()
    moved = StaticInt8(target="openvino").apply(network_of(graph), context_in(tmp_path)).network.graph
    onnx.save(to_onnx(moved), tmp_path / "net.onnx")
    compiled = openvino.Core().compile_model(
        tmp_path / "net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    kernels = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    precisions = {
        info["runtimePrecision"].astype(str)
        for info in kernels
        if info["layerType"].astype(str) == "Convolution"
    }
    assert precisions <= {"u8", "i8"} and precisions
    got = np.concatenate([compiled({"image": image[None]})[0] for image in images(8, 5)])
    assert noise_share(outputs_of(graph, images(8, 5)), got) < 0.01


def test_a_hard_swish_stays_on_integers_in_onnxruntime(tmp_path: Path) -> None:
    moved = StaticInt8().apply(network_of(swish_net()), context_in(tmp_path))
    operators = optimized_operators(moved.network.graph, tmp_path)
    assert operators["QLinearConv"] == 4 and operators["QLinearMul"] == operators["QLinearAdd"] == 3
    assert operators["QuantizeLinear"] == operators["DequantizeLinear"] == 1
    assert moved.names.new_names("shift") == ("clip",) and moved.names.new_names("divide") == ("product",)


def test_carriers_pass_codes_on_in_onnxruntime(tmp_path: Path) -> None:
    moved = StaticInt8().apply(network_of(branching_net()), context_in(tmp_path))
    operators = optimized_operators(moved.network.graph, tmp_path)
    assert operators["QLinearConv"] == 3 and operators["QLinearConcat"] == 1
    assert operators["QuantizeLinear"] == operators["DequantizeLinear"] == 1


def test_nodes_that_are_not_chosen_stay_float(tmp_path: Path) -> None:
    moved = StaticInt8(("conv3",)).apply(network_of(residual_net()), context_in(tmp_path))
    operators = optimized_operators(moved.network.graph, tmp_path)
    assert operators["QLinearConv"] == 1
    assert "conv1.weight" in moved.network.graph.constants


def test_weights_are_stored_as_int8_and_biases_as_int32(tmp_path: Path) -> None:
    moved = StaticInt8().apply(network_of(residual_net()), context_in(tmp_path))
    constants = moved.network.graph.constants
    weights = [array for array in constants.values() if array.ndim > 1]
    assert {str(array.dtype) for array in weights} == {"int8"}
    assert sum(array.dtype == np.int32 and array.size > 1 for array in constants.values()) >= 5
    assert not any(array.dtype == np.float32 and array.ndim > 1 for array in constants.values())


def test_the_original_is_left_as_it_is(tmp_path: Path) -> None:
    network = network_of(residual_net())
    before = network.graph.digest()
    StaticInt8().apply(network, context_in(tmp_path))
    assert network.graph.digest() == before


def test_one_calibration_serves_every_placement(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), context_in(tmp_path)
    StaticInt8().apply(network, context)
    (file,) = (tmp_path / "calibration").glob("*.npz")
    written = file.stat().st_mtime_ns
    StaticInt8(("conv3",), ranges="mse").apply(network, replace(context, task=_unreadable(context.task)))
    assert [file.stat().st_mtime_ns for file in (tmp_path / "calibration").glob("*.npz")] == [written]


def _unreadable(task: object) -> object:
    class Unreadable:
        has_targets = False

        def __len__(self) -> int:
            return 24

        def take(self, _indices: np.ndarray) -> object:
            raise AssertionError("the data were read again")

    return replace(task, train=Unreadable())  # type: ignore[type-var]


def test_the_test_split_is_not_opened(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    StaticInt8().apply(network_of(residual_net()), context)
    assert context.task.test.reader is None


def test_random_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="random inputs"):
        StaticInt8().apply(network_of(residual_net()), context_in(tmp_path, is_random=True))


def test_symmetric_activations_have_no_zero_point(tmp_path: Path) -> None:
    move = StaticInt8(target="openvino", is_symmetric=True)
    constants = move.apply(network_of(residual_net()), context_in(tmp_path)).network.graph.constants
    zero_points = [array for name, array in constants.items() if name.endswith("_zero_point")]
    assert len(zero_points) > 5 and not any(array.any() for array in zero_points)


def test_fewer_weight_bits_use_fewer_codes(tmp_path: Path) -> None:
    move = StaticInt8(weight_bits=4)
    constants = move.apply(network_of(residual_net()), context_in(tmp_path)).network.graph.constants
    codes = constants["conv3.weight_codes"]
    assert codes.min() >= -7 and codes.max() <= 7 and np.unique(codes).size > 10


def test_a_graph_of_opset_11_ends_up_loading(tmp_path: Path) -> None:
    old = replace(residual_net(), opsets={"": 11})
    moved = StaticInt8().apply(network_of(old), context_in(tmp_path))
    assert moved.network.graph.opsets[""] >= 13
    assert noise_share(outputs_of(old, images(4)), outputs_of(moved.network.graph, images(4))) < 0.01


def test_an_output_that_is_quantized_keeps_its_name(tmp_path: Path) -> None:
    moved = StaticInt8().apply(network_of(concat_net()), context_in(tmp_path))
    assert [value.name for value in moved.network.graph.outputs] == ["last_out"]


@pytest.mark.parametrize("setting", [{"target": "abacus"}, {"ranges": "guess"}])
def test_unknown_settings_are_refused(setting: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="one of"):
        StaticInt8(**setting)  # type: ignore[arg-type]


def test_moves_survive_json() -> None:
    move = StaticInt8(("conv1",), "openvino", "mse", is_symmetric=True)
    assert KIND.from_json(move_to_json(move)["settings"]) == move


def test_offers_are_whole_network_moves_for_installed_runtimes(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), context_in(tmp_path)
    offers = KIND.offers(
        network, replace(context, device=replace(context.device, runtimes={"onnxruntime": "1"}))
    )
    assert {offer.target for offer in offers} == {"onnxruntime"}
    assert KIND.offers(network, context_in(tmp_path, is_random=True)) == []
