from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.prune_nets import attention, run
from tests.moves.prune.toy_task import small_graph, small_network, toy_context

from taut.core.errors import BadInput
from taut.core.move import move_to_json
from taut.graph.verify import verify
from taut.moves.prune.channel_prune import KIND, ChannelPrune


def test_apply_keeps_the_counts_and_leaves_the_network_alone(tmp_path: Path) -> None:
    network = small_network()
    before = network.graph.digest()
    moved = ChannelPrune((("first", 4), ("second", 6))).apply(network, toy_context(tmp_path))
    small = moved.network.graph
    assert small.constants["second.weight"].shape == (6, 4, 3, 3)
    assert small.constants["head.weight"].shape == (5, 6)
    assert network.graph.digest() == before
    assert moved.names.new_names("second") == ("second",)
    verify(small, "prune")
    assert np.isfinite(run(small)).all()


def test_apply_twice_gives_the_same_bits(tmp_path: Path) -> None:
    move = ChannelPrune((("first", 4),))
    digests = {
        move.apply(small_network(), toy_context(tmp_path / str(number))).network.graph.digest()
        for number in range(2)
    }
    assert len(digests) == 1


def test_keeping_every_unit_changes_no_weight(tmp_path: Path) -> None:
    moved = ChannelPrune((("first", 8),)).apply(small_network(), toy_context(tmp_path))
    assert moved.network.graph.digest() == small_graph().digest()


def test_apply_refuses_a_group_that_is_not_there_and_names_the_groups(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'head'.*reaches the output.*groups: first, second"):
        ChannelPrune((("head", 2),)).apply(small_network(), toy_context(tmp_path))


def test_apply_refuses_to_keep_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="keep 1 to 8"):
        ChannelPrune((("first", 0),)).apply(small_network(), toy_context(tmp_path))


def test_apply_refuses_to_refit_without_inputs(tmp_path: Path) -> None:
    context = toy_context(tmp_path)
    blind = replace(context, task=replace(context.task, train=None))
    with pytest.raises(BadInput, match="needs inputs"):
        ChannelPrune((("first", 4),)).apply(small_network(), blind)


def test_move_returns_from_json_as_it_was() -> None:
    move = ChannelPrune((("first", 4), ("second", 6)), importance="l1", reconstruct=False)
    described = move_to_json(move)
    assert described["move"] == "prune"
    assert KIND.from_json(described["settings"]) == move


def test_offers_are_uniform_and_can_be_applied(tmp_path: Path) -> None:
    context = toy_context(tmp_path)
    offers = KIND.offers(small_network(), context)
    assert [move.keep for move in offers] == [(("first", 4), ("second", 6)), (("first", 6), ("second", 9))]
    small = offers[0].apply(small_network(), context).network.graph
    assert small.constants["second.weight"].shape == (6, 4, 3, 3)


def test_offers_score_by_weights_alone_when_there_are_few_inputs(tmp_path: Path) -> None:
    (first, *_) = KIND.offers(small_network(), toy_context(tmp_path, samples=8))
    assert (first.importance, first.reconstruct) == ("l1", False)


def test_nothing_is_offered_where_nothing_can_be_cut(tmp_path: Path) -> None:
    context = toy_context(tmp_path)
    single = ChannelPrune().uniform(small_graph(), 0.01).apply(small_network(), context)
    assert not KIND.offers(single.network, context)


def test_touched_nodes_make_carry_or_read_the_group() -> None:
    touched = ChannelPrune().touched_nodes(small_graph())
    assert touched["first"][:3] == ("first", "bn", "relu2")
    assert touched["first"][-1] == "second"
    assert "second" in touched["second"]
    assert ChannelPrune().group_sizes(attention()) == {"query": 4}


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [(64, 0.5, 32), (64, 0.01, 8), (16, 0.7, 12), (12, 0.4, 5), (96, 1.0, 96), (20, 1.0, 20)],
)
def test_rounded_counts_are_multiples_and_never_none(size: int, share: float, expected: int) -> None:
    assert ChannelPrune().rounded(size, share) == expected
