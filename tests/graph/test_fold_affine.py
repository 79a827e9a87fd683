from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import random_array, random_inputs, residual_net, run

from taut.graph import Graph, Node, Value
from taut.graph.fold_affine import fold_affine
from taut.graph.shapes import with_shapes
from taut.graph.verify import verify

SHAPES = ((), (1,), (4, 1, 1), (1, 4, 1, 1))


def _steps(steps: list[tuple[str, bool, tuple[int, ...]]], op: str = "Conv") -> Graph:
    """A layer of 4 channels with steps (operator, constant first?, shape of the constant) behind it."""
    shape = (3, 4, 3, 3) if op == "ConvTranspose" else (4, 3, 3, 3)
    constants = {"w": random_array(*shape), "b": random_array(4, seed=1)}
    nodes = [Node("layer", op, ("x", "w", "b"), ("v0",), {"pads": [1, 1, 1, 1]})]
    for index, (step, is_first, size) in enumerate(steps):
        constants[f"c{index}"] = np.asarray(random_array(*size, seed=index + 2) + np.float32(3))
        inputs = (f"c{index}", f"v{index}") if is_first else (f"v{index}", f"c{index}")
        nodes.append(Node(f"step{index}", step, inputs, (f"v{index + 1}",)))
    x, y = Value("x", "float32", (1, 3, 6, 6)), Value(f"v{len(steps)}", "float32", None)
    return with_shapes(Graph("steps", (x,), (y,), tuple(nodes), constants))


def _assert_same(graph: Graph, folded: Graph) -> None:
    verify(folded, "folding")
    inputs = random_inputs(graph)
    for name, expected in run(graph, **inputs).items():
        np.testing.assert_allclose(run(folded, **inputs)[name], expected, rtol=1e-3, atol=1e-4)


_STEP = st.tuples(st.sampled_from(["Add", "Sub", "Mul"]), st.booleans(), st.sampled_from(SHAPES))


@settings(max_examples=30, deadline=None)
@given(st.lists(_STEP, min_size=1, max_size=3), st.sampled_from(["Conv", "ConvTranspose"]))
def test_a_chain_of_constant_steps_vanishes_into_the_layer(
    steps: list[tuple[str, bool, tuple[int, ...]]], op: str
) -> None:
    graph = _steps(steps, op)
    folded, names = fold_affine(graph)
    assert [node.name for node in folded] == ["layer"]
    assert names == {f"step{index}": ("layer",) for index in range(len(steps))}
    _assert_same(graph, folded)


def test_division_by_a_constant_is_folded_but_not_of_one() -> None:
    divided = _steps([("Div", False, (4, 1, 1))])
    assert len(fold_affine(divided)[0].nodes) == 1
    _assert_same(divided, fold_affine(divided)[0])
    assert len(fold_affine(_steps([("Div", True, (1,))]))[0].nodes) == 2


@pytest.mark.parametrize("shape", [(6,), (6, 6), (1, 1, 1, 1, 1), (2, 4, 1, 1)])
def test_constants_that_differ_within_a_channel_or_change_the_shape_stay(shape: tuple[int, ...]) -> None:
    graph = _steps([("Add", False, shape)])
    folded, names = fold_affine(graph)
    assert names == {} and len(folded.nodes) == 2


def test_a_step_on_a_value_that_others_read_stays() -> None:
    graph = _steps([("Mul", False, ())])
    shared = replace(graph, outputs=(*graph.outputs, Value("v0", "float32", (1, 4, 6, 6))))
    assert fold_affine(shared)[1] == {}


def test_batch_norms_are_folded_in_the_same_go() -> None:
    graph = with_shapes(residual_net())
    folded, names = fold_affine(graph)
    assert names == {"bn1": ("conv1",), "bn2": ("conv2",)}
    _assert_same(graph, folded)
