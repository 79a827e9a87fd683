from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.toy_task import small_network, toy_context

from taut.core.errors import BadInput
from taut.core.move import Context, move_to_json
from taut.core.network import Network
from taut.core.task import batches
from taut.graph.to_torch import to_torch
from taut.moves.distill.recover import KIND, Recover
from taut.moves.prune.channel_prune import ChannelPrune

MOVE = Recover(epochs=2, lr=0.02, distill_share=1.0, batch_size=64, precision="float32")


@pytest.fixture(autouse=True)
def _never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever times on this machine meanwhile must not stop the tests."""
    monkeypatch.setattr("taut.moves.distill.recover.wait_while_timing", lambda: None)


def _pruned(context: Context) -> Network:
    return ChannelPrune((("first", 5), ("second", 8)), "l1", False).apply(small_network(), context).network


def _distance(network: Network, context: Context) -> float:
    """Mean squared difference to the original's outputs on the select split."""
    import torch

    assert context.original is not None
    modules = [to_torch(one.graph) for one in (network, context.original)]
    with torch.no_grad():
        pairs = [
            [module(torch.from_numpy(batch.inputs["image"]))[0].numpy() for module in modules]
            for batch in batches(context.task.select, 256)
        ]
    return float(np.mean([np.square(student - teacher).mean() for student, teacher in pairs]))


@pytest.mark.parametrize("has_labels", [True, False])
def test_recovery_brings_a_pruned_network_closer_to_the_original(has_labels: bool, tmp_path: Path) -> None:
    context = toy_context(tmp_path, samples=1024, has_labels=has_labels)
    pruned = _pruned(context)
    recovered = MOVE.apply(pruned, context).network
    assert _distance(recovered, context) < 0.8 * _distance(pruned, context)
    assert {name: array.shape for name, array in recovered.graph.constants.items()} == {
        name: array.shape for name, array in pruned.graph.constants.items()
    }


def test_same_recovery_is_not_trained_twice(tmp_path: Path) -> None:
    context = toy_context(tmp_path, samples=1024)
    pruned = _pruned(context)
    first = MOVE.apply(pruned, context).network.graph.digest()
    told: list[float] = []
    again = MOVE.apply(pruned, replace(context, progress=lambda _what, share: told.append(share)))
    assert again.network.graph.digest() == first
    assert not told


def test_killed_recovery_ends_at_the_bits_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taut.train.loop.SAVE_EVERY_STEPS", 5)
    whole = toy_context(tmp_path / "whole", samples=1024)
    killed = toy_context(tmp_path / "killed", samples=1024)
    pruned = _pruned(whole)

    def kill(_what: str, share: float) -> None:
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MOVE.apply(pruned, replace(killed, progress=kill))
    digests = {MOVE.apply(pruned, context).network.graph.digest() for context in (whole, killed)}
    assert len(digests) == 1


def test_time_of_an_epoch_is_measured(tmp_path: Path) -> None:
    context = toy_context(tmp_path, samples=2000)
    assert 0 < replace(MOVE, batch_size=20).epoch_s(small_network(), context) < 600


def test_offer_distils_alone_when_there_are_no_labels(tmp_path: Path) -> None:
    (offer,) = KIND.offers(small_network(), toy_context(tmp_path, samples=1000, has_labels=False))
    assert offer.distill_share == 1.0


def test_nothing_is_offered_with_fewer_than_1000_inputs(tmp_path: Path) -> None:
    context = toy_context(tmp_path, samples=999)
    assert not KIND.offers(small_network(), context)
    with pytest.raises(BadInput, match="at least 1000 real inputs"):
        MOVE.apply(small_network(), context)


def test_nothing_is_offered_for_recurrent_networks(tmp_path: Path) -> None:
    recurrent = replace(small_network(), feedback={"head_out0": "image"})
    assert not KIND.offers(recurrent, toy_context(tmp_path, samples=1000))


def test_move_returns_from_json_as_it_was() -> None:
    described = move_to_json(MOVE)
    assert described["move"] == "recover"
    assert KIND.from_json(described["settings"]) == MOVE
