from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from small_nets import parse, random_inputs, residual_net, run, runnable_graphs

from taut.graph import Editor, Graph, Node, Value
from taut.graph.ir import reads
from taut.graph.order import Cycle, sort_nodes


@settings(max_examples=50, deadline=None)
@given(runnable_graphs())
def test_editor_keeps_what_the_graph_computes_and_drops_what_nothing_reads(graph: Graph) -> None:
    edited = Editor(graph).graph()
    inputs = random_inputs(graph)
    expected = run(graph, **inputs)
    assert all(np.array_equal(array, expected[name]) for name, array in run(edited, **inputs).items())
    wanted = {name for node in edited for name in reads(node)} | {value.name for value in graph.outputs}
    assert all(wanted & set(node.outputs) for node in edited)
    assert set(edited.constants) <= wanted


def test_editor_removes_a_node_when_its_readers_are_redirected() -> None:
    graph = residual_net()
    edit = Editor(graph)
    edit.remove("relu1")
    edit.redirect("r1", "b1")
    edited = edit.graph()
    assert "relu1" not in edited.by_name and edited.by_name["add"].inputs == ("b2", "b1")
    assert graph.by_name["add"].inputs == ("b2", "r1")


def test_redirect_reaches_only_the_named_nodes() -> None:
    edit = Editor(residual_net())
    edit.redirect("r1", "b1", only={"add"})
    edited = edit.graph()
    assert edited.by_name["add"].inputs == ("b2", "b1") and edited.by_name["conv2"].inputs[0] == "r1"


def test_redirect_reaches_what_a_subgraph_captures() -> None:
    graph = parse(
        """
        agraph (float[2] x, bool flag) => (float[2] y) {
            a = Neg(x)
            b = Exp(x)
            y = If (flag) <
                then_branch = yes () => (float[2] t) {
                    t = If (flag) <
                        then_branch = deep () => (float[2] d) { d = Identity(a) },
                        else_branch = other () => (float[2] o) { o = Neg(a) }
                    >
                },
                else_branch = no () => (float[2] e) { e = Identity(a) }
            >
        }
        """
    )
    edit = Editor(graph)
    edit.redirect("a", "b")
    edited = edit.graph()
    x = np.float32([1, 2])
    for flag in (True, False):
        np.testing.assert_allclose(run(edited, x=x, flag=np.array(flag))["y"], np.exp(x), rtol=1e-6)
    np.testing.assert_array_equal(run(graph, x=x, flag=np.array(True))["y"], -x)


def test_consumers_list_a_node_whose_subgraph_captures_the_value() -> None:
    graph = parse(
        """
        agraph (float[2] x, bool flag) => (float[2] y) {
            a = Neg(x)
            y = If (flag) <
                then_branch = yes () => (float[2] t) { t = Identity(a) },
                else_branch = no () => (float[2] e) { inner = Exp(x) e = Neg(inner) }
            >
        }
        """
    )
    (reader,) = graph.consumers("a")
    assert reader.op == "If" and set(reads(reader)) == {"flag", "a", "x"}


def test_fresh_gives_names_that_nothing_has() -> None:
    edit = Editor(residual_net())
    names = [edit.fresh("conv1"), edit.fresh("conv1"), edit.fresh("fc.w"), edit.fresh("new")]
    assert names == ["conv1_1", "conv1_2", "fc.w_1", "new"]


def test_set_value_of_an_output_replaces_its_type() -> None:
    edit = Editor(residual_net())
    edit.set_value(Value("logits", "float32", (1, 3)))
    edited = edit.graph()
    assert edited.outputs == (Value("logits", "float32", (1, 3)),) and not edited.values


@settings(max_examples=50, deadline=None)
@given(runnable_graphs())
def test_sort_nodes_restores_an_order_and_keeps_a_sorted_one(graph: Graph) -> None:
    assert tuple(sort_nodes(graph.nodes)) == graph.nodes
    seen = {value.name for value in graph.inputs} | set(graph.constants)
    for node in sort_nodes(graph.nodes[::-1]):
        assert set(node.inputs) <= seen
        seen |= set(node.outputs)


def test_sort_nodes_names_a_node_when_there_is_a_cycle() -> None:
    nodes = [Node("a", "Neg", ("y",), ("x",)), Node("b", "Neg", ("x",), ("y",))]
    with pytest.raises(Cycle, match="node 'a'"):
        sort_nodes(nodes)
