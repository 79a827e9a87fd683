from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import parse, random_array, random_inputs, residual_net, run

from taut.graph import Editor, Graph, Node, Value
from taut.graph.fold import fold_batch_norm, fold_constants
from taut.graph.shapes import with_shapes
from taut.graph.verify import verify


def _assert_same(graph: Graph, folded: Graph) -> None:
    verify(folded, "folding")
    inputs = random_inputs(graph)
    for name, expected in run(graph, **inputs).items():
        np.testing.assert_allclose(run(folded, **inputs)[name], expected, rtol=1e-4, atol=1e-5)


def _normalised(layer: Node, x: tuple[int, ...], channels: int, **constants: np.ndarray) -> Graph:
    """A layer that reads x and makes "a", with a batch normalisation behind it."""
    scale, bias, mean, spread = random_array(4, channels, seed=9)
    statistics = {"scale": scale, "bias": bias, "mean": mean, "var": np.abs(spread) + 0.1}
    norm = Node("norm", "BatchNormalization", ("a", *statistics), ("y",), {"epsilon": 0.01})
    inputs, outputs = (Value("x", "float32", x),), (Value("y", "float32", None),)
    return Graph("pair", inputs, outputs, (layer, norm), {**constants, **statistics})


@settings(max_examples=30, deadline=None)
@given(
    transposed=st.booleans(),
    group=st.integers(1, 3),
    width=st.integers(1, 3),
    rank=st.integers(1, 2),
    has_bias=st.booleans(),
)
def test_fold_batch_norm_keeps_convolutions_of_every_layout(
    transposed: bool, group: int, width: int, rank: int, has_bias: bool
) -> None:
    channels_in, channels_out = 2 * group, width * group
    shape = (channels_in, width) if transposed else (channels_out, 2)
    constants = {"w": random_array(*shape, *[3] * rank), "b": random_array(channels_out, seed=1)}
    if not has_bias:
        del constants["b"]
    op = "ConvTranspose" if transposed else "Conv"
    layer = Node("layer", op, ("x", *constants), ("a",), {"group": group})
    graph = _normalised(layer, (2, channels_in, *[5] * rank), channels_out, **constants)
    folded, names = fold_batch_norm(graph)
    assert names == {"norm": ("layer",)} and [node.name for node in folded] == ["layer"]
    _assert_same(graph, folded)


