from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.moves.prune.toy_task import small_graph, toy_context, toy_task

from taut.core.errors import BadInput
from taut.graph import Graph
from taut.graph.costs import total_costs
from taut.moves.prune.groups import trace_channels
from taut.moves.prune.macs import WidthCosts
from taut.moves.prune.reconstruct import stored_moments
from taut.search.pruning_environment import STATE_SIZE, PruningEnvironment, Wall, quality_judge

CHANNELS = trace_channels(small_graph())
COSTS = WidthCosts.of(CHANNELS)


def _environment(share: float = 0.5, multiple: int = 1) -> PruningEnvironment:
    wall = Wall(share * COSTS.total(COSTS.sizes), multiple=multiple)
    return PruningEnvironment(CHANNELS, None, lambda graph: -float(total_costs(graph).macs), COSTS, wall)


@given(st.floats(0.12, 1.0), st.lists(st.floats(0.2, 1.0), min_size=2, max_size=2))
def test_wall_keeps_the_budget_whatever_the_actions(share: float, actions: list[float]) -> None:
    environment = _environment(share)
    widths: dict[str, int] = {}
    for place, group in enumerate(environment.groups):
        widths[group.name] = environment.allowed(place, actions[place], widths)
        assert widths[group.name] >= 0.2 * group.size
    assert total_costs(environment.build(widths)).macs <= environment.wall.target


def test_action_is_rounded_up_when_the_budget_allows() -> None:
    assert _environment(share=1.0, multiple=4).allowed(0, 0.51, {}) == 8
    assert _environment(share=1.0, multiple=4).allowed(0, 0.5, {}) == 4


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_uniform_widths_fill_the_budget_as_far_as_rounding_allows(share: float) -> None:
    environment = _environment(share)
    widths = environment.uniform()
    assert COSTS.total(widths) <= environment.wall.target
    for group in environment.groups:
        wider = {**widths, group.name: min(group.size, widths[group.name] + 1)}
        assert wider == widths or COSTS.total(wider) > environment.wall.target
    shares = [widths[group.name] / group.size for group in environment.groups]
    assert max(shares) - min(shares) < 0.15


def test_budget_below_the_narrowest_network_is_refused() -> None:
    with pytest.raises(BadInput, match="which the narrowest network costs"):
        _environment(share=0.01)


def test_state_tells_what_was_cut_and_what_is_left() -> None:
    environment = _environment()
    start = environment.state(0, {}, 1.0)
    later = environment.state(1, {"first": 4}, 0.5)
    assert start.shape == (STATE_SIZE,)
    assert ((start >= 0) & (start <= 1)).all()
    assert start[-3] == 0
    assert later[-3] == pytest.approx(0.5, abs=0.01)
    assert later[-1] == 0.5
    assert start[-2] > later[-2] == 0


def test_reward_of_known_widths_is_not_judged_again() -> None:
    judged: list[Graph] = []

    def judge(graph: Graph) -> float:
        judged.append(graph)
        return 1.0

    environment = PruningEnvironment(CHANNELS, None, judge, COSTS, Wall(COSTS.total(COSTS.sizes)))
    for _ in range(2):
        assert environment.reward({"first": 4, "second": 6}) == 1.0
    assert len(judged) == 1


def test_refitted_networks_are_nearer_to_the_original(tmp_path: Path) -> None:
    task = toy_task(has_labels=False)
    judge = quality_judge(task, CHANNELS.graph, 64, 1)
    moments = stored_moments(CHANNELS, toy_context(tmp_path))
    wall = Wall(COSTS.total(COSTS.sizes))
    rewards = [
        PruningEnvironment(CHANNELS, known, judge, COSTS, wall).reward({"first": 5, "second": 8})
        for known in (None, moments)
    ]
    assert rewards[0] < rewards[1] < 1


def test_quality_judge_gives_the_share_of_right_labels() -> None:
    task = toy_task()
    judged = quality_judge(task, CHANNELS.graph, 96, 1)(CHANNELS.graph)
    assert 0 <= judged <= 100
    assert np.isclose(judged * 96 / 100, round(judged * 96 / 100))
