"""The move that sets how a network runs: plain values, nothing else changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from tests.runtimes.runtime_nets import conv_graph, network

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Plan
from taut.core.network import Run, Stage
from taut.core.task import Task
from taut.devices.local import local_device
from taut.moves import plan_from_json
from taut.moves.run.set_run import SetRun

STAGES = (
    Stage("openvino", "float32", {"ENABLE_CPU_PINNING": False}, ("relu1_out",)),
    Stage("openvino", "bfloat16"),
)


def context(folder: Path) -> Context:
    return Context(cast(Task, None), local_device(), folder, threads=2)


def test_plan_comes_back_from_json_as_it_was() -> None:
    plan = Plan.of([SetRun.of(STAGES)])
    again = plan_from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.digest() == plan.digest()


def test_run_is_the_stages_it_was_made_of() -> None:
    assert SetRun.of(STAGES).run == Run(STAGES)
    assert SetRun.of(STAGES).form is Form.RUN


def test_order_of_options_does_not_count() -> None:
    options = {"intra_op_num_threads": 1, "enable_mem_pattern": False}
    backwards = dict(reversed(options.items()))
    assert SetRun.of([Stage(options=options)]) == SetRun.of([Stage(options=backwards)])


def test_apply_changes_the_run_and_nothing_else(tmp_path: Path) -> None:
    original = network(conv_graph())
    moved = SetRun.of(STAGES).apply(original, context(tmp_path))
    assert moved.network.run == Run(STAGES)
    assert moved.network.graph is original.graph
    assert moved.names.renamed == {}
    assert original.run == Run()


def test_cut_at_an_unknown_value_is_refused(tmp_path: Path) -> None:
    move = SetRun.of([Stage(until=("ghost",)), Stage()])
    with pytest.raises(BadInput, match="ghost"):
        move.apply(network(conv_graph()), context(tmp_path))


def test_label_says_what_a_person_would() -> None:
    assert SetRun.of(STAGES).label == (
        "openvino float32 ENABLE_CPU_PINNING=False to relu1_out, then openvino bfloat16"
    )
    assert SetRun.of([Stage(options={"session.intra_op.allow_spinning": "0"})]).label == (
        "onnxruntime float32 intra_op.allow_spinning=0"
    )
