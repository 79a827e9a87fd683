"""What is offered by region: cuts at single tensors, spread by cost, in the order of the graph."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np
from tests.runtimes.runtime_nets import OPSETS, conv_graph, network

from taut.core.device import Device
from taut.core.move import Context
from taut.core.task import Task
from taut.devices.local import local_device
from taut.graph.ir import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.graph.split import single_tensor_edges
from taut.moves.run.regions import KIND, cut_positions

WITH_BFLOAT16 = replace(
    local_device(), features=("avx512_bf16",), runtimes={"onnxruntime": "1", "openvino": "1"}
)


def context(folder: Path, device: Device = WITH_BFLOAT16) -> Context:
    return Context(cast(Task, None), device, folder, threads=1)


def long_chain(length: int = 200) -> Graph:
    """Equal convolutions in a row."""
    weights = {f"w{number}": np.ones((4, 4, 3, 3), np.float32) for number in range(length)}
    nodes = tuple(
        Node(f"conv{n}", "Conv", (f"v{n}", f"w{n}"), (f"v{n + 1}",), {"pads": [1, 1, 1, 1]})
        for n in range(length)
    )
    ends = [Value(name, "float32", (1, 4, 8, 8)) for name in ("v0", f"v{length}")]
    return with_shapes(Graph("chain", (ends[0],), (ends[1],), nodes, weights, opsets=OPSETS))


def test_nothing_is_offered_when_the_processor_has_no_bfloat16(tmp_path: Path) -> None:
    device = replace(WITH_BFLOAT16, features=("avx2",))
    assert not KIND.offers(network(conv_graph()), context(tmp_path, device))


def test_nothing_is_offered_when_openvino_is_not_installed(tmp_path: Path) -> None:
    device = replace(WITH_BFLOAT16, runtimes={"onnxruntime": "1"})
    assert not KIND.offers(network(conv_graph()), context(tmp_path, device))


def test_offers_mix_precisions_in_both_directions(tmp_path: Path) -> None:
    offers = KIND.offers(network(conv_graph()), context(tmp_path))
    pairs = {tuple((stage.runtime, stage.precision) for stage in move.run.stages) for move in offers}
    assert (("openvino", "float32"), ("openvino", "bfloat16")) in pairs
    assert (("openvino", "bfloat16"), ("openvino", "float32")) in pairs
    assert all(len({precision for _, precision in pair}) == 2 for pair in pairs)


def test_cuts_are_single_tensor_edges_in_the_order_of_the_graph(tmp_path: Path) -> None:
    edges = single_tensor_edges(conv_graph())
    offers = KIND.offers(network(conv_graph()), context(tmp_path))
    for _, group in groupby(offers, key=lambda move: [stage[:2] for stage in move.stages]):
        cuts = [move.run.stages[0].until[0] for move in group]
        assert cuts
        assert cuts == [edge for edge in edges if edge in cuts]


def test_cuts_are_few_and_spread_when_the_graph_is_long() -> None:
    positions = [int(name.removeprefix("v")) for name in cut_positions(long_chain())]
    assert 20 <= len(positions) <= 50
    gaps = np.diff([0, *positions, 200])
    assert gaps.min() >= 4 and gaps.max() <= 8


def test_cut_at_integers_is_not_offered() -> None:
    nodes = (
        Node("cast", "Cast", ("x",), ("whole",), {"to": 6}),
        Node("back", "Cast", ("whole",), ("half",), {"to": 1}),
        Node("relu", "Relu", ("half",), ("y",)),
    )
    ends = [Value(name, "float32", (1, 64)) for name in "xy"]
    graph = with_shapes(Graph("casts", (ends[0],), (ends[1],), nodes, {}, opsets=OPSETS))
    assert cut_positions(graph) == ["half"]
