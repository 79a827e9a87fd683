"""AMC: AutoML for Model Compression, He et al. (arXiv 1802.03494).

A DDPG agent walks through the groups of channels and decides how much of each to keep; the action wall keeps
the budget, quality on held-out samples without training is the reward. ``search_widths`` is the search;
``Amc`` makes a strategy of it for ``taut fit``: what it finds is recovered, measured and corrected.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.move import Plan, Progress, no_progress
from taut.core.strategy import Problem, Trial
from taut.moves.prune.channel_prune import ChannelPrune, traced
from taut.moves.prune.groups import without_groups
from taut.moves.prune.importance import Importance
from taut.moves.prune.macs import WidthCosts
from taut.moves.prune.reconstruct import stored_moments
from taut.search.ddpg import Ddpg, DdpgSettings, Step
from taut.search.lines import fastest, lines
from taut.search.pruning_environment import STATE_SIZE, PruningEnvironment, Wall, quality_judge

REWARD_SAMPLES = 1000
"""Of the select split; enough to tell a point of accuracy apart"""
FEWEST_EPISODES = 30
MOST_ATTEMPTS = 4
MARGIN = 0.95
"""The network must be within the limit with its interval, not on it"""
LOWEST_SHARE = 0.15
"""Of the MACs; below, the wall cannot be met with a fifth of every group's channels"""


@dataclass(frozen=True)
class AmcSettings:
    """How long is searched; the paper's 100 warm-up episodes and 300 to 700 more shrink with the network."""

    episodes: int = 250
    warmup: int = 100
    """Episodes of random actions, which fill the memory"""
    agent: DdpgSettings = field(default_factory=DdpgSettings)


@dataclass(frozen=True)
class AmcResult:
    """The best widths seen, their reward, and the reward of every episode."""

    widths: Mapping[str, int]
    reward: float
    rewards: tuple[float, ...]

    def gain_in_standard_errors(self, warmup: int, last: int = 30) -> float:
        """Return how far the mean of the last rewards is above that of the random episodes."""
        random, late = np.array(self.rewards[:warmup]), np.array(self.rewards[warmup:][-last:])
        error = np.sqrt(random.var() / len(random) + late.var() / len(late))
        return float((late.mean() - random.mean()) / max(error, 1e-9))  # 1e-9: all rewards alike


def search_widths(
    environment: PruningEnvironment, settings: AmcSettings, seed: int, progress: Progress = no_progress
) -> AmcResult:
    """Search the widths with the highest reward within the environment's wall."""
    agent = Ddpg(STATE_SIZE, (environment.wall.lowest_share, 1.0), settings.agent, seed)
    best: dict[str, int] = {}
    rewards: list[float] = []
    for episode in range(settings.episodes):
        is_random = episode < settings.warmup
        widths, steps = _episode(environment, agent, is_random)
        reward = environment.reward(widths)
        agent.finish(steps, reward)
        if not is_random:
            agent.learn(len(steps))
        if not rewards or reward > max(rewards):
            best = widths
        rewards.append(reward)
        progress("searching widths", (episode + 1) / settings.episodes)
    return AmcResult(best, max(rewards), tuple(rewards))


def _episode(
    environment: PruningEnvironment, agent: Ddpg, is_random: bool
) -> tuple[dict[str, int], list[Step]]:
    """Walk through the groups once; a step holds the action that the wall and the rounding left."""
    widths: dict[str, int] = {}
    steps: list[Step] = []
    action = 1.0
    last = len(environment.groups) - 1
    for place, group in enumerate(environment.groups):
        state = environment.state(place, widths, action)
        wanted = agent.random_action() if is_random else agent.noisy_action(state)
        widths[group.name] = environment.allowed(place, wanted, widths)
        action = widths[group.name] / group.size
        following = environment.state(min(place + 1, last), widths, action)
        steps.append(Step(state, action, following, place == last))
    return widths, steps


