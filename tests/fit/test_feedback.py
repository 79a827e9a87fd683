from __future__ import annotations

import pytest

from taut.fit.feedback import find_feedback
from taut.graph import Graph, Value


def graph(
    inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], dtype: str = "float32"
) -> Graph:
    return Graph(
        "net",
        tuple(Value(name, "float32", shape) for name, shape in inputs.items()),
        tuple(Value(name, dtype, shape) for name, shape in outputs.items()),
        (),
        {},
    )


STATE, DATA = (2, 1, 16), (1, 257, 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("state", "state_out"),
        ("state", "next_state"),
        ("state", "new_state"),
        ("state", "stateN"),
        ("state_in", "state_out"),
        ("conv_cache", "conv_cache_out"),
        ("cache_0", "cache_0_out"),
        ("prevState", "newState"),
        ("h0", "hn"),
        ("h_in", "h_out"),
        ("past.1.key", "present.1.key"),
        ("input_hidden", "output_hidden"),
    ],
)
def test_state_is_found_by_its_name(before: str, after: str) -> None:
    found = find_feedback(graph({"mix": DATA, before: STATE}, {"enhanced": DATA, after: STATE}))
    assert found == {after: before}


def test_each_state_goes_to_its_own_input() -> None:
    names = ("conv_cache", "tra_cache", "inter_cache")
    inputs = {"mix": DATA, **dict.fromkeys(names, STATE)}
    outputs = {"enh": DATA, **{f"{name}_out": STATE for name in reversed(names)}}
    assert find_feedback(graph(inputs, outputs)) == {f"{name}_out": name for name in reversed(names)}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"audio_in": DATA}, {"audio_out": DATA}),
        ({"audio_in": DATA, "level": (1,)}, {"audio_out": DATA}),
        ({"input": DATA, "gain": (1,)}, {"output": DATA, "mask": DATA}),
        ({"x": DATA, "state": STATE}, {"y": DATA, "state_out": (2, 1, 17)}),
        ({"x": DATA, "state": (2, 1, "n")}, {"y": DATA, "state_out": (2, 1, "n")}),
        ({"x": DATA, "state_a": STATE}, {"y": DATA, "state_b": STATE}),
    ],
)
def test_data_is_not_taken_for_state(inputs, outputs) -> None:
    assert find_feedback(graph(inputs, outputs)) == {}


def test_state_of_another_type_is_not_fed_back() -> None:
    assert find_feedback(graph({"x": DATA, "state": STATE}, {"y": DATA, "state_out": STATE}, "float16")) == {}
