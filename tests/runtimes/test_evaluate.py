"""The evaluator: values of a graph, one by one and in batches that are believed only when proven."""

from __future__ import annotations

import numpy as np
import pytest
from tests.runtimes.runtime_nets import OPSETS, conv_graph, image, reference, streaming_graph

from taut.core.errors import BadInput
from taut.core.runner import Item
from taut.graph.ir import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.runtimes.batching import with_batch
from taut.runtimes.evaluate import Evaluator


def images(count: int) -> np.ndarray:
    return np.stack([image(seed=seed)["image"] for seed in range(count)])


def one_by_one(graph: Graph, inputs: np.ndarray) -> np.ndarray:
    return np.stack([reference(graph, {"image": array})["logits"] for array in inputs])


def with_nodes(*nodes: Node, shape: tuple[int, ...] = (1, 8), **constants: np.ndarray) -> Graph:
    """A graph from ``x`` to ``y``."""
    x, y = Value("x", "float32", shape), Value("y", "float32", None)
    return with_shapes(Graph("net", (x,), (y,), nodes, constants, opsets=OPSETS))


def test_outputs_are_the_reference() -> None:
    outputs = Evaluator(conv_graph(), threads=1).run(image())
    assert outputs.keys() == {"logits"}
    np.testing.assert_allclose(outputs["logits"], reference(conv_graph(), image())["logits"], atol=1e-5)


def test_wanted_values_are_inputs_inner_values_and_outputs() -> None:
    names = ["relu1_out", "logits", "image", "conv1_out"]
    values = Evaluator(conv_graph(), names, threads=1).run(image())
    assert list(values) == names
    np.testing.assert_array_equal(values["relu1_out"], np.maximum(values["conv1_out"], 0))
    np.testing.assert_array_equal(values["image"], image()["image"])


@pytest.mark.parametrize("has_own_axis", [True, False])
def test_many_samples_give_what_each_gives_alone(has_own_axis: bool) -> None:
    many = images(7)
    evaluator = Evaluator(conv_graph(), threads=1)
    values = evaluator.run_many({"image": many if has_own_axis else many[:, 0]})["logits"]
    wanted = one_by_one(conv_graph(), many)
    assert evaluator.can_batch
    np.testing.assert_allclose(values, wanted if has_own_axis else wanted[:, 0], atol=1e-5)


def test_many_samples_are_run_in_several_batches_when_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taut.runtimes.evaluate._CHUNK_SAMPLES", 3)
    values = Evaluator(conv_graph(), threads=1).run_many({"image": images(7)})["logits"]
    np.testing.assert_allclose(values, one_by_one(conv_graph(), images(7)), atol=1e-5)


def test_reshape_that_fixes_the_batch_is_followed() -> None:
    target = np.array([1, 2, 4], np.int64)
    graph = with_nodes(Node("reshape", "Reshape", ("x", "target"), ("y",)), target=target)
    many = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    evaluator = Evaluator(graph, threads=1)
    np.testing.assert_array_equal(evaluator.run_many({"x": many})["y"], many.reshape(5, 2, 4))
    assert evaluator.can_batch
    np.testing.assert_array_equal(graph.constants["target"], [1, 2, 4])


MIXING = {
    "softmax over the batch": with_nodes(Node("mix", "Softmax", ("x",), ("y",), {"axis": 0})),
    "mean over everything": with_nodes(Node("mix", "ReduceMean", ("x",), ("y",), {"keepdims": 1})),
    "batch folded away": with_nodes(
        Node("mix", "Reshape", ("x", "target"), ("y",)), target=np.array([2, 4], np.int64)
    ),
}


@pytest.mark.parametrize("graph", MIXING.values(), ids=MIXING.keys())
def test_samples_are_run_singly_when_the_graph_mixes_them(graph: Graph) -> None:
    many = np.random.default_rng(0).standard_normal((4, 1, 8)).astype(np.float32)
    evaluator = Evaluator(graph, threads=1)
    values = evaluator.run_many({"x": many})["y"]
    assert not evaluator.can_batch
    wanted = np.stack([reference(graph, {"x": sample})["y"] for sample in many])
    np.testing.assert_allclose(values, wanted, atol=1e-6)


