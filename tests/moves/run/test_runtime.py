"""What is offered for a whole network: each installed runtime with its variants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from tests.runtimes.runtime_nets import conv_graph, network

from taut.core.move import Context
from taut.core.network import Run
from taut.core.task import Task
from taut.devices.local import local_device
from taut.moves.run.runtime import KIND


def context(folder: Path, threads: int = 2, runtimes: tuple[str, ...] = ("onnxruntime",)) -> Context:
    device = replace(local_device(), runtimes=dict.fromkeys(runtimes, "1"))
    return Context(cast(Task, None), device, folder, threads=threads)


def test_first_offer_is_the_original_way(tmp_path: Path) -> None:
    offers = KIND.offers(network(conv_graph()), context(tmp_path))
    assert offers[0].run == Run()
    assert len(set(offers)) == len(offers)


def test_only_runtimes_of_the_device_are_offered(tmp_path: Path) -> None:
    offers = KIND.offers(network(conv_graph()), context(tmp_path))
    assert {stage.runtime for move in offers for stage in move.run.stages} == {"onnxruntime"}


def test_settings_of_threads_are_not_offered_when_there_is_one(tmp_path: Path) -> None:
    offers = KIND.offers(network(conv_graph()), context(tmp_path, threads=1))
    options = {key for move in offers for stage in move.run.stages for key in stage.options}
    assert options.isdisjoint({"intra_op_num_threads", "session.intra_op.allow_spinning", "execution_mode"})


def test_every_offer_comes_back_from_json(tmp_path: Path) -> None:
    for move in KIND.offers(network(conv_graph()), context(tmp_path)):
        assert KIND.from_json({"stages": [list(stage) for stage in move.stages]}) == move
