from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.prune_nets import Net, run
from tests.moves.prune.toy_task import small_graph, toy_context

from taut.graph import Graph
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import trace_channels
from taut.moves.prune.reconstruct import (
    cut_and_refit,
    input_moments,
    projection,
    readers,
    sampled_rows,
    stored_moments,
)


def test_projection_is_the_least_squares_solution() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6)) + 1
    with_one = np.column_stack([inputs, np.ones(200)])
    stays = np.array([True, False, True, True, False, True])
    expected = np.linalg.lstsq(with_one[:, [0, 2, 3, 5, 6]], inputs[:, ~stays], rcond=None)[0]
    found = projection(with_one.T @ with_one, stays, has_bias=True)
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"pads": [1, 1, 1, 1], "dilations": [3, 3]}, 5),
        ({"pads": [1, 0, 0, 1], "strides": [3, 2]}, 3),
        ({}, 3),
    ],
)
def test_sampled_rows_times_the_matrix_are_the_convolution(
    attributes: dict[str, list[int]], size: int
) -> None:
    """The kernel covers the picture, so that there is one output position to sample."""
    net = Net()
    data = net.conv("image", (4, 3), "stem", kernel=1)
    data = net.node("Conv", data, net.weight("weight", 5, 4, 3, 3), name="reader", **attributes)
    flat = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    graph = net.graph(net.linear(flat, 5, 5, "head"), shape=(1, 3, size, size))
    reader = next(reader for reader in readers(trace_channels(graph)) if reader.node.name == "reader")
    values = np.random.default_rng(1).standard_normal((2, 4, size, size)).astype(np.float32)
    rows = sampled_rows(reader, values, seed=2)
    made = rows[:: len(rows) // 2] @ reader.matrix(graph.constants["weight"])
    np.testing.assert_allclose(made, _convolved(graph, values), rtol=1e-4, atol=1e-5)


def _convolved(graph: Graph, values: np.ndarray) -> np.ndarray:
    import torch

    node = graph.by_name["reader"]
    top, left, bottom, right = node.attributes.get("pads", [0, 0, 0, 0])
    padded = torch.nn.functional.pad(torch.from_numpy(values), (left, right, top, bottom))
    weight = torch.from_numpy(graph.constants["weight"])
    options = {"stride": node.attributes.get("strides", 1), "dilation": node.attributes.get("dilations", 1)}
    made: np.ndarray = torch.nn.functional.conv2d(padded, weight, **options).numpy()
    assert made.shape[2:] == (1, 1)
    return made[:, :, 0, 0]


def test_channels_that_others_make_up_for_are_cut_without_loss(tmp_path: Path) -> None:
    graph = small_graph()
    for name in ("first.weight", "bn.scale", "bn.bias", "bn.mean", "bn.var"):
        graph.constants[name][5] = graph.constants[name][2]
    channels, context = trace_channels(graph), toy_context(tmp_path)
    kept = Kept.units(channels, {"first": [0, 1, 2, 3, 4, 6, 7]})
    small = cut_and_refit(kept, stored_moments(channels, context))
    error, plain_error = (np.abs(run(cut) - run(graph)).max() for cut in (small, cut_channels(kept)))
    assert error < 0.05 * plain_error


def test_refitting_lowers_the_error_of_the_outputs(tmp_path: Path) -> None:
    channels, context = trace_channels(small_graph()), toy_context(tmp_path)
    kept = Kept.units(channels, {"first": [0, 1, 2, 4, 7], "second": range(9)})
    wanted = np.concatenate([run(channels.graph, seed) for seed in range(20)])
    errors = [
        np.concatenate([run(graph, seed) for seed in range(20)]) - wanted
        for graph in (cut_channels(kept), cut_and_refit(kept, stored_moments(channels, context)))
    ]
    assert np.square(errors[1]).sum() < 0.7 * np.square(errors[0]).sum()


def test_depthwise_and_shared_weights_are_not_refitted() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (4, 3), "stem"))
    data = net.conv(data, (4, 1), "depthwise", groups=4)
    data = net.node("Conv", data, net.weight("shared", 4, 4, 1, 1), name="one")
    data = net.node("Conv", data, "shared", name="two")
    flat = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    channels = trace_channels(net.graph(net.linear(flat, 4, 5, "head")))
    assert [reader.node.name for reader in readers(channels)] == ["head"]


def test_moments_are_those_of_the_inputs(tmp_path: Path) -> None:
    channels, context = trace_channels(small_graph()), toy_context(tmp_path)
    assert context.task.train is not None
    moments = input_moments(channels, context.task.train, 1)
    assert {name: array.shape for name, array in moments.items()} == {"second": (73, 73), "head": (13, 13)}
    assert moments["head"][-1, -1] == 96
