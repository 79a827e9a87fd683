from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.moves.quantize.quantize_nets import images, outputs_of, residual_net

from taut.core.errors import BadInput
from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.graph.verify import verify
from taut.moves.quantize.opset import raise_opset


def old_net(axis: int) -> Graph:
    """Operators whose meaning or form changed in opset 13."""
    nodes = (
        Node("sum", "ReduceSum", ("image",), ("summed",), {"axes": [3], "keepdims": 0}),
        Node("widen", "Unsqueeze", ("summed",), ("wide",), {"axes": [1]}),
        Node("softmax", "Softmax", ("wide",), ("probable",), {"axis": axis}),
        Node("narrow", "Squeeze", ("probable",), ("narrowed",), {"axes": [1]}),
    )
    image, end = Value("image", "float32", (1, 4, 8, 8)), Value("narrowed", "float32", None)
    return with_shapes(Graph("old", (image,), (end,), nodes, {}, opsets={"": 11}))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_raised_graph_computes_the_same_under_the_same_names(axis: int) -> None:
    graph = old_net(axis)
    raised = raise_opset(graph, 13)
    verify(raised, "raising")
    assert raised.opsets[""] == 13 and {node.name for node in graph} <= {node.name for node in raised}
    np.testing.assert_allclose(outputs_of(raised, images(2)), outputs_of(graph, images(2)), rtol=1e-5)


def test_softmax_over_the_last_axis_stays_one_node() -> None:
    assert len(raise_opset(old_net(3), 13).nodes) == 4
    assert len(raise_opset(old_net(2), 13).nodes) > 4


def test_later_opsets_stay_as_they_are() -> None:
    graph = residual_net()
    assert raise_opset(graph, 13) is graph


def test_a_graph_that_cannot_be_raised_is_refused_with_a_way_out() -> None:
    node = Node("up", "Upsample", ("image",), ("end",), {"mode": b"nearest", "scales": [1.0, 1.0, 2.0, 2.0]})
    image, end = Value("image", "float32", (1, 4, 8, 8)), Value("end", "float32", None)
    broken = replace(node, attributes={"mode": b"nearest"})
    with pytest.raises(BadInput, match="export it with opset 13"):
        raise_opset(Graph("old", (image,), (end,), (broken,), {}, opsets={"": 7}), 13)