def test_samples_are_run_singly_when_an_input_has_no_batch() -> None:
    graph = streaming_graph()
    graph = with_shapes(graph, {})
    many = {name: np.random.default_rng(1).random((3, 1, 4)).astype(np.float32) for name in ("x", "state_in")}
    values = Evaluator(graph, threads=1).run_many(many)
    assert values["y"].shape == (3, 1, 4)
    odd = with_nodes(Node("relu", "Relu", ("x",), ("y",)), shape=(2, 4))
    evaluator = Evaluator(odd, threads=1)
    assert evaluator.run_many({"x": np.random.default_rng(0).random((3, 2, 4)).astype(np.float32)})[
        "y"
    ].shape == (3, 2, 4)
    assert not evaluator.can_batch


def test_nothing_is_concluded_from_samples_that_are_all_equal() -> None:
    graph = MIXING["softmax over the batch"]
    evaluator = Evaluator(graph, threads=1)
    equal = np.ones((3, 1, 8), np.float32)
    np.testing.assert_allclose(evaluator.run_many({"x": equal})["y"], equal)
    assert not evaluator.can_batch


def test_one_sample_is_enough() -> None:
    assert Evaluator(conv_graph(), threads=1).run_many({"image": images(1)})["logits"].shape == (1, 1, 10)


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": np.zeros((0, 1, 3, 16, 16), np.float32)},
        {"image": np.zeros((4, 16, 16), np.float32)},
        {"image": np.zeros((4, 1, 3, 8, 8), np.float32)},
        {"image": np.zeros((4, 1, 3, 16, 16), np.float64)},
        {"picture": np.zeros((4, 1, 3, 16, 16), np.float32)},
        {},
    ],
)
def test_wrong_samples_are_refused(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(BadInput):
        Evaluator(conv_graph(), threads=1).run_many(inputs)


@pytest.mark.parametrize("size", [4, "batch"])
def test_batch_size_is_set_on_inputs_and_outputs(size: int | str) -> None:
    graph = with_batch(conv_graph(), size)
    assert graph.inputs[0].shape == (size, 3, 16, 16)
    assert graph.outputs[0].shape == (size, 10)
    if isinstance(size, int):
        known = with_shapes(graph).value("relu1_out")
        assert known is not None and known.shape == (4, 8, 16, 16)


def test_batch_size_is_refused_when_an_input_has_another_leading_size() -> None:
    with pytest.raises(BadInput, match="not a batch of 1"):
        with_batch(with_nodes(Node("relu", "Relu", ("x",), ("y",)), shape=(2, 4)), 8)


def test_state_is_carried_from_item_to_item_and_zero_where_a_sequence_starts() -> None:
    graph = streaming_graph()
    (state,) = [value for value in graph.inputs if value.name == "state_in"]
    (frame,) = [value for value in graph.inputs if value.name != "state_in"]
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=frame.static_shape).astype(np.float32) for _ in range(3)]
    zero = np.zeros(state.static_shape, np.float32)
    items = [Item({frame.name: array}, number in (0, 2)) for number, array in enumerate(frames)]
    got = list(Evaluator(graph, threads=1).run_items(items, {"state_out": "state_in"}))
    carried = reference(graph, {frame.name: frames[0], "state_in": zero})["state_out"]
    for values, array, before in zip(got, frames, (zero, carried, zero), strict=True):
        wanted = reference(graph, {frame.name: array, "state_in": before})
        for name, output in wanted.items():
            np.testing.assert_allclose(values[name], output, atol=1e-5)


def test_sequence_starts_from_the_state_that_its_first_item_gives() -> None:
    graph = streaming_graph()
    given = {"x": np.ones((1, 4), np.float32), "state_in": np.full((1, 4), 0.5, np.float32)}
    (values,) = Evaluator(graph, threads=1).run_items([Item(given, True)], {"state_out": "state_in"})
    np.testing.assert_allclose(values["y"], reference(graph, given)["y"], atol=1e-5)
