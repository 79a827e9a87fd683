from __future__ import annotations

import numpy as np
import pytest

from taut.search.ddpg import Ddpg, DdpgSettings, Step

STATE = np.array([0.3, 0.7])


def _trained(seed: int, episodes: int = 250, unit: float = 1.0) -> Ddpg:
    """An agent on one-step episodes whose reward is highest at the action 0.7."""
    agent = Ddpg(2, (0.2, 1.0), DdpgSettings(hidden=32, actor_lr=3e-3), seed)
    for episode in range(episodes):
        action = agent.random_action() if episode < 60 else agent.noisy_action(STATE)
        agent.finish([Step(STATE, action, STATE, True)], -unit * (action - 0.7) ** 2)
        if episode >= 60:
            agent.learn(3)
    return agent


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_agent_finds_the_action_with_the_highest_reward_in_any_unit(seed: int, unit: float) -> None:
    assert _trained(seed, unit=unit).best_action(STATE) == pytest.approx(0.7, abs=0.1)


def test_actions_stay_within_bounds() -> None:
    agent = Ddpg(2, (0.2, 1.0), DdpgSettings(hidden=8, noise=2.0), 0)
    actions = [agent.noisy_action(STATE) for _ in range(200)] + [agent.random_action() for _ in range(200)]
    assert min(actions) >= 0.2
    assert max(actions) <= 1.0
    assert np.std(actions) > 0.1


def test_noise_shrinks_as_the_agent_learns() -> None:
    settings = DdpgSettings(hidden=8, noise_decay=0.5)
    agent = Ddpg(2, (0.0, 1.0), settings, 0)
    agent.finish([Step(STATE, 0.5, STATE, True)], 1.0)
    for _ in range(10):
        agent.learn(0)
    actions = [agent.noisy_action(STATE) for _ in range(100)]
    assert np.std(actions) < 0.01


def test_same_seed_learns_the_same() -> None:
    actions = {_trained(3, episodes=70).best_action(STATE) for _ in range(2)}
    assert len(actions) == 1
