"""What became of nodes over several moves, and plans: their order and identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.move import Form, NameMap, Plan, describe_move, move_to_json
from taut.core.network import MAIN, Network, Part, Run, Stage

NAMES = ["conv", "bn", "relu", "add", "fused", "int8"]
name_maps = st.builds(
    NameMap,
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple)
    ),
)


def _slow_follow(old: str, maps: list[NameMap]) -> set[str]:
    names = {old}
    for step in maps:
        names = {new for name in names for new in step.new_names(name)}
    return names


@given(st.lists(name_maps, min_size=1, max_size=4))
def test_composed_map_says_what_following_each_step_says(maps: list[NameMap]) -> None:
    composed = maps[0]
    for step in maps[1:]:
        composed = composed.then(step)
    for old in NAMES:
        assert set(composed.new_names(old)) == _slow_follow(old, maps)


@given(name_maps, name_maps, name_maps)
def test_composition_is_associative(first: NameMap, second: NameMap, third: NameMap) -> None:
    left, right = first.then(second).then(third), first.then(second.then(third))
    for old in NAMES:
        assert set(left.new_names(old)) == set(right.new_names(old))


@given(name_maps)
def test_empty_map_changes_nothing(names: NameMap) -> None:
    for old in NAMES:
        assert names.then(NameMap()).new_names(old) == names.new_names(old)
        assert NameMap().then(names).new_names(old) == names.new_names(old)


def test_name_merged_into_a_kept_node_follows_what_becomes_of_it() -> None:
    folded = NameMap({"bn": ("conv",), "relu": ()})
    removed = folded.then(NameMap({"conv": ()}))
    assert removed.new_names("bn") == removed.new_names("conv") == removed.new_names("relu") == ()
    assert removed.new_names("add") == ("add",)


@dataclass(frozen=True)
class Rename:
    """A move of plain values; it is never applied."""

    old: str
    new: str
    form: Form = Form.GRAPH
    kind = "rename"


def test_plan_orders_by_form_and_keeps_the_order_within_one() -> None:
    run, graph, later_graph, module = (
        Rename("a", "run", Form.RUN),
        Rename("a", "graph", Form.GRAPH),
        Rename("a", "later", Form.GRAPH),
        Rename("a", "module", Form.MODULE),
    )
    plan = Plan.of([run, graph, later_graph, module])
    assert plan.moves == (module, graph, later_graph, run)
    assert Plan.of([graph]).with_move(module).moves == (module, graph)


def test_plan_digest_is_of_kinds_and_settings_not_of_the_label() -> None:
    first, second = Rename("a", "b"), Rename("a", "c")
    assert Plan.of([first], "one").digest() == Plan.of([first], "two").digest()
    assert Plan.of([first]) == Plan.of([first], "label")
    digests = {Plan.of(moves).digest() for moves in ([], [first], [second], [first, second], [second, first])}
    assert len(digests) == 5


def test_plan_to_json_is_kind_and_plain_settings() -> None:
    @dataclass(frozen=True)
    class Nested:
        table: dict[str, tuple[int, ...]]
        kind = "nested"
        form = Form.RUN

    assert move_to_json(Nested({"a": (1, 2)})) == {"move": "nested", "settings": {"table": {"a": [1, 2]}}}


@pytest.mark.parametrize("stages", [(), (Stage(until=("x",)),), (Stage(), Stage())])
def test_run_refuses_stages_whose_cuts_make_no_sense(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(ValueError):
        Run(stages)


def test_network_copies_share_nothing_that_changed() -> None:
    network = Network("net", {MAIN: Part("graph", source_file=Path("net.onnx"))})
    smaller = network.with_graph("smaller")
    assert (network.graph, smaller.graph) == ("graph", "smaller")
    assert smaller.parts[MAIN].source_file is None, "a changed graph is no longer the file it came from"
    faster: Any = network.with_run(Run((Stage("openvino", "bfloat16"),)))
    assert network.run == Run() != faster.run
    assert faster.parts[MAIN].source_file == Path("net.onnx")


def test_network_without_its_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="entry 'main'"):
        Network("net", {"head": Part("graph")})


@dataclass(frozen=True)
class _Tuned:
    nodes: tuple[str, ...] | None = None
    ranges: str = "minmax"
    bits: int = 8
    kind = "tuned"
    form = Form.GRAPH


def test_move_is_described_by_what_differs_from_its_defaults() -> None:
    assert describe_move(_Tuned()) == "tuned"
    assert describe_move(_Tuned(ranges="mse", bits=4)) == "tuned mse bits=4"


def test_long_settings_are_left_out_of_a_description() -> None:
    assert describe_move(_Tuned(nodes=tuple(f"conv{index}" for index in range(20)))) == "tuned"
