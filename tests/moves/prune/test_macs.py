from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.moves.prune.prune_nets import attention, random_nets

from taut.graph import Graph
from taut.graph.costs import node_costs, total_costs
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import Group, trace_channels, without_groups
from taut.moves.prune.macs import WidthCosts


@settings(max_examples=40)
@given(st.data(), random_nets())
def test_costs_at_any_widths_are_those_of_the_cut_graph(data: st.DataObject, graph: Graph) -> None:
    channels = trace_channels(graph)
    even = [group for group in channels.groups if not group.subsets and _units_are_alike(group)]
    widths = {group.name: data.draw(st.integers(1, group.size)) for group in even}
    whole = {group.name: group.size for group in channels.groups}
    small = cut_channels(Kept.units(channels, {name: range(width) for name, width in widths.items()}))
    costs = WidthCosts.of(channels)
    assert costs.total({**whole, **widths}) == pytest.approx(total_costs(small).macs)


def _units_are_alike(group: Group) -> bool:
    """An odd slice leaves some units fewer positions than others, which only their average counts."""
    return all(len({len(positions) for positions in cut.positions}) == 1 for cut in group.cuts)


def test_costs_of_attention_fall_with_its_heads() -> None:
    channels = trace_channels(attention())
    small = cut_channels(Kept.units(channels, {"query": [1]}))
    costs = WidthCosts.of(channels)
    found = {name: costs.node(name, {"query": 1}) for name in costs.macs}
    assert found == pytest.approx({cost.node: cost.macs for cost in node_costs(small) if cost.macs})


def test_groups_left_out_count_as_fixed() -> None:
    channels = trace_channels(attention())
    costs = WidthCosts.of(without_groups(channels, {"key"}))
    assert costs.sizes == {}
    assert costs.total({}) == total_costs(channels.graph).macs
