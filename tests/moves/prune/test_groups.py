from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from tests.moves.prune.prune_nets import (
    Net,
    attention,
    depthwise,
    gated,
    joined,
    layouts_agree,
    plain,
    random_nets,
    residual,
)

from taut.graph import Graph
from taut.moves.prune.groups import Group, Role, group_widths, trace_channels


def _by_name(graph: Graph) -> dict[str, Group]:
    return {group.name: group for group in trace_channels(graph).groups}


def _touched(group: Group, role: Role) -> set[tuple[str, int]]:
    return {(cut.constant, cut.axis) for cut in group.having(role)}


def _with_head(net: Net, data: str, channels: int) -> Graph:
    flat = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    return net.graph(net.linear(flat, channels, 5, "head"))


def test_groups_match_the_worked_instance() -> None:
    net = Net()
    data = net.batch_norm(net.conv("image", (8, 3), "conv1"), 8, "bn1")
    flat = net.node("Flatten", net.node("Relu", data), axis=1)
    graph = net.graph(net.linear(flat, 8 * 36, 5, "fc"))
    (group,) = trace_channels(graph).groups
    assert (group.name, group.size) == ("conv1", 8)
    cuts = {cut.constant: cut for cut in group.cuts}
    assert set(cuts) == {"conv1.weight", "bn1.scale", "bn1.bias", "bn1.mean", "bn1.var", "fc.weight"}
    assert cuts["conv1.weight"].positions == tuple((unit,) for unit in range(8))
    assert cuts["fc.weight"].axis == 1
    assert cuts["fc.weight"].positions[2] == tuple(range(72, 108))
    (skipped,) = trace_channels(graph).skipped
    assert (skipped.node, skipped.reason) == ("fc", "reaches the output 'fc_out0'")


def test_residual_add_ties_its_producers() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data, channels = residual(net, data, 8, "block", 4)
    groups = _by_name(_with_head(net, data, channels))
    assert set(groups) == {"stem", "block.conv"}
    assert _touched(groups["stem"], Role.PRODUCES) == {("stem.weight", 0), ("block.back.weight", 0)}
    assert _touched(groups["stem"], Role.CONSUMES) == {("block.conv.weight", 1), ("head.weight", 1)}


def test_concat_gives_each_producer_its_offset() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data, channels = joined(net, data, 8, "block", 4)
    groups = _by_name(_with_head(net, data, channels))
    (consumer,) = (cut for cut in groups["stem"].cuts if cut.constant == "head.weight")
    assert consumer.positions[0] == (4,)
    (consumer,) = (cut for cut in groups["block.conv"].cuts if cut.constant == "head.weight")
    assert consumer.positions[0] == (0,)


def test_depthwise_convolution_carries_the_channels_of_its_input() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data, channels = depthwise(net, data, 8, "block", 4)
    groups = _by_name(_with_head(net, data, channels))
    carried = {cut.constant: cut for cut in groups["stem"].having(Role.CARRIES)}
    assert carried["block.depthwise.weight"].positions[3] == (6, 7)


def test_grouped_convolution_loses_equal_shares() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data = net.conv(data, (4, 4), "grouped", groups=2)
    groups = _by_name(_with_head(net, data, 4))
    assert groups["stem"].size == 4
    cuts = {cut.constant: cut for cut in groups["stem"].cuts}
    assert cuts["stem.weight"].positions[1] == (1, 5)
    assert cuts["grouped.weight"].positions[1] == (1,)
    assert groups["grouped"].size == 2


def test_many_small_convolution_groups_are_cut_whole() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data = net.conv(data, (16, 2), "grouped", groups=4)
    groups = _by_name(_with_head(net, data, 16))
    assert set(groups) == {"stem"}
    cuts = {cut.constant: cut for cut in groups["stem"].cuts}
    assert cuts["stem.weight"].positions[1] == (2, 3)
    assert cuts["head.weight"].positions[1] == (4, 5, 6, 7)