@dataclass(frozen=True)
class Amc:
    """The fastest settings first, then widths by AMC for what the budget still lacks.

    The wall is on multiply-accumulates. Their share is set from the latency wanted and corrected by what the
    realised network takes, since the two are not proportional.
    """

    settings: AmcSettings = field(default_factory=AmcSettings)
    multiple: int = 8
    """Widths are multiples of it, or whole"""
    name = "amc"

    def search(self, problem: Problem) -> Iterator[Plan]:
        """Yield plans as they are evaluated; BadInput where pruning or recovery is not to be had."""
        tools = _Tools.of(problem)
        yield from lines(problem)
        base = fastest(problem)
        wanted = _wanted_share(problem, base)
        share = wanted
        for attempt in range(MOST_ATTEMPTS):
            if share >= 1 or problem.remaining_s() <= 0:
                return
            widths = problem.fact(f"amc/{attempt}/widths", partial(self._searched, problem, share))
            plan = tools.plan(problem, base, widths, attempt)
            trial = problem.evaluate(plan)
            yield plan
            if not trial.is_realised or problem.holds(trial):
                return
            share = _corrected(share, wanted, trial.value("p50") / base.value("p50"))

    def _searched(self, problem: Problem, share: float) -> dict[str, int]:
        """Run AMC on the original within a share of its MACs, for at most a quarter of the remaining time."""
        context, graph = problem.context, problem.network.graph
        channels = without_groups(traced(graph), problem.keep)
        costs = WidthCosts.of(channels)
        wall = Wall(share * costs.total(costs.sizes), multiple=self.multiple)
        wall = replace(wall, target=max(wall.target, wall.lowest_cost(channels, costs)))
        judge = quality_judge(context.task, graph, REWARD_SAMPLES, context.threads)
        environment = PruningEnvironment(channels, stored_moments(channels, context), judge, costs, wall)
        settings = self._affordable(environment, problem.remaining_s() / 4)
        return dict(search_widths(environment, settings, context.seed, context.progress).widths)

    def _affordable(self, environment: PruningEnvironment, seconds: float) -> AmcSettings:
        """As many episodes as fit in the time, judged by one."""
        started = time.monotonic()
        environment.reward(environment.uniform())
        most = int(seconds / (time.monotonic() - started))
        episodes = min(self.settings.episodes, max(FEWEST_EPISODES, most))
        warmup = round(self.settings.warmup * episodes / self.settings.episodes)
        return replace(self.settings, episodes=episodes, warmup=warmup)


@dataclass(frozen=True)
class _Tools:
    """The moves that realise widths, and how long an epoch of recovery takes."""

    prune: ChannelPrune
    recover: Any
    epoch_s: float

    @staticmethod
    def of(problem: Problem) -> _Tools:
        offers = {
            name: problem.moves[name].offers(problem.network, problem.context)
            for name in ("prune", "recover")
            if name in problem.moves
        }
        missing = [name for name in ("prune", "recover") if not offers.get(name)]
        if missing:
            rule = f"needs the moves prune and recover; this network and data allow no {' or '.join(missing)}"
            raise BadInput("strategy amc", rule, "use --strategy knapsack")
        recover = offers["recover"][0]
        epoch_s = problem.fact("recover/epoch_s", lambda: recover.epoch_s(problem.network, problem.context))
        return _Tools(replace(offers["prune"][0], importance=Importance.L1_INPUTS), recover, epoch_s)

    def plan(self, problem: Problem, base: Trial, widths: Mapping[str, int], attempt: int) -> Plan:
        """Realise widths on top of the best settings, recovered for as long as there is time."""
        epochs = problem.fact(f"amc/{attempt}/epochs", lambda: self._epochs(problem, attempt))
        prune = replace(self.prune, keep=tuple(sorted(widths.items())))
        moves = (prune, replace(self.recover, epochs=epochs), *base.plan.moves)
        return Plan.of(moves, f"amc {attempt + 1}, {base.plan.label or 'default settings'}")

    def _epochs(self, problem: Problem, attempt: int) -> float:
        """An equal part of what is left for each attempt to come, between 1 and 12 epochs."""
        seconds = problem.remaining_s() / (MOST_ATTEMPTS - attempt)
        return float(max(1, min(12, int(0.5 * seconds / self.epoch_s))))


def _wanted_share(problem: Problem, base: Trial) -> float:
    """Share of the base's latency that the budget allows, with a margin; half where it says nothing."""
    limit = problem.budget.limit_on("p50")
    return 0.5 if limit is None else MARGIN * limit.value / base.value("p50")


def _corrected(share: float, wanted: float, realised: float) -> float:
    """The next share of MACs, if latency falls in a straight line from all of them to this share."""
    slope = (1 - realised) / (1 - share)
    return share * wanted / realised if slope <= 0 else max(LOWEST_SHARE, 1 - (1 - wanted) / slope)
