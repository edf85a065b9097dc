"""Rewards that are easier to learn from: what they add, and that every environment hands out the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.fused.build import compiler
from smartgrid_core.gymnasium_env import SmartGridVectorEnv
from smartgrid_core.pettingzoo_env import aec_env, parallel_env
from smartgrid_core.shaping import ShapedReward
from smartgrid_core.torchrl_env import SmartGridEnv

SHORT = {"episode_days": 0.25}  # 24 steps
AGENTS, ACTIONS = 5, 3


def _action(steps: int, *shape: int) -> torch.Tensor:
    return 2 * torch.rand(steps, *shape, AGENTS, ACTIONS, generator=torch.Generator().manual_seed(3)) - 1


def test_what_is_added_is_a_bill_nobody_can_change_and_what_the_batteries_gained() -> None:
    sim = Simulator(GridConfig.load("community-5", **SHORT), num_grids=8, seed=4)
    shaped, added = ShapedReward(sim, shaping_eur_per_kwh=0.3), torch.zeros(8, AGENTS)
    state, _ = sim.reset()
    begun, bill = state.soc_kwh, torch.zeros(8, AGENTS)
    for action in _action(24, 8):
        before = state
        state, out = sim.step(before, action)
        added += shaped(before, out) - out.reward
        net = (out.ledger.demand_kw - out.ledger.generation_kw) * 0.25
        buy, sell = before.import_eur_per_kwh[:, None], before.export_eur_per_kwh[:, None]
        bill += net.clamp_min(0) * buy + net.clamp_max(0) * sell
    weight = sim.config.rewards.cost
    torch.testing.assert_close(added, weight * bill + 0.3 * (state.soc_kwh - begun), atol=1e-4, rtol=1e-4)


def test_weights_changed_while_running_apply() -> None:
    sim = Simulator(GridConfig.load("community-5", **SHORT), num_grids=2, seed=4)
    shaped = ShapedReward(sim, shaping_eur_per_kwh=0)
    state, _ = sim.reset()
    _, out = sim.step(state, torch.zeros(2, AGENTS, ACTIONS))
    once = shaped(state, out) - out.reward
    sim.set_reward_weights(cost=2 * sim.config.rewards.cost)
    torch.testing.assert_close(shaped(state, out) - out.reward, 2 * once)


def _expected(actions: torch.Tensor, seed: int, **options: Any) -> list[torch.Tensor]:
    """[B, N] a step, over as many episodes as the actions reach."""
    sim = Simulator(GridConfig.load("community-5", **SHORT), len(actions[0]), auto_reset=True, **options)
    state, _ = sim.reset(seed=seed)
    shaped, found = ShapedReward(sim), []
    for action in actions:
        before = state
        state, out = sim.step(before, action)
        found.append(shaped(before, out))
    return found


@pytest.mark.parametrize("compile", [False, True])
def test_pettingzoo(compile: bool) -> None:
    if compile and compiler() is None:
        pytest.skip("no C++ compiler")
    actions = _action(30, 1)
    env = parallel_env("community-5", compile=compile, shaped_reward=True, **SHORT)
    plain = parallel_env("community-5", compile=compile, **SHORT)
    for one in (env, plain):
        one.reset(seed=5)
    differs = 0.0
    for action, worth in zip(actions, _expected(actions, 5, compile=compile), strict=True):
        if not env.agents:
            for one in (env, plain):
                one.reset()
        given = dict(zip(env.possible_agents, action[0].numpy(), strict=True))
        _, rewards, _, _, infos = env.step(given)
        np.testing.assert_allclose(list(rewards.values()), worth[0].numpy(), atol=2e-5)
        _, unshaped, _, _, told = plain.step(given)
        differs = max(differs, *(abs(rewards[name] - unshaped[name]) for name in rewards))
        assert infos == told  # the parts stay what they are
    assert differs > 0.1


def test_pettingzoo_s_cycle() -> None:
    action = _action(1, 1)
    env = aec_env("community-5", shaped_reward=True, **SHORT)
    env.reset(seed=5)
    for row in action[0, 0].numpy():
        env.step(row)
    np.testing.assert_allclose(list(env.rewards.values()), _expected(action, 5)[0][0].numpy(), atol=2e-5)


def test_torchrl() -> None:
    actions = _action(24, 4)
    env = SmartGridEnv("community-5", 4, seed=5, shaped_reward=True, **SHORT)
    td = env.reset()
    for action, worth in zip(actions, _expected(actions, 5), strict=True):
        td["agents", "action"] = action
        td = env.step(td)
        torch.testing.assert_close(td["next", "agents", "reward"][..., 0], worth)
        td = td["next"]


def test_gymnasium_beyond_the_end_of_an_episode() -> None:
    actions = _action(30, 4)
    env = SmartGridVectorEnv("community-5", 4, shaped_reward=True, **SHORT)
    env.reset(seed=5)
    for action, worth in zip(actions, _expected(actions, 5), strict=True):
        _, reward, *_ = env.step(action.reshape(4, -1).numpy())
        np.testing.assert_allclose(reward, worth.sum(1).numpy(), atol=1e-4)
