from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from macs_problem import macs_problem
from tests.moves.prune.toy_task import small_graph

from taut.core.errors import BadInput
from taut.graph import Graph
from taut.moves.distill.recover import Recover
from taut.moves.prune.channel_prune import ChannelPrune
from taut.moves.prune.groups import trace_channels
from taut.moves.prune.macs import WidthCosts
from taut.search.amc import Amc, AmcResult, AmcSettings, search_widths
from taut.search.pruning_environment import PruningEnvironment, Wall


def _environment() -> PruningEnvironment:
    """The reward asks for a wide second group, which only a narrow first one pays for."""

    def judge(graph: Graph) -> float:
        return graph.constants["head.weight"].shape[1] / 12 - graph.constants["second.weight"].shape[1] / 80

    channels = trace_channels(small_graph())
    costs = WidthCosts.of(channels)
    return PruningEnvironment(channels, None, judge, costs, Wall(0.4 * costs.total(costs.sizes), multiple=1))


def test_search_finds_the_best_widths_and_its_rewards_rise() -> None:
    result = search_widths(_environment(), AmcSettings(episodes=90, warmup=40), seed=0)
    assert result.widths["second"] == 12
    assert result.widths["first"] <= 3
    assert len(result.rewards) == 90
    assert np.mean(result.rewards[-20:]) > np.mean(result.rewards[:40])
    assert result.reward == max(result.rewards)


def test_search_is_the_same_for_the_same_seed() -> None:
    settings = AmcSettings(episodes=20, warmup=10)
    results = [search_widths(_environment(), settings, seed=5) for _ in range(2)]
    assert results[0] == results[1]


def test_gain_of_rewards_is_in_standard_errors() -> None:
    result = AmcResult({}, 6.0, (1.0, 3.0, 1.0, 3.0, *[4.0, 6.0] * 15))
    assert result.gain_in_standard_errors(warmup=4) == pytest.approx(3 / (1 / 4 + 1 / 30) ** 0.5)


STRATEGY = Amc(AmcSettings(episodes=8, warmup=4), multiple=1)


@pytest.mark.usefixtures("fast_epochs")
def test_strategy_prunes_and_recovers_to_the_latency_wanted(tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.5ms")
    (plan,) = STRATEGY.search(problem)
    prune, recover = plan.moves
    assert isinstance(prune, ChannelPrune)
    assert isinstance(recover, Recover)
    assert 1 <= recover.epochs <= 12
    assert problem.trials[-1].value("p50") <= 0.5


@pytest.mark.usefixtures("fast_epochs")
def test_strategy_corrects_for_latency_that_falls_slower_than_the_macs(tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.6ms", latency=lambda share: 0.45 + 0.55 * share)
    plans = list(STRATEGY.search(problem))
    assert len(plans) > 1
    assert problem.trials[-1].value("p50") <= 0.6 < problem.trials[1].value("p50")


@pytest.mark.usefixtures("fast_epochs")
def test_strategy_leaves_nodes_that_are_to_be_kept(tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.6ms", keep=frozenset({"first"}))
    (plan, *_) = STRATEGY.search(problem)
    assert [name for name, _ in plan.moves[0].keep] == ["second"]


def test_strategy_is_refused_without_recovery_by_name(tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.6ms")
    del problem.moves["recover"]
    with pytest.raises(BadInput, match=r"allow no recover.*knapsack"):
        next(STRATEGY.search(problem))
