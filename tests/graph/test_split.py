from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_nets import parse, random_inputs, residual_net, run, runnable_graphs

from taut.core.errors import BadInput
from taut.graph import Editor, Graph, Value
from taut.graph.ir import reads
from taut.graph.shapes import with_shapes
from taut.graph.split import single_tensor_edges, split
from taut.graph.verify import verify


def _chained(parts: Sequence[Graph], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the parts compute when each reads from the inputs and from the parts before it."""
    known = dict(inputs)
    for part in parts:
        verify(part, "split")
        known |= run(part, **{value.name: known[value.name] for value in part.inputs})
    return known


def _assert_chain_equals_whole(graph: Graph, parts: Sequence[Graph]) -> None:
    inputs = random_inputs(graph)
    chained = _chained(parts, inputs)
    for name, expected in run(graph, **inputs).items():
        np.testing.assert_array_equal(chained[name], expected)


@settings(max_examples=40, deadline=None)
@given(runnable_graphs())
def test_every_single_tensor_edge_cuts_a_random_graph_into_an_equal_chain(graph: Graph) -> None:
    graph = with_shapes(Editor(graph).graph())
    for edge in single_tensor_edges(graph):
        head, tail = parts = split(graph, [[edge]])
        made = {name for node in head for name in node.outputs}
        assert made & {value.name for value in tail.inputs} == {edge}
        _assert_chain_equals_whole(graph, parts)


@settings(max_examples=100, deadline=None)
@given(runnable_graphs())
def test_single_tensor_edges_are_exactly_the_values_that_split_accepts(graph: Graph) -> None:
    graph = with_shapes(Editor(graph).graph())
    read = [name for node in graph for name in node.outputs if graph.consumers(name)]
    accepted = []
    for value in read:
        try:
            split(graph, [[value]])
        except BadInput:
            continue
        accepted.append(value)
    assert list(single_tensor_edges(graph)) == accepted


@settings(max_examples=60, deadline=None)
@given(runnable_graphs(), st.data())
def test_split_at_everything_that_crosses_equals_the_whole(graph: Graph, data: st.DataObject) -> None:
    """Cut after any number of nodes: what they make and later nodes read is a cut."""
    graph = with_shapes(Editor(graph).graph())
    flowing = [node for node in graph if not graph.constant_values.issuperset(node.outputs)]
    assume(len(flowing) > 1)
    place = data.draw(st.integers(1, len(flowing) - 1))
    later = {name for node in flowing[place:] for name in reads(node)}
    cut = [name for node in flowing[:place] for name in node.outputs if name in later]
    assume(cut)
    parts = split(graph, [cut])
    _assert_chain_equals_whole(graph, parts)


def test_split_of_a_network_gives_three_parts_with_their_boundary() -> None:
    graph = with_shapes(residual_net())
    parts = split(graph, [["r1"], ["pooled"]])
    names = [
        ([value.name for value in part.inputs], [value.name for value in part.outputs]) for part in parts
    ]
    assert names == [(["image"], ["r1"]), (["r1"], ["pooled"]), (["pooled"], ["logits"])]
    assert [node.name for part in parts for node in part] == [node.name for node in graph]
    assert parts[1].value("r1") == Value("r1", "float32", (1, 4, 8, 8))
    assert set(parts[2].constants) == {"fc.w", "fc.b"}
    _assert_chain_equals_whole(graph, parts)


def test_split_at_two_values_carries_both() -> None:
    graph = with_shapes(residual_net())
    parts = split(graph, [["c2", "r1"]])
    assert [value.name for value in parts[1].inputs] == ["r1", "c2"]
    _assert_chain_equals_whole(graph, parts)


def test_single_tensor_edges_of_a_network_leave_out_the_residual_block() -> None:
    edges = single_tensor_edges(residual_net())
    assert edges == ("c1", "b1", "r1", "sum", "r2", "pooled", "flat")


def test_split_copies_shared_constants_and_what_is_made_of_them() -> None:
    graph = parse(
        """
        agraph (float[2] x) => (float[2] y) <float[2] w = {1.0, 2.0}> {
            doubled = Add(w, w)
            a = Mul(x, doubled)
            b = Relu(a)
            y = Add(b, doubled)
        }
        """
    )
    graph = with_shapes(graph)
    assert single_tensor_edges(graph) == ("a", "b")
    parts = split(graph, [["a"]])
    assert all("w" in part.constants and part.producer("doubled") for part in parts)
    _assert_chain_equals_whole(graph, parts)


def test_split_hands_inputs_and_outputs_to_every_part_that_needs_them() -> None:
    graph = parse(
        """
        agraph (float[2] x, float[2] z) => (float[2] early, float[2] a, float[2] y, float[2] x) {
            start = Tanh(x)
            a = Neg(start)
            b = Add(a, z)
            early = Exp(start)
            y = Mul(b, x)
        }
        """
    )
    graph = with_shapes(graph)
    parts = split(graph, [["a"], ["b"]])
    assert [[node.op for node in part] for part in parts] == [["Tanh", "Neg", "Exp"], ["Add"], ["Mul"]]
    assert [value.name for value in parts[0].outputs] == ["early", "a"]
    assert [value.name for value in parts[2].inputs] == ["x", "b"]
    _assert_chain_equals_whole(graph, parts)


def test_split_follows_what_a_subgraph_captures() -> None:
    graph = parse(
        """
        agraph (float[2] x, float[2] z) => (float[2] y) {
            flag = ReduceMax<keepdims = 0>(z)
            zero = Sub(flag, flag)
            is_up = Greater(flag, zero)
            a = Neg(x)
            b = Exp(a)
            y = If (is_up) <
                then_branch = yes () => (float[2] t) { t = Add(a, b) },
                else_branch = no () => (float[2] e) { e = Sub(a, b) }
            >
        }
        """
    )
    graph = with_shapes(graph)
    with pytest.raises(BadInput, match="'a' cross too"):
        split(graph, [["b"]])
    _assert_chain_equals_whole(graph, split(graph, [["a", "b"]]))


@pytest.mark.parametrize(
    ("cuts", "rule"),
    [
        ([["c2"]], "cut at 'c2': does not separate the graph: 'r1' cross too"),
        ([["ghost"]], "'ghost': is made by no node"),
        ([["image"]], "'image': is made by no node"),
        ([["fc.w"]], "'fc.w': is made by no node"),
        ([[]], "cut at nothing"),
        ([["logits"]], "leaves a part without nodes"),
        ([["r2"], ["r1"]], "'r1': leaves a part without nodes; order cuts"),
        ([["r1"], ["r1"]], "leaves a part without nodes"),
    ],
)
def test_split_refuses_what_is_no_cut(cuts: list[list[str]], rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        split(with_shapes(residual_net()), cuts)


def test_split_asks_for_types_when_they_are_not_known() -> None:
    with pytest.raises(BadInput, match="'r1': has no known type; infer shapes first"):
        split(residual_net(), [["r1"]])
