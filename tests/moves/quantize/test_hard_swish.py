from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.moves.quantize.quantize_nets import images, outputs_of, swish_net

from taut.graph import Graph
from taut.graph.verify import verify
from taut.moves.quantize.hard_swish import with_hard_sigmoids


def with_number(graph: Graph, name: str, number: float) -> Graph:
    return replace(graph, constants={**graph.constants, name: np.array(number, np.float32)})


def test_both_forms_become_hard_sigmoid_and_product() -> None:
    graph = swish_net()
    gated, names = with_hard_sigmoids(graph)
    verify(gated, "gating")
    assert [node.name for node in gated if node.op == "HardSigmoid"] == ["clip", "swish_gate", "gate"]
    assert names == {"shift": ("clip",), "divide": ("product",)}
    assert not {"HardSwish", "Clip", "Div"} & {node.op for node in gated}
    np.testing.assert_allclose(outputs_of(gated, images(2)), outputs_of(graph, images(2)), atol=1e-5)


def test_formulas_with_other_numbers_stay() -> None:
    for name, number in (("three", 2.0), ("zero", 0.1)):
        other = with_number(swish_net(), name, number)
        gated, names = with_hard_sigmoids(other)
        assert names == {} and "clip" in gated.by_name and gated.by_name["clip"].op == "Clip"
        np.testing.assert_allclose(outputs_of(gated, images(1)), outputs_of(other, images(1)), atol=1e-5)
