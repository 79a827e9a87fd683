from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.moves.quantize.quantize_nets import (
    context_in,
    images,
    matrix_net,
    network_of,
    noise_share,
    optimized_operators,
    outputs_of,
    residual_net,
)

from taut.core.errors import BadInput
from taut.core.move import move_to_json
from taut.graph.verify import verify
from taut.moves.quantize.dynamic_int8 import KIND, DynamicInt8, matrix_nodes


@pytest.mark.parametrize("is_per_channel", [True, False])
def test_outputs_stay_close_to_float(is_per_channel: bool, tmp_path: Path) -> None:
    graph = matrix_net()
    moved = DynamicInt8(is_per_channel=is_per_channel).apply(network_of(graph), context_in(tmp_path))
    verify(moved.network.graph, "dynamic int8")
    assert noise_share(outputs_of(graph, images(4)), outputs_of(moved.network.graph, images(4))) < 0.01


def test_every_product_with_a_constant_matrix_becomes_one_kernel(tmp_path: Path) -> None:
    graph = matrix_net()
    assert matrix_nodes(graph) == ("query", "key", "value", "out")
    moved = DynamicInt8().apply(network_of(graph), context_in(tmp_path)).network.graph
    operators = optimized_operators(moved, tmp_path)
    # Three products read one value, which is quantized once; that of the last one is fused with it.
    assert operators["MatMulIntegerToFloat"] == 3 and operators["DynamicQuantizeMatMul"] == 1
    assert operators["DynamicQuantizeLinear"] == 1 and "Cast" not in operators


def test_nodes_that_are_not_chosen_keep_their_weights(tmp_path: Path) -> None:
    moved = DynamicInt8(("out",)).apply(network_of(matrix_net()), context_in(tmp_path)).network.graph
    assert moved.constants["query.weight"].dtype == np.float32
    assert {str(array.dtype) for name, array in moved.constants.items() if name.startswith("out")} >= {"int8"}


def test_it_works_without_real_inputs(tmp_path: Path) -> None:
    context = context_in(tmp_path, is_random=True)
    assert DynamicInt8().apply(network_of(matrix_net()), context).network.graph.nodes


def test_it_is_offered_to_networks_of_matrix_products_only(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    context = replace(context, device=replace(context.device, runtimes={"onnxruntime": "1"}))
    assert KIND.offers(network_of(matrix_net()), context) == [DynamicInt8()]
    assert KIND.offers(network_of(residual_net()), context) == []


def test_a_node_without_a_constant_matrix_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'scores'"):
        DynamicInt8(("scores",)).apply(network_of(matrix_net()), context_in(tmp_path))


def test_moves_survive_json() -> None:
    move = DynamicInt8(("out",), is_per_channel=False)
    assert KIND.from_json(move_to_json(move)["settings"]) == move
