from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.moves.quantize.quantize_nets import (
    context_in,
    images,
    network_of,
    noise_share,
    optimized_operators,
    outputs_of,
    residual_net,
)

from taut.core.errors import BadInput
from taut.core.move import Context, move_to_json
from taut.core.task import ArraySplit
from taut.moves.quantize.qat import KIND, Qat
from taut.moves.quantize.static_int8 import StaticInt8


@pytest.fixture(autouse=True)
def _never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever times on this machine meanwhile must not stop the tests."""
    monkeypatch.setattr("taut.moves.quantize.qat.wait_while_timing", lambda: None)


def large_context(folder: Path) -> Context:
    context = context_in(folder)
    task = replace(context.task, train=ArraySplit({"image": images(1024)}))
    device = replace(context.device, runtimes={"onnxruntime": "1"})
    return replace(context, task=task, device=device)


def test_training_brings_a_coarse_network_closer_to_the_original(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), large_context(tmp_path)
    move = Qat(weight_bits=3, epochs=6, lr=0.02)
    wanted = outputs_of(network.graph, images(32, seed=5))
    coarse = StaticInt8(weight_bits=3).apply(network, context).network.graph
    trained = move.apply(network, context).network.graph
    before, after = (
        noise_share(wanted, outputs_of(graph, images(32, seed=5))) for graph in (coarse, trained)
    )
    assert after < 0.7 * before


def test_what_was_trained_fuses_as_static_int8_does(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), large_context(tmp_path)
    trained = Qat(epochs=1).apply(network, context).network.graph
    static = StaticInt8().apply(network, context).network.graph
    assert optimized_operators(trained, tmp_path) == optimized_operators(static, tmp_path)


def test_the_same_training_is_not_done_twice(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), large_context(tmp_path)
    first = Qat(epochs=1).apply(network, context).network.graph.digest()
    told: list[float] = []
    again = replace(context, progress=lambda _what, share: told.append(share))
    assert Qat(epochs=1).apply(network, again).network.graph.digest() == first
    assert told == []


def test_it_is_offered_where_there_is_data_to_train_on(tmp_path: Path) -> None:
    network = network_of(residual_net())
    assert KIND.offers(network, large_context(tmp_path)) == [Qat()]
    assert KIND.offers(network, context_in(tmp_path)) == []


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="1000 real inputs"):
        Qat().apply(network_of(residual_net()), context_in(tmp_path))


def test_moves_survive_json() -> None:
    move = Qat(("conv1",), "openvino", 4, epochs=2.5)
    assert KIND.from_json(move_to_json(move)["settings"]) == move
