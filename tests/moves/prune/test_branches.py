"""Residual branches: which are found, and what is left when they go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.prune_nets import Net, attention, plain, residual, run
from tests.moves.prune.toy_task import toy_context

from taut.core.errors import BadInput
from taut.core.network import Network, Part
from taut.graph import Graph
from taut.graph.verify import verify
from taut.moves.prune.branches import DropBranches, nodes_of, residual_branches


def two_blocks(is_output_added: bool = False) -> Graph:
    """stem-relu, then twice relu(x + f(x)), then a classifier: the Adds are add0 and add1."""
    net = Net()
    data, channels = plain(net, "image", 3, "stem", 8)
    for name in ("first", "second"):
        inner, _ = plain(net, data, channels, name, 12)
        total = net.node("Add", net.conv(inner, (channels, 12), f"{name}.back"), data, name=f"{name}.add")
        data = net.node("Relu", total, name=f"{name}.relu")
    flat = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    logits = net.linear(flat, channels, 5, "head")
    if is_output_added:
        logits = net.node("Add", logits, net.linear(logits, 5, 5, "more"))
    return net.graph(logits)


def dropped(graph: Graph, folder: Path, *branches: str) -> Graph:
    network = Network("net", {"main": Part(graph)})
    made = DropBranches(branches).apply(network, toy_context(folder)).network.graph
    verify(made, "drop_branches")
    return made


def test_branches_around_identities_are_found_in_order() -> None:
    assert list(residual_branches(two_blocks())) == ["first.add", "second.add"]


def test_a_sum_that_is_the_output_is_no_branch() -> None:
    assert list(residual_branches(two_blocks(is_output_added=True))) == ["first.add", "second.add"]


def test_a_branch_takes_its_nodes_the_sum_and_the_repeated_relu_with_it() -> None:
    graph = two_blocks()
    branch = residual_branches(graph)["first.add"]
    assert set(nodes_of(graph, branch)) >= {"first.conv", "first.bn", "first.back", "first.add", "first.relu"}
    assert "stem.conv" not in nodes_of(graph, branch)


def test_what_is_left_computes_the_network_without_the_branch(tmp_path: Path) -> None:
    graph = two_blocks()
    silent = dict(graph.constants)
    silent["first.back.weight"] = np.zeros_like(silent["first.back.weight"])
    wanted = run(
        Graph(graph.name, graph.inputs, graph.outputs, graph.nodes, silent, graph.values, graph.opsets)
    )
    np.testing.assert_allclose(run(dropped(graph, tmp_path, "first.add")), wanted, rtol=1e-5, atol=1e-6)


def test_all_branches_can_go_at_once_and_in_any_order(tmp_path: Path) -> None:
    graph = two_blocks()
    both = dropped(graph, tmp_path, "first.add", "second.add")
    assert both.digest() == dropped(graph, tmp_path, "second.add", "first.add").digest()
    assert not any(node.op == "Add" for node in both)


def test_attention_with_its_residual_is_a_branch() -> None:
    assert len(residual_branches(attention())) == 1


def test_an_inner_branch_goes_with_the_outer_one(tmp_path: Path) -> None:
    net = Net()
    data, channels = plain(net, "image", 3, "stem", 8)
    inner, _ = residual(net, data, channels, "inner", 8)
    outer = net.node("Add", net.conv(inner, (8, 8), "outer"), data, name="outer.add")
    flat = net.node("Flatten", net.node("GlobalAveragePool", outer), axis=1)
    graph = net.graph(net.linear(flat, 8, 5, "head"))
    branches = residual_branches(graph)
    assert len(branches) == 2
    assert set(branches) <= set(nodes_of(graph, branches["outer.add"]))
    left = dropped(graph, tmp_path, "outer.add", *branches)
    assert not any(node.op == "Add" for node in left)


def test_a_name_that_is_no_branch_is_refused_with_the_branches_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'stem.conv'.*branches: first.add, second.add"):
        dropped(two_blocks(), tmp_path, "stem.conv")