def test_gate_is_cut_with_what_it_gates() -> None:
    net = Net()
    data = net.node("Relu", net.conv("image", (8, 3), "stem"))
    data, channels = gated(net, data, 8, "block", 4)
    groups = _by_name(_with_head(net, data, channels))
    assert _touched(groups["stem"], Role.PRODUCES) == {("stem.weight", 0), ("block.excite.weight", 0)}


def test_attention_is_cut_by_heads() -> None:
    groups = _by_name(attention(heads=4, width=3))
    assert set(groups) == {"query"}
    group = groups["query"]
    assert (group.size, group.channels_per_unit) == (4, 3)
    assert _touched(group, Role.PRODUCES) == {(f"{part}.weight", 1) for part in ("query", "key", "value")}
    (out,) = group.having(Role.CONSUMES)
    assert (out.constant, out.positions[1]) == ("out.weight", (3, 4, 5))


def test_unknown_operator_freezes_what_reaches_it_by_name() -> None:
    net = Net()
    data, channels = plain(net, "image", 3, "block", 8)
    data = net.node("LRN", data, name="odd", size=3)
    channels_found = trace_channels(_with_head(net, data, channels))
    assert not channels_found.groups
    reasons = {skipped.node: skipped.reason for skipped in channels_found.skipped}
    assert reasons["block.conv"] == "reaches LRN 'odd', which has no rule"


def test_softmax_over_channels_freezes_them() -> None:
    net = Net()
    data = net.node("Softmax", net.conv("image", (8, 3), "stem"), axis=1)
    assert not trace_channels(_with_head(net, data, 8)).groups


def test_constant_that_another_node_needs_whole_is_not_cut() -> None:
    net = Net()
    pooled = net.node("GlobalAveragePool", net.conv("image", (8, 3), "stem", kernel=1))
    head = net.linear(net.node("Flatten", pooled, axis=1), 8, 8, "head")
    brightness = net.node("ReduceMean", "image", net.constant("all", np.arange(1, 4)), keepdims=0)
    counted = net.node("ReduceMean", net.node("Mul", "head.weight", brightness), net.constant("first", [0]))
    channels = trace_channels(net.graph(net.node("Add", head, counted), result=8))
    assert not channels.groups
    assert "stem" in {skipped.node for skipped in channels.skipped}


def test_vectors_that_unrelated_nodes_share_do_not_tie_them() -> None:
    net = Net()
    data = net.node("Relu", net.batch_norm(net.conv("image", (8, 3), "one"), 8, "bn"))
    data = net.conv(data, (8, 8), "two")
    data = net.node("BatchNormalization", data, "bn.scale", "bn.bias", "bn.mean", "bn.var", name="other")
    assert set(_by_name(_with_head(net, data, 8))) == {"one", "two"}


@settings(max_examples=30, deadline=None)
@given(random_nets())
def test_every_position_of_a_followed_axis_has_one_atom(graph: Graph) -> None:
    channels = trace_channels(graph)
    assert channels.groups
    assert all(layouts_agree(channels, layout, name) for name, layout in channels.layouts.items())


@pytest.mark.parametrize(
    ("size", "run", "multiple", "expected"),
    [
        (16, 1, 8, (16, 8)),
        (20, 1, 8, (20, 16, 8)),
        (8, 8, 8, (8, 7, 6, 5, 4, 3, 2, 1)),
        (6, 4, 8, (6, 4, 2)),
        (5, 1, 8, (5,)),
    ],
)
def test_group_widths_are_multiples_of_the_devices(
    size: int, run: int, multiple: int, expected: tuple[int, ...]
) -> None:
    net = Net()
    data = net.conv("image", (size * run, 3), "stem", kernel=1)
    if run > 1:
        data = net.conv(data, (size * run, run), "grouped", groups=size, kernel=1)
    (group,) = trace_channels(_with_head(net, data, size * run)).groups
    assert group_widths(group, multiple) == expected