@pytest.mark.parametrize("bias", [(), (4,), (1, 4), (3, 4), (3, 1)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_fold_batch_norm_keeps_gemm_with_any_bias(bias: tuple[int, ...], transposed: int) -> None:
    weight = random_array(*((4, 5) if transposed else (5, 4)))
    attributes = {"transB": transposed, "alpha": 0.5, "beta": 2.0}
    layer = Node("layer", "Gemm", ("x", "w", "b"), ("a",), attributes)
    graph = _normalised(layer, (3, 5), 4, w=weight, b=random_array(*bias, seed=1))
    folded, names = fold_batch_norm(graph)
    assert names == {"norm": ("layer",)}
    _assert_same(graph, folded)


def test_fold_batch_norm_folds_all_of_a_network_and_says_where() -> None:
    graph = with_shapes(residual_net())
    folded, names = fold_batch_norm(graph)
    assert names == {"bn1": ("conv1",), "bn2": ("conv2",)}
    assert not [node for node in folded if node.op == "BatchNormalization"]
    assert folded.value("b1") == graph.value("b1") and "bn1.var" not in folded.constants
    assert graph.by_name["bn1"] and not np.shares_memory(
        folded.constants["conv1.w"], graph.constants["conv1.w"]
    )
    _assert_same(graph, folded)


def test_fold_batch_norm_leaves_a_layer_that_has_another_reader() -> None:
    graph = residual_net()
    second = replace(graph.by_name["add"], inputs=("b2", "c1"))
    read_twice = replace(graph, nodes=tuple(second if node.name == "add" else node for node in graph))
    assert fold_batch_norm(read_twice)[1] == {"bn2": ("conv2",)}
    as_output = replace(graph, outputs=(*graph.outputs, Value("c1", "float32", (1, 4, 8, 8))))
    assert fold_batch_norm(as_output)[1] == {"bn2": ("conv2",)}


def test_fold_batch_norm_leaves_training_and_variable_weights() -> None:
    graph = residual_net()
    training = Editor(graph)
    training.change("bn1", attributes={"training_mode": 1})
    variable = Editor(graph)
    variable.add("Neg", ["conv2.w"], ["negated"], name="negate")
    variable.redirect("conv2.w", "negated", only={"conv2"})
    assert fold_batch_norm(training.graph())[1] == {"bn2": ("conv2",)}
    assert fold_batch_norm(variable.graph())[1] == {"bn1": ("conv1",)}


def test_fold_batch_norm_keeps_weights_that_another_layer_shares() -> None:
    edit = Editor(residual_net())
    edit.add("Conv", ["r2", "conv2.w"], ["c3"], name="conv3", attributes={"pads": [1, 1, 1, 1]})
    edit.redirect("r2", "c3", only={"pool"})
    graph = edit.graph()
    folded, _ = fold_batch_norm(graph)
    assert folded.by_name["conv3"].inputs[1] == "conv2.w" != folded.by_name["conv2"].inputs[1]
    _assert_same(graph, folded)


def test_fold_constants_computes_chains_and_keeps_the_rest() -> None:
    graph = parse(
        """
        agraph (float[2, 6] x) => (float[3, 4] y)
        <int64[1] three = {3}, int64[1] four = {4}, float[1] half = {0.5}> {
            target = Concat<axis = 0>(three, four)
            flipped = Neg(half)
            a = Mul(x, flipped)
            y = Reshape(a, target)
        }
        """
    )
    folded = fold_constants(graph)
    assert [node.op for node in folded] == ["Mul", "Reshape"]
    assert folded.constants["target"].tolist() == [3, 4] and set(folded.constants) == {"target", "flipped"}
    _assert_same(graph, folded)


def test_fold_constants_leaves_large_expansions_random_and_dequantized_values() -> None:
    graph = parse(
        """
        agraph (float[1] x) => (float[100, 1000] y, float[2] z)
        <int64[2] size = {100, 1000}, int8[2] q = {1, 2}, float scale = {0.1}> {
            zeros = ConstantOfShape(size)
            y = Add(zeros, x)
            weight = DequantizeLinear(q, scale)
            noise = RandomUniformLike<dtype = 1>(q)
            noisy = Add(noise, weight)
            z = Mul(noisy, x)
        }
        """
    )
    assert [node.op for node in fold_constants(graph)] == [node.op for node in graph]


def test_fold_constants_folds_a_large_weight_that_only_changes_its_layout() -> None:
    edit = Editor(parse("agraph (float[1, 200] x) => (float[1, 300] y) { y = Relu(x) }"))
    edit.set_constant("w", random_array(300, 200))
    edit.add("Transpose", ["w"], ["t"], name="transpose", attributes={"perm": [1, 0]})
    edit.add("MatMul", ["x", "t"], ["y"], name="product")
    edit.remove("Relu_0")
    folded = fold_constants(edit.graph())
    assert [node.op for node in folded] == ["MatMul"] and folded.constants["t"].shape == (200, 300)


def test_fold_constants_leaves_what_the_runtime_cannot_compute() -> None:
    graph = parse(
        """
        agraph (float[1] x) => (bfloat16[1] y) <float[1] one = {1.0}> {
            narrow = Cast<to = 16>(one)
            wide = Cast<to = 16>(x)
            y = Add(narrow, wide)
        }
        """
    )
    assert [node.op for node in fold_constants(graph)] == ["Cast", "Cast", "Add"]
