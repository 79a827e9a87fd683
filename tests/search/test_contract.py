"""What every strategy must do, whatever the network: on a problem that answers at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from macs_problem import MacsProblem, macs_problem

from taut.core.strategy import Strategy
from taut.search import STRATEGIES
from taut.search.amc import Amc, AmcSettings
from taut.search.knapsack import Knapsack

CASES: dict[str, Strategy] = {
    "knapsack": Knapsack(),
    "amc": Amc(AmcSettings(episodes=8, warmup=4), multiple=1),
}

pytestmark = pytest.mark.usefixtures("fast_epochs")


@pytest.fixture(params=list(CASES))
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return CASES[request.param]


@pytest.fixture
def problem(tmp_path: Path) -> MacsProblem:
    return macs_problem(tmp_path, "p50<=0.5ms")


def test_every_registered_strategy_is_in_the_suite() -> None:
    assert set(CASES) == set(STRATEGIES)
    assert all(strategy.name == name for name, strategy in CASES.items())


def test_plans_are_yielded_once_evaluated_and_meet_a_budget_within_reach(
    strategy: Strategy, problem: MacsProblem
) -> None:
    for plan in strategy.search(problem):
        assert problem.trials[-1].plan == plan
    assert problem.holds(problem.trials[-1])


def test_search_is_a_function_of_the_answers(strategy: Strategy, problem: MacsProblem) -> None:
    plans = list(strategy.search(problem))
    again = replace(problem, trials=[], facts=dict(problem.facts))
    assert list(strategy.search(again)) == plans


def test_search_leaves_the_test_split_sealed(strategy: Strategy, problem: MacsProblem) -> None:
    list(strategy.search(problem))
    assert len(problem.context.task.test.open("the only reader")) > 0


def test_nodes_that_are_to_be_kept_stay_whole(strategy: Strategy, tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.7ms", keep=frozenset({"first"}))
    list(strategy.search(problem))
    moves = [move for trial in problem.trials for move in trial.plan.moves]
    cut = {name for move in moves for name, _ in getattr(move, "keep", ())}
    assert cut == {"second"}


def test_nothing_is_trained_when_there_is_no_time(strategy: Strategy, tmp_path: Path) -> None:
    problem = macs_problem(tmp_path, "p50<=0.5ms", seconds=0.0)
    list(strategy.search(problem))
    assert all(move.kind != "recover" for trial in problem.trials for move in trial.plan.moves)
