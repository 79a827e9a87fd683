"""Deep deterministic policy gradient: Lillicrap et al. (arXiv 1509.02971), with AMC's choices.

AMC (He et al., arXiv 1802.03494, section 3.3) gives every step of an episode the episode's reward, takes a
moving average of rewards off as baseline, and explores with truncated normal noise whose width decays.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DdpgSettings:
    """The paper's values."""

    hidden: int = 300
    actor_lr: float = 1e-4
    critic_lr: float = 1e-3
    target_rate: float = 0.01
    """Share by which the slow copies follow after each update"""
    batch_size: int = 64
    discount: float = 1.0
    memory: int = 1000
    """Latest steps that are learnt from; AMC keeps 100 per layer"""
    noise: float = 0.5
    noise_decay: float = 0.95
    """Per episode"""
    baseline_decay: float = 0.95
    reward_deviation: float = 0.05
    """Of the random episodes' rewards, once scaled: as AMC's accuracies in shares of one; rewards a hundred
    times larger drove the actor to its bounds, where it stayed"""


@dataclass(frozen=True)
class Step:
    """One step of an episode."""

    state: np.ndarray
    action: float
    next_state: np.ndarray
    is_last: bool


class Ddpg:
    """An agent with one continuous action in [low, high].

    agent.random_action()               uniform, to fill the memory
    agent.noisy_action(state)           explores
    agent.finish(steps, reward)         remembers an episode
    agent.learn(len(steps))             so many updates; the noise shrinks once
    """

    def __init__(
        self, state_size: int, bounds: tuple[float, float], settings: DdpgSettings, seed: int
    ) -> None:
        self._settings, (self._low, self._high) = settings, bounds
        self._random = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._actor = _network(state_size, settings.hidden, nn.Sigmoid())
            self._critic = _network(state_size + 1, settings.hidden, nn.Identity())
        self._slow_actor, self._slow_critic = copy.deepcopy(self._actor), copy.deepcopy(self._critic)
        self._actor_optimizer = torch.optim.Adam(self._actor.parameters(), settings.actor_lr)
        self._critic_optimizer = torch.optim.Adam(self._critic.parameters(), settings.critic_lr)
        self._memory: deque[tuple[Step, float]] = deque(maxlen=settings.memory)
        self._baseline: float | None = None
        self._reward_scale: float | None = None
        self._noise = settings.noise

    def random_action(self) -> float:
        return float(self._random.uniform(self._low, self._high))

    def best_action(self, state: np.ndarray) -> float:
        """What the actor does without noise."""
        with torch.no_grad():
            return float(self._act(self._actor, torch.from_numpy(state[None]).float()))

    def noisy_action(self, state: np.ndarray) -> float:
        """Draw around the actor's action, again and again until it is within bounds."""
        centre = self.best_action(state)
        action = self._random.normal(centre, self._noise)
        while not self._low <= action <= self._high:
            action = self._random.normal(centre, self._noise)
        return float(action)

    def finish(self, steps: Sequence[Step], reward: float) -> None:
        """Remember an episode's steps, each with the episode's reward above the moving average."""
        decay = self._settings.baseline_decay
        self._baseline = reward if self._baseline is None else decay * self._baseline + (1 - decay) * reward
        self._memory.extend((step, reward) for step in steps)

    def learn(self, updates: int) -> None:
        """Update actor and critic from the memory, so many times; the noise shrinks once."""
        if self._reward_scale is None:
            deviation = float(np.std([reward for _, reward in self._memory]))
            self._reward_scale = self._settings.reward_deviation / max(deviation, 1e-9)  # 1e-9: all alike
        for _ in range(updates):
            places = self._random.integers(len(self._memory), size=self._settings.batch_size)
            self._update([self._memory[place] for place in places])
        self._noise *= self._settings.noise_decay

    def _update(self, batch: Sequence[tuple[Step, float]]) -> None:
        states = _column([step.state for step, _ in batch])
        actions = _column([[step.action] for step, _ in batch])
        difference = self._critic(torch.cat([states, actions], 1)) - self._targets(batch)
        _descend(self._critic_optimizer, difference.square().mean())
        value = self._critic(torch.cat([states, self._act(self._actor, states)], 1))
        _descend(self._actor_optimizer, -value.mean())
        self._follow(self._slow_actor, self._actor)
        self._follow(self._slow_critic, self._critic)

    def _targets(self, batch: Sequence[tuple[Step, float]]) -> Tensor:
        assert self._baseline is not None and self._reward_scale is not None
        gains = _column([[self._reward_scale * (reward - self._baseline)] for _, reward in batch])
        goes_on = _column([[0.0 if step.is_last else self._settings.discount] for step, _ in batch])
        following = _column([step.next_state for step, _ in batch])
        with torch.no_grad():
            action = self._act(self._slow_actor, following)
            later: Tensor = self._slow_critic(torch.cat([following, action], 1))
        return gains + goes_on * later

    def _act(self, actor: nn.Module, states: Tensor) -> Tensor:
        share: Tensor = actor(states)
        return self._low + (self._high - self._low) * share

    def _follow(self, slow: nn.Module, quick: nn.Module) -> None:
        with torch.no_grad():
            for old, new in zip(slow.parameters(), quick.parameters(), strict=True):
                old.lerp_(new, self._settings.target_rate)


def _network(inputs: int, hidden: int, last: nn.Module) -> nn.Sequential:
    # Small last weights: the first actions lie in the middle, the first values near zero.
    out = nn.Linear(hidden, 1)
    nn.init.uniform_(out.weight, -3e-3, 3e-3)
    nn.init.zeros_(out.bias)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), out, last
    )


def _column(rows: Sequence[Sequence[float] | np.ndarray]) -> Tensor:
    return torch.from_numpy(np.array(rows, np.float32))


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
