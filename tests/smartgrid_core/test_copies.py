"""Copies of environments and simulators, by pickle and deep copy: they go on as the original does, and alone."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core import Simulator
from smartgrid_core.fused import build
from smartgrid_core.pettingzoo_env import SmartGridParallelEnv, aec_env, parallel_env
from smartgrid_core.power_flow import Feeder, PowerFlow
from tests.smartgrid_core.communities import community, one_thread  # noqa: F401 (a fixture)
from tests.smartgrid_core.test_adapters import joint_actions

pytestmark = pytest.mark.usefixtures("one_thread")
COMPILES = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
COMPILED = [False, pytest.param(True, marks=COMPILES)]


def by_pickle(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


def by_cloudpickle(x: Any) -> Any:
    cloudpickle = pytest.importorskip("cloudpickle")
    return cloudpickle.loads(cloudpickle.dumps(x))


SPIKE = {"kind": "price_spike", "probability": 1.0, "hour": [0, 24], "import_adder_eur_per_kwh": 0.5}
SMALL = community(2, episode_days=0.25, events=[SPIKE])  # 24 steps
COPIES = [copy.deepcopy, by_pickle, by_cloudpickle]


def rest_of_episode(env: SmartGridParallelEnv, seed: int, steps: int = 24) -> list[Any]:
    """All that is told of the next steps, or of those to the episode's end."""
    told, actions = [], joint_actions(steps, 1, env.simulator, seed)
    for action in actions:
        if env.agents:
            obs, reward, _, truncated, infos = env.step(dict(zip(env.agents, action[0].numpy(), strict=True)))
            told.append(([x.tolist() for x in obs.values()], reward, truncated, infos))
    return told


@pytest.mark.parametrize("compile", COMPILED, ids=["eager", "compiled"])
@pytest.mark.parametrize("copied", COPIES)
def test_a_copied_environment_goes_on_as_the_original_and_alone(copied: Callable[[Any], Any], compile: bool) -> None:
    """New, reset and stepped; what one does later does not move the other."""
    env = parallel_env(SMALL, "ansi", compile=compile)
    new = copied(env)
    env.reset(seed=3)
    reset = copied(env)
    new.reset(seed=3)
    begun = [rest_of_episode(x, seed=0, steps=3) for x in (env, new, reset)]
    assert begun[0] == begun[1] == begun[2]
    stepped, seen, shown = copied(env), env.state(), env.render()
    assert np.array_equal(stepped.state(), seen)
    assert stepped.render() == shown
    rest_of_episode(reset, seed=1, steps=9)
    assert np.array_equal(env.state(), seen)
    assert env.render() == shown, "the copy went elsewhere, and the original stayed"
    later = [rest_of_episode(x, seed=2) for x in (env, new, stepped)]
    assert len(later[0]) == 21
    assert later[0] == later[1] == later[2]
    assert env._is_in_place is stepped._is_in_place is compile
    following = [x.reset()[0]["agent_0"] for x in (env, new, stepped, copied(stepped))]
    assert np.array_equal(following[0], following[1])
    assert np.array_equal(following[0], following[2])
    assert np.array_equal(following[0], following[3])


@COMPILES
def test_parameters_changed_in_a_copy_are_its_own() -> None:
    env = parallel_env(SMALL, compile=True)
    env.reset(seed=3)
    rest_of_episode(env, seed=0, steps=3)
    other, third = copy.deepcopy(env), copy.deepcopy(env)
    other.simulator.set_reward_weights(cost=5.0)
    changed, as_it_was = (rest_of_episode(x, seed=1) for x in (other, env))
    assert [t[0] for t in changed] == [t[0] for t in as_it_was]
    assert [t[1] for t in changed] != [t[1] for t in as_it_was]
    assert rest_of_episode(third, seed=1) == as_it_was


@COMPILES
def test_a_deep_copy_does_without_another_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulator(community(2), 3, compile=True, auto_reset=True)
    state, _ = sim.reset()
    with torch.no_grad():
        state, _ = sim.step(state, torch.zeros(3, 2, sim.action_dim))
        monkeypatch.setattr("smartgrid_core.compiled.one_pass", lambda *_: pytest.fail("traced again"))
        other = copy.deepcopy(sim)
        ours, theirs = (s.step(state, torch.full((3, 2, s.action_dim), 0.5)) for s in (sim, other))
        assert torch.equal(ours[1].obs, theirs[1].obs)
        kept = ours[1].obs.clone()
        for _ in range(5):  # memory of results is each one's own
            theirs = other.step(theirs[0], torch.full((3, 2, sim.action_dim), -0.5))
    assert torch.equal(ours[1].obs, kept)


