from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.moves.prune.prune_nets import Net, attention, depthwise, random_nets, run, with_zeros

from taut.graph import Graph
from taut.graph.shapes import with_shapes
from taut.graph.verify import verify
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import Channels, trace_channels


def _some_units(draw: st.DrawFn, channels: Channels) -> dict[str, set[int]]:
    """Units to remove of each group, leaving one of every set that must not vanish."""
    removed = {}
    for group in channels.groups:
        units = draw(st.sets(st.integers(0, group.size - 1), max_size=group.size - 1))
        removed[group.name] = units - {min(subset) for subset in group.subsets}
    return removed


@settings(max_examples=60, deadline=None)
@given(st.data(), random_nets())
def test_cutting_zero_channels_leaves_outputs_unchanged(data: st.DataObject, graph: Graph) -> None:
    channels = trace_channels(graph)
    removed = data.draw(st.composite(_some_units)(channels))
    zeroed = with_zeros(channels, removed)
    kept = {group.name: sorted(set(range(group.size)) - removed[group.name]) for group in channels.groups}
    small = cut_channels(Kept.units(zeroed, kept))
    verify(small, "prune")
    np.testing.assert_allclose(run(small), run(zeroed.graph), rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(random_nets())
def test_recorded_shapes_after_cutting_are_those_that_are_inferred(graph: Graph) -> None:
    channels = trace_channels(graph)
    some = {group.name: range(1, group.size) for group in channels.groups if not group.subsets}
    small = cut_channels(Kept.units(channels, some))
    inferred = with_shapes(small)
    assert {name: value.shape for name, value in small.values.items()} == {
        name: inferred.values[name].shape for name in small.values
    }


def test_cutting_heads_without_values_leaves_outputs_unchanged() -> None:
    channels = trace_channels(attention())
    zeroed = with_zeros(channels, {"query": {0, 2}})
    small = cut_channels(Kept.units(zeroed, {"query": [1, 3]}))
    assert small.constants["query.weight"].shape == (8, 6)
    np.testing.assert_allclose(run(small), run(zeroed.graph), rtol=1e-4, atol=1e-5)


def test_cutting_shrinks_weights_and_the_number_of_groups() -> None:
    net = Net()
    stem = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data, out = depthwise(net, stem, 8, "block", 4)
    flat = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    channels = trace_channels(net.graph(net.linear(flat, out, 5, "head")))
    small = cut_channels(Kept.units(channels, {"stem": [0, 3, 5]}))
    assert small.by_name["block.depthwise"].attributes["group"] == 3
    assert small.constants["block.depthwise.weight"].shape == (6, 1, 3, 3)
    assert small.constants["block.conv.weight"].shape == (4, 6, 3, 3)
    np.testing.assert_array_equal(
        small.constants["stem.weight"], channels.graph.constants["stem.weight"][[0, 3, 5]]
    )


def test_cutting_nothing_returns_an_equal_graph() -> None:
    channels = trace_channels(attention())
    assert cut_channels(Kept.units(channels, {})).digest() == channels.graph.digest()
