from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.moves.prune.prune_nets import (
    Net,
    attention,
    depthwise,
    fused_attention,
    random_nets,
    run,
    with_computed_shape,
    with_group_norm,
    with_transposed_convolution,
    with_zeros,
)

from taut.graph import Graph
from taut.graph.costs import total_costs
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


@pytest.mark.parametrize(
    ("graph", "group", "zeros"),
    [
        (attention(), "query", {0, 2}),
        (fused_attention(), "query", {1, 3}),
        (with_transposed_convolution(), "up", {0, 5, 11}),
        (with_transposed_convolution(), "pixels", {2, 3}),
        (with_computed_shape(), "stem", {0, 4, 7}),
    ],
)
def test_cutting_zero_units_of_special_groups_leaves_outputs_unchanged(
    graph: Graph, group: str, zeros: set[int]
) -> None:
    channels = trace_channels(graph)
    zeroed = with_zeros(channels, {group: zeros})
    small = cut_channels(Kept.units(zeroed, {group: set(range(channels.by_name[group].size)) - zeros}))
    assert total_costs(small).macs < total_costs(graph).macs
    verify(small, "prune")
    np.testing.assert_allclose(run(small), run(zeroed.graph), rtol=1e-4, atol=1e-5)


def test_group_norms_lose_as_many_channels_in_every_group() -> None:
    channels = trace_channels(with_group_norm())
    assert {group.name: group.size for group in channels.groups} == {"stem": 2, "second": 4}
    small = cut_channels(Kept.units(channels, {"stem": [1], "second": [0, 3]}))
    assert small.constants["norm.scale"].shape == (4,)
    verify(small, "prune")
    assert np.isfinite(run(small)).all()


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