@COMPILES
def test_a_copys_torch_compiled_step_is_of_its_own_object() -> None:
    """Not of the original's: that one's parameters and memory are not to be touched."""
    sim = Simulator(community(2), compile=True)
    for made in (copy.deepcopy, by_pickle):
        other: Any = made(sim)
        for function in (other._advance, other._course):
            assert function._function.__self__ is other
        assert other._advance_alone._method.__self__ is other


@pytest.mark.parametrize("compile", COMPILED, ids=["eager", "compiled"])
@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])
def test_a_copied_simulator_and_result_go_on(copied: Callable[[Any], Any], compile: bool) -> None:
    """Within a window that was read ahead and over the end of episodes."""
    sim = Simulator(community(2, episode_days=0.25), 3, seed=4, auto_reset=True, compile=compile)
    actions = joint_actions(30, 3, sim)
    with torch.no_grad():
        state, _ = sim.reset()
        for action in actions[:23]:
            state, out = sim.step(state, action)
        state, out = sim.step(state, actions[23])
        other, there, then = copied((sim, state, out))
        assert torch.equal(then.final_obs, out.final_obs)
        assert not torch.equal(then.final_obs, then.obs)
        for action in actions[24:]:
            (state, out), (there, then) = sim.step(state, action), other.step(there, action)
            assert torch.equal(out.obs, then.obs)
            assert torch.equal(out.reward, then.reward)


@pytest.mark.parametrize("copied", COPIES)
def test_a_copied_cycle_of_agents_goes_on(copied: Callable[[Any], Any]) -> None:
    env = aec_env(SMALL)
    env.reset(seed=1)
    action = np.full(2, 0.5, dtype=np.float32)
    for _ in range(12):
        env.step(action)
    other = copied(env)
    assert other.agent_selection == env.agent_selection == "agent_0"
    for _ in range(11):
        env.step(action)
        other.step(action)
        (seen, reward, *_), (same, alike, *_) = env.last(), other.last()
        assert seen is not None
        assert np.array_equal(seen, same)
        assert reward == alike


@COMPILES
@pytest.mark.parametrize("copied", COPIES)
def test_a_copied_power_flow_solves_alike(copied: Callable[[Any], Any]) -> None:
    flow = PowerFlow(Feeder.radial(8), compile=True)
    p = torch.linspace(-3, 4, 40).reshape(5, 8)
    with torch.no_grad():
        expected = flow(p, 0.2 * p)
        for ours, theirs in zip(expected, copied(flow)(p, 0.2 * p), strict=True):
            assert torch.equal(ours, theirs)


def test_simulators_of_the_same_profiles_and_their_copies_hold_them_once() -> None:
    sim = Simulator(community(2))
    same = [Simulator(community(2, episode_days=0.5), 3, split="test"), copy.deepcopy(sim), by_pickle(sim)]
    for name in ("demand_rows", "generation_rows"):
        assert {getattr(x.table, name).data_ptr() for x in same} == {getattr(sim.table, name).data_ptr()}
    assert same[1].table.profiles is same[2].table.profiles is sim.table.profiles
    assert np.array_equal(same[2].table.forecast("demand", "noisy"), sim.table.forecast("demand", "noisy"))
    differing: list[dict[str, Any]] = [
        {"forecast": {"kind": "perfect"}},
        {"profiles": {"hold_out": False}},
        {"step_minutes": 30},
    ]
    for fields in differing:
        other = Simulator(community(2, **fields)).table
        assert other.demand_rows.data_ptr() != sim.table.demand_rows.data_ptr(), fields
        assert other.demand_rows.shape != sim.table.demand_rows.shape or not other.demand_rows.equal(
            sim.table.demand_rows
        )


def test_profiles_are_let_go_with_the_last_table() -> None:
    sim = Simulator(community(2, forecast={"sigma": 0.123}))
    rows = weakref.ref(sim.table.demand_rows)
    other = copy.deepcopy(sim)
    del sim
    gc.collect()
    assert rows() is other.table.demand_rows
    del other
    gc.collect()
    assert rows() is None


@COMPILES
def test_supersuit_makes_copies_of_a_compiled_environment() -> None:
    supersuit = pytest.importorskip("supersuit")
    env = supersuit.pettingzoo_env_to_vec_env_v1(parallel_env(SMALL, compile=True))
    vector = supersuit.concat_vec_envs_v1(env, 2, num_cpus=1, base_class="gymnasium")
    obs, _ = vector.reset(seed=0)
    for step in range(24):
        obs, _, _, truncated, _ = vector.step(np.zeros((4, 2), dtype=np.float32))
        assert obs.shape == (4, 39)
        assert truncated.all() == (step == 23)
    assert not np.array_equal(obs[:2], obs[2:])
