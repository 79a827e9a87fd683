from __future__ import annotations

import torch

from taut.graph.to_torch import follows_batch, to_torch
from taut.graph.verify import verify
from taut.nets.mobilenet_v1 import MobileNetSpec, mobilenet_graph

SPEC = MobileNetSpec((3, 16, 16), stem=8, blocks=((16, 1), (24, 2)), classes=5)


def test_graph_is_sound_and_has_the_shapes_of_the_spec() -> None:
    graph = mobilenet_graph(SPEC)
    verify(graph, "building")
    assert [node.attributes["group"] for node in graph if node.op == "Conv"] == [1, 8, 1, 16, 1]
    value = graph.value("block1.pointwise.relu6.out")
    assert value is not None and value.shape == (1, 24, 8, 8)
    assert graph.outputs[0].shape == (1, 5)


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    assert (
        mobilenet_graph(SPEC, 1).digest()
        == mobilenet_graph(SPEC, 1).digest()
        != mobilenet_graph(SPEC).digest()
    )


def test_initial_activations_keep_their_size_through_the_net() -> None:
    """He's initialisation: a signal neither dies nor explodes."""
    module = to_torch(mobilenet_graph(SPEC)).train()
    values = module.values_of([torch.randn(16, 3, 16, 16)], ["block1.pointwise.conv.out"])
    assert 0.2 < values["block1.pointwise.conv.out"].std() < 5
    assert follows_batch(mobilenet_graph(SPEC))
