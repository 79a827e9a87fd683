from __future__ import annotations

import numpy as np
import pytest
from small_nets import parse, random_inputs, residual_net, run

from taut.graph import Graph
from taut.graph.shapes import with_shapes
from taut.graph.tidy import tidy


def tidied(text: str) -> Graph:
    """The tidied graph, after a check that it computes the same."""
    graph = with_shapes(parse(text))
    floats = random_inputs(graph)
    inputs = {value.name: floats[value.name].astype(value.dtype) for value in graph.inputs}
    result = tidy(graph)
    wanted, got = run(graph, **inputs), run(result, **inputs)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-6)
    return result


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph]


def test_shape_arithmetic_becomes_a_constant() -> None:
    graph = tidied(
        """net (float[2, 6] x) => (float[n, m] y) <int64[1] rest = {-1}, int64 zero = {0}> {
        sizes = Shape (x)
        first = Gather (sizes, zero)
        doubled = Add (first, first)
        target = Unsqueeze (doubled, unsqueezed)
        whole = Concat <axis = 0> (target, rest)
        y = Reshape (x, whole)
    }""".replace("int64 zero", "int64[1] unsqueezed = {0}, int64 zero")
    )
    assert ops(graph) == ["Reshape"]
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == [4, -1]


def test_cast_to_the_type_of_another_value_is_plain_or_gone() -> None:
    graph = tidied("""net (float[2] x, int64[2] k) => (float[2] y) {
        same = CastLike (x, x)
        real = CastLike (k, same)
        y = Add (same, real)
    }""")
    assert ops(graph) == ["Cast", "Add"]
    assert graph.nodes[0].attributes == {"to": 1}


def test_nodes_that_change_nothing_go() -> None:
    graph = tidied("""net (float[2, 3] x) => (float[2, 3] y) <int64[2] shape = {2, 3}> {
        a = Identity (x)
        b = Transpose <perm = [0, 1]> (a)
        c = Reshape (b, shape)
        d = Expand (c, shape)
        e = Cast <to = 1> (d)
        y = Relu (e)
    }""")
    assert [(node.op, node.inputs) for node in graph] == [("Relu", ("x",))]


def test_copy_that_is_an_output_stays() -> None:
    graph = tidied("net (float[2] x) => (float[2] y, float[2] z) { y = Relu (x) z = Identity (y) }")
    assert ops(graph) == ["Relu", "Identity"]


def test_turned_weight_keeps_its_name() -> None:
    graph = tidied("""net (float[1, 2] x) => (float[1, 3] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> {
        turned = Transpose <perm = [1, 0]> (w)
        y = MatMul (x, turned)
    }""")
    assert graph.nodes[0].inputs == ("x", "w.T")
    assert graph.constants["w.T"].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_gather_of_every_place_is_a_reshape() -> None:
    places = ", ".join(f"0, {place}" for place in range(3))
    graph = tidied(f"""net (float[1, 3] x) => (float[1, 1, 3] y) <int64[1, 1, 3, 2] places = {{{places}}}> {{
        y = GatherND (x, places)
    }}""")
    assert ops(graph) == ["Reshape"]


def test_gather_of_some_places_stays() -> None:
    graph = tidied("""net (float[1, 3] x) => (float[3] y) <int64[3, 2] places = {0, 1, 0, 0, 0, 2}> {
        y = GatherND (x, places)
    }""")
    assert ops(graph) == ["GatherND"]


@pytest.mark.parametrize(
    ("split", "sizes"), [("int64 split = {2}", [2, 2, 1]), ("int64[2] split = {1, 4}", [1, 4])]
)
def test_split_into_a_sequence_is_a_split_into_values(split: str, sizes: list[int]) -> None:
    graph = tidied(f"""net (float[2, 5] x) => (float[2, m] y, float[2, k] z)
        <{split}, int64 zero = {{0}}, int64 last = {{-1}}> {{
        parts = SplitToSequence <axis = 1> (x, split)
        first = SequenceAt (parts, zero)
        end = SequenceAt (parts, last)
        y = Neg (first)
        z = Abs (end)
    }}""")
    assert ops(graph) == ["Split", "Neg", "Abs"]
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == sizes


def test_bias_of_zeros_made_by_the_exporter_goes() -> None:
    graph = tidied("""net (float[1, 1, 4] x) => (float[1, 2, 4] y, float[1, 2, 4] z)
        <float[2, 1, 1] w = {1, 2}, float[2] stated = {0, 0}, int64[1] two = {2}> {
        zeros = ConstantOfShape (two)
        y = Conv (x, w, zeros)
        z = Conv (x, w, stated)
    }""")
    assert [len(node.inputs) for node in graph] == [2, 3]


def test_tidy_graph_stays_as_it_is() -> None:
    graph = with_shapes(residual_net())
    assert tidy(graph).digest() == graph.digest()
