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
    outputs_of,
    residual_net,
)

from taut.core.errors import BadInput
from taut.core.move import move_to_json
from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.graph.verify import verify
from taut.moves.quantize.weight_only import KIND, WeightOnly, weighty_nodes


def constant_bytes(graph: Graph) -> int:
    return sum(array.nbytes for array in graph.constants.values())


@pytest.mark.parametrize(
    ("bits", "group_size", "target", "largest_noise", "largest_share"),
    [(8, 32, "onnxruntime", 1e-3, 0.31), (4, 16, "onnxruntime", 0.03, 0.21), (8, 32, "openvino", 1e-3, 0.3)],
)
def test_weights_shrink_and_outputs_stay_close(
    bits: int, group_size: int, target: str, largest_noise: float, largest_share: float, tmp_path: Path
) -> None:
    graph = matrix_net()
    move = WeightOnly(None, bits, group_size, target)
    moved = move.apply(network_of(graph), context_in(tmp_path)).network.graph
    verify(moved, "weight only")
    assert noise_share(outputs_of(graph, images(4)), outputs_of(moved, images(4))) < largest_noise
    assert constant_bytes(moved) < largest_share * constant_bytes(graph)


def test_a_depth_that_is_no_multiple_of_the_group_is_padded(tmp_path: Path) -> None:
    graph = matrix_net()
    moved = WeightOnly(("out",), group_size=64).apply(network_of(graph), context_in(tmp_path)).network.graph
    assert moved.constants["out_weight_codes"].shape == (8, 1, 64)  # 48 deep
    assert noise_share(outputs_of(graph, images(4)), outputs_of(moved, images(4))) < 1e-3


def test_a_table_of_embeddings_is_looked_up_in_codes(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    ids, found = Value("ids", "int64", (1, 7)), Value("found", "float32", None)
    nodes = (Node("embed", "Gather", ("table", "ids"), ("found",)),)
    graph = with_shapes(Graph("embedding", (ids,), (found,), nodes, {"table": table}))
    assert weighty_nodes(graph) == ("embed",)
    moved = WeightOnly().apply(network_of(graph), context_in(tmp_path)).network.graph
    verify(moved, "weight only")
    assert [node.op for node in moved] == ["Gather", "DequantizeLinear"]
    codes, scale = moved.constants["embed_weight_codes"], moved.constants["embed_weight_scale"]
    assert codes.dtype == np.int8 and scale.shape == (12,)
    assert np.abs(codes * scale - table).max() <= scale.max() * 0.501


def test_it_is_offered_to_networks_of_matrix_products_only(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    context = replace(context, device=replace(context.device, runtimes={"onnxruntime": "1"}))
    offers = KIND.offers(network_of(matrix_net()), context)
    assert [(move.bits, move.target) for move in offers] == [(8, "onnxruntime"), (4, "onnxruntime")]
    assert KIND.offers(network_of(residual_net()), context) == []


@pytest.mark.parametrize("settings", [{"bits": 3}, {"target": "abacus"}])
def test_settings_without_a_kernel_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="one of"):
        WeightOnly(**settings)  # type: ignore[arg-type]


def test_moves_survive_json() -> None:
    move = WeightOnly(("out",), 4, 16)
    assert KIND.from_json(move_to_json(move)["settings"]) == move
