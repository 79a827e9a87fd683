"""What every kind of move must do, on networks that it can help."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.moves.prune.prune_nets import Net, plain, residual, run
from tests.moves.prune.toy_task import toy_context

from taut.core.move import Context, Form, move_to_json
from taut.core.network import Network, Part
from taut.devices.local import local_device
from taut.graph import Graph
from taut.graph.verify import verify
from taut.moves import MOVES, plan_from_json

MOST_APPLIED = 3
EPOCHS = 1.0
"""Enough to see that training returns a network"""


def convolutions() -> Graph:
    """A stem, a residual block and a classifier, with batch norms."""
    net = Net()
    data, channels = plain(net, "image", 3, "stem", 8)
    data, channels = residual(net, data, channels, "block", 8)
    pooled = net.node("Flatten", net.node("GlobalAveragePool", net.node("Relu", data)), axis=1)
    return net.graph(net.linear(pooled, channels, 5, "head"))


def matrices() -> Graph:
    """Two wide linear layers, which hold nearly all the weights."""
    net = Net()
    flat = net.node("Flatten", "image", axis=1)
    hidden = net.node("Relu", net.linear(flat, 108, 256, "hidden"))
    return net.graph(net.linear(hidden, 256, 5, "head"))


GRAPHS = dict.fromkeys(MOVES, convolutions) | {"dynamic_int8": matrices, "weight_only": matrices}


@pytest.fixture(params=list(MOVES))
def kind(request: pytest.FixtureRequest) -> Any:
    return MOVES.load(request.param)


@pytest.fixture
def network(kind: Any) -> Network:
    return Network("net", {"main": Part(GRAPHS[kind.name]())})


@pytest.fixture
def context(network: Network, tmp_path: Path) -> Context:
    device = replace(local_device(), features=("avx512_bf16",))
    return replace(toy_context(tmp_path, samples=1024), device=device, original=network)


@pytest.fixture
def moves(kind: Any, network: Network, context: Context) -> list[Any]:
    offered = list(kind.offers(network, context))[:MOST_APPLIED]
    assert offered, f"{kind.name} offers nothing for a network that it can help"
    return [replace(move, epochs=EPOCHS) if hasattr(move, "epochs") else move for move in offered]


def test_move_is_a_frozen_value_that_survives_json(kind: Any, moves: list[Any]) -> None:
    for move in moves:
        with pytest.raises(dataclasses.FrozenInstanceError):
            move.kind = "other"
        assert move.form is kind.form
        stored = json.loads(json.dumps([move_to_json(move)]))
        assert plan_from_json(stored).moves == (move,)


def test_apply_leaves_the_network_alone_and_gives_a_sound_graph(
    network: Network, context: Context, moves: list[Any]
) -> None:
    before = network.graph.digest()
    for move in moves:
        made = move.apply(network, context).network.graph
        verify(made, move.kind)
        assert np.isfinite(run(made)).all()
        assert network.graph.digest() == before


def test_apply_twice_gives_the_same_bits(network: Network, context: Context, moves: list[Any]) -> None:
    for move in moves:
        elsewhere = replace(context, work_folder=context.work_folder / "again")
        digests = {move.apply(network, where).network.graph.digest() for where in (context, elsewhere)}
        assert len(digests) == 1


def test_names_lead_to_nodes_that_are_there(network: Network, context: Context, moves: list[Any]) -> None:
    for move in moves:
        moved = move.apply(network, context)
        for node in network.graph:
            for name in moved.names.new_names(node.name):
                assert name in moved.network.graph.by_name


def test_move_changes_only_what_its_form_allows(network: Network, context: Context, moves: list[Any]) -> None:
    for move in moves:
        made = move.apply(network, context).network
        assert [value.shape for value in made.graph.outputs] == [
            value.shape for value in network.graph.outputs
        ]
        if move.form is Form.RUN:
            assert made.graph.digest() == network.graph.digest()
        else:
            assert made.run == network.run


def test_nothing_is_offered_twice(kind: Any, network: Network, context: Context) -> None:
    offered = [json.dumps(move_to_json(move)) for move in kind.offers(network, context)]
    assert len(set(offered)) == len(offered)
