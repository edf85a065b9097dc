"""The compiled step of one community in place, against the compiled simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.fused import build
from smartgrid_core.pettingzoo_env import SmartGridParallelEnv, parallel_env
from smartgrid_core.types import State, StepResult
from tests.smartgrid_core.communities import one_thread  # noqa: F401 (a fixture)
from tests.smartgrid_core.test_adapters import SHORT, joint_actions

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="needs a C++ compiler"),
    pytest.mark.usefixtures("one_thread"),
]
BROKEN = {"kind": "branch_outage", "probability": 1.0, "day": [0, 0], "hour": [0, 24], "duration_h": [3, 3]}
COMMUNITIES: dict[str, dict[str, Any]] = {
    "community-5": {},
    "outage": {"scenario": "outage"},
    "without power flow": {"network.power_flow": False},  # one voltage stands for all
    "cut off, without power flow": {"network.power_flow": False, "events": [BROKEN | {"branch": 2}]},
    "one bus": {"network.buses": 2},
    "one bus cut off": {"network.buses": 3, "events": [BROKEN]},  # one reading says whether all have energy
}


def made(scenario: str = "community-5", **fields: Any) -> tuple[SmartGridParallelEnv, Simulator]:
    """The environment, and a simulator of the same community."""
    env = parallel_env(scenario, "ansi", compile=True, **SHORT, **fields)
    return env, Simulator(GridConfig.load(scenario, **SHORT, **fields), compile=True)


def step(env: SmartGridParallelEnv, action: torch.Tensor) -> tuple[Any, ...]:
    """With an action [1, N, A]."""
    return env.step(dict(zip(env.agents, action[0].numpy(), strict=True)))


def assert_same(told: tuple[Any, ...], state: State, out: StepResult) -> None:
    """What an environment tells of a step is what the simulator's says, bit for bit."""
    seen, reward, terminated, truncated, infos = told
    assert np.array_equal(np.stack(list(seen.values())), out.obs[0].numpy())
    assert list(reward.values()) == out.reward[0].tolist()
    assert set(truncated.values()) == {out.truncated.item()}
    assert set(terminated.values()) == {False}
    for i, info in enumerate(infos.values()):
        assert info["voltage_pu"] == state.voltage_pu[0, i].item()
        assert info["imbalance_kw"] == out.imbalance_kw[0, i].item()
        assert info["ledger"] == {k: v[0, i].item() for k, v in out.ledger._asdict().items()}
        assert info["reward_parts"] == {k: v[0, i].item() for k, v in out.reward_parts._asdict().items()}
        assert (info["stability"], info["converged"]) == (out.stability.item(), 1.0)


@pytest.mark.parametrize("name", COMMUNITIES)
def test_equals_stepping_the_compiled_simulator(name: str) -> None:
    """Over two episodes, with weights and keys changed, the simulator used by others and pictures taken on the way."""
    env, sim = made(**COMMUNITIES[name])
    kept, pictures, energised, state = [], set(), set(), None
    for episode in range(2):
        state, _ = sim.reset(seed=3 if episode == 0 else None, state=state)
        env.reset(seed=3) if episode == 0 else env.reset()
        for t, action in enumerate(joint_actions(24, 1, sim, seed=episode)):
            state, out = sim.step(state, action)
            told = step(env, action)
            assert_same(told, state, out)
            kept.append((np.stack(list(told[0].values())), out.obs[0].numpy().copy(), list(told[0].values())))
            energised |= set(state.energised.flatten().tolist())
            assert np.array_equal(env.state(), out.obs[0].numpy().reshape(-1))
            assert env._is_in_place is (name != "one bus cut off")
            if t % 5 == 1:
                pictures.add(env.render())
            if t == 7:
                for simulator in (sim, env.simulator):
                    simulator.set_reward_weights(cost=2.0 + episode)
            if t == 9:  # somebody else steps the same simulator
                with torch.no_grad():
                    env.simulator.step(env.simulator.reset()[0], action)
            if t in (12, 15):
                for simulator in (sim, env.simulator):
                    simulator.seed_grids(40 + t)
    assert len(pictures) == 10
    assert energised == ({False, True} if "cut off" in name else {True})
    for now, then, handed_out in kept:  # what was given away is not written again
        assert np.array_equal(now, then)
        assert np.array_equal(np.stack(handed_out), then)


@pytest.mark.parametrize("at", [6, *(pytest.param(at, marks=pytest.mark.slow) for at in (0, 7))])
def test_parameters_that_cannot_be_read_where_they_lie_are_stepped_with_all_the_same(at: int) -> None:
    """The rest of the episode is stepped by the simulator, and the next one in place once that can be."""
    env, sim = made()
    state, _ = sim.reset(seed=3)
    env.reset(seed=3)
    for t, action in enumerate(joint_actions(24, 1, sim)):
        if t == at:
            for simulator in (sim, env.simulator):
                dense = simulator.params
                halved = torch.stack([dense.capacity_kwh / 2, dense.capacity_kwh], dim=-1)[..., 0]
                simulator.params = dense._replace(capacity_kwh=halved)
        state, out = sim.step(state, action)
        assert_same(step(env, action), state, out)
        assert env._is_in_place is (t < at)
        assert env.render()
    for simulator in (sim, env.simulator):
        simulator.params = simulator.params._replace(capacity_kwh=simulator.params.capacity_kwh.contiguous())
    state, _ = sim.reset(state=state)
    env.reset()
    for action in joint_actions(3, 1, sim):
        state, out = sim.step(state, action)
        assert_same(step(env, action), state, out)
        assert env._is_in_place


def test_the_default_type_of_torch_has_no_say() -> None:
    env, sim = made()
    state, _ = sim.reset(seed=3)
    env.reset(seed=3)
    actions = joint_actions(3, 1, sim)
    with torch.no_grad():  # what is compiled is compiled
        env.simulator.step(env.simulator.reset()[0], actions[0])
    torch.set_default_dtype(torch.float64)
    try:
        told = [step(env, action) for action in actions]
    finally:
        torch.set_default_dtype(torch.float32)
    for action, x in zip(actions, told, strict=True):
        state, out = sim.step(state, action)
        assert_same(x, state, out)
