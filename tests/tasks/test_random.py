"""Made-up inputs: types, ranges, determinism, and embeddings that bound them."""

from __future__ import annotations

import numpy as np

from taut.graph.ir import Graph, Node, Value
from taut.tasks.open import open_task
from taut.tasks.random import highest_indices
from taut.tasks.sequences import steps_of

INPUTS = [
    Value("image", "float32", (1, 3, 4, 4)),
    Value("tokens", "int64", (1, 50)),
    Value("mask", "int64", (1, 50)),
    Value("flag", "bool", (1, 50)),
    Value("half", "bfloat16", (1, 2)),
    Value("rate", "int64", ()),
    Value("state", "float32", (2, 1, 8)),
]


def test_inputs_have_the_networks_types_and_safe_ranges() -> None:
    task = open_task("random", INPUTS, {"state_out": "state"}, {"tokens": 99})
    batch = task.select.take(np.arange(8))
    for value in INPUTS[:-1]:
        array = batch.inputs[value.name]
        assert str(array.dtype) == value.dtype
        assert array.shape == ((8, *value.shape[1:]) if value.shape else ())
    assert "state" not in batch.inputs
    assert 50 < batch.inputs["tokens"].max() <= 99 and batch.inputs["tokens"].min() >= 0
    assert set(np.unique(batch.inputs["mask"])) == {0, 1}
    assert batch.inputs["rate"] == 0
    assert abs(batch.inputs["image"].mean()) < 0.3 and 0.8 < batch.inputs["image"].std() < 1.2


def test_random_task_is_marked_and_offers_nothing_to_train_on() -> None:
    task = open_task("random", INPUTS[:1], {})
    assert task.is_random and task.train is None and task.metrics == ()
    assert not task.select.has_targets
    assert len(task.select) == len(task.test) == 32
    assert steps_of(task.select) == 1


def test_samples_depend_on_their_index_alone_and_splits_differ() -> None:
    task = open_task("random", INPUTS[:1], {})
    again = open_task("random", INPUTS[:1], {})
    assert task.digest == again.digest
    one, other = (t.select.take(np.array([7, 3])).inputs["image"] for t in (task, again))
    assert np.array_equal(one, other)
    assert np.array_equal(one[1], task.select.take(np.array([3])).inputs["image"][0])
    test = task.test.open("a test").take(np.array([7, 3])).inputs["image"]
    assert not np.array_equal(one, test)
    assert open_task("random", INPUTS[1:2], {}).digest != task.digest


def test_network_with_state_gets_sequences() -> None:
    task = open_task("random", [INPUTS[0], INPUTS[-1]], {"state_out": "state"})
    assert steps_of(task.select) == 8


def test_highest_index_is_seen_through_casts_and_is_the_least_of_all_tables() -> None:
    graph = Graph(
        "net",
        inputs=(
            Value("tokens", "int64", (1, 5)),
            Value("segments", "int32", (1, 5)),
            Value("mask", "int64", (1, 5)),
            Value("x", "float32", (1, 5)),
        ),
        outputs=(Value("y", "float32", (1, 5, 8)),),
        nodes=(
            Node("cast", "Cast", ("tokens",), ("indices",)),
            Node("words", "Gather", ("table", "indices"), ("w",)),
            Node("short", "Gather", ("small", "tokens"), ("v",), {"axis": 1}),
            Node("kind", "Gather", ("kinds", "segments"), ("s",)),
            Node("pick", "Gather", ("x", "mask"), ("p",)),
        ),
        constants={
            "table": np.zeros((100, 8), np.float32),
            "small": np.zeros((3, 40), np.float32),
            "kinds": np.zeros((2, 8), np.float32),
        },
    )
    assert highest_indices(graph) == {"tokens": 39, "segments": 1}
