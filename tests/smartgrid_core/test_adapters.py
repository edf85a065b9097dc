"""Environments of TorchRL, PettingZoo and Gymnasium against their libraries' checks and the simulator."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from smartgrid_core import ConfigError, GridConfig, Simulator
from smartgrid_core.extras import MissingExtraError, require
from smartgrid_core.types import RewardParts

SHORT = {"episode_days": 0.25}  # 24 steps


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def joint_actions(steps, batch, sim, seed=0):
    """Random actions [T, B, N, A] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(steps, batch, sim.num_agents, sim.action_dim, generator=generator) - 1


class TestImport:
    def test_core_loads_no_optional_library(self):
        code = (
            "import smartgrid_core, sys; "
            "optional = {'torchrl', 'tensordict', 'pettingzoo', 'gymnasium', 'matplotlib', 'pandapower', "
            "'simbench', 'pandas', 'scipy', 'highspy', 'rich'}; "
            "print(sorted(optional & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    @pytest.mark.parametrize(
        ("module", "library"),
        [("torchrl_env", "torchrl"), ("pettingzoo_env", "pettingzoo"), ("gymnasium_env", "gymnasium")],
    )
    def test_adapter_without_its_library_names_the_extra(self, monkeypatch, module, library):
        monkeypatch.delitem(sys.modules, f"smartgrid_core.{module}", raising=False)
        loaded = [name for name in sys.modules if name.partition(".")[0] == library]
        for name in loaded:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [_Absent(library), *sys.meta_path])
        with pytest.raises(MissingExtraError, match=r"pip install 'smartgrid-marl\[envs\]'"):
            require(f"smartgrid_core.{module}", extra="envs")

    def test_a_broken_library_keeps_its_own_error(self, monkeypatch, tmp_path):
        (tmp_path / "broken_library.py").write_text("import module_that_nobody_has\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="module_that_nobody_has") as caught:
            require("broken_library", extra="envs")
        assert not isinstance(caught.value, MissingExtraError)


class _Absent:
    """An import finder that says a library is not installed."""

    def __init__(self, library):
        self.library = library

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class TestTorchRL:
    @pytest.fixture
    def make(self):
        from smartgrid_core.torchrl_env import SmartGridEnv

        return lambda **kwargs: SmartGridEnv(**{"num_grids": 3, "seed": 0, **SHORT, **kwargs})

    def test_environments_without_a_seed_differ(self, make):
        first, second = (make(seed=None).reset()["agents", "observation"] for _ in range(2))
        assert not torch.equal(first, second)
        same = [make(seed=3).reset()["agents", "observation"] for _ in range(2)]
        assert torch.equal(*same)

    @pytest.mark.parametrize("info", [False, True])
    @pytest.mark.parametrize("scenario", ["community-5", "outage"])
    def test_specs(self, make, scenario, info):
        from torchrl.envs import check_env_specs

        check_env_specs(make(scenario=scenario, info=info))

    def test_keys_shapes_and_group(self, make):
        env = make(info=True)
        rollout = env.rollout(5)
        sim = env.simulator
        assert env.group_map == {"agents": [f"agent_{i}" for i in range(5)]}
        assert rollout["agents", "observation"].shape == (3, 5, 5, sim.observation_dim)
        assert rollout["agents", "action"].shape == (3, 5, 5, sim.action_dim)
        assert rollout["next", "agents", "reward"].shape == (3, 5, 5, 1)
        for name in RewardParts._fields:
            assert rollout["next", "agents", "reward_parts", name].shape == (3, 5, 5, 1)
        for name in ("done", "terminated", "truncated"):
            assert rollout["next", name].shape == (3, 5, 1)

    def test_rollout_equals_stepping_the_simulator(self, make):
        env = make(seed=7)
        sim = Simulator(GridConfig.load("community-5", **SHORT), 3, seed=7)
        state, obs = sim.reset()
        td = env.reset()
        assert torch.equal(td["agents", "observation"], obs)
        for action in joint_actions(24, 3, sim):
            state, out = sim.step(state, action)
            td = env.step(td.set(("agents", "action"), action))["next"]
            assert torch.equal(td["agents", "observation"], out.obs)
            assert torch.equal(td["agents", "reward"], out.reward[..., None])
        assert td["truncated"].all()
        assert not td["terminated"].any()

    def test_episodes_follow_one_another_and_differ(self, make):
        rollout = make().rollout(60, break_when_any_done=False)
        ends = rollout["next", "truncated"].squeeze(-1)
        assert ends.nonzero()[:, 1].tolist() == [23, 47] * 3
        assert not rollout["next", "terminated"].any()
        first = rollout["agents", "observation"][:, [0, 24, 48]]
        assert not torch.equal(first[:, 0], first[:, 1])
        assert not torch.equal(first[:, 1], first[:, 2])

    def test_partial_reset_leaves_the_others(self, make):
        env = make()
        td = env.rollout(4)[:, -1]["next"]
        mask = torch.tensor([False, True, False])
        fresh = env.reset(td.clone().set("_reset", mask[:, None]))
        kept, before = fresh["agents", "observation"], td["agents", "observation"]
        assert torch.equal(kept[~mask], before[~mask])
        assert not torch.equal(kept[mask], before[mask])
        assert env._state is not None
        assert env._state.step.tolist() == [4, 0, 4]
        assert env._state.episode.tolist() == [0, 1, 0]

    def test_set_seed_restarts_the_sequence(self, make):
        env = make()
        env.set_seed(11)
        first = env.reset()["agents", "observation"]
        second = env.reset()["agents", "observation"]
        env.set_seed(11)
        assert torch.equal(env.reset()["agents", "observation"], first)
        assert not torch.equal(first, second)
        assert torch.equal(make(seed=11).reset()["agents", "observation"], first)

    def test_partial_reset_after_set_seed_starts_at_the_first_episode(self, make):
        env = make()
        td = env.reset()
        env.set_seed(5)
        mask = torch.tensor([[True], [False], [True]])
        got = env.reset(td.clone().set("_reset", mask))["agents", "observation"]
        expected = make(seed=5).reset()["agents", "observation"]
        assert torch.equal(got[[0, 2]], expected[[0, 2]])
        assert torch.equal(got[1], td["agents", "observation"][1])

    def test_set_seed_leaves_running_episodes_as_they_are(self, make):
        """Grids that a partial reset leaves out go on through the profiles of the episode they are in."""
        env, untouched = make(), make()
        td, other = env.reset(), untouched.reset()
        env.set_seed(5)
        td = env.reset(td.set("_reset", torch.tensor([[True], [False], [True]]))).exclude("_reset")
        for _ in range(3):
            action = torch.zeros_like(env.rand_action(other)["agents", "action"])
            td, other = (
                e.step(t.set(("agents", "action"), action))["next"] for e, t in ((env, td), (untouched, other))
            )
            assert torch.equal(td["agents", "observation"][1], other["agents", "observation"][1])

    def test_collector(self, make):
        from torchrl.collectors import Collector

        env = make()
        collector = Collector(
            env, env.rand_action, frames_per_batch=90, total_frames=180, auto_register_policy_transforms=False
        )
        batches = [batch.clone() for batch in collector]
        collector.shutdown()
        assert [tuple(batch.shape) for batch in batches] == [(3, 30), (3, 30)]
        ends = torch.cat([batch["next", "truncated"].squeeze(-1) for batch in batches], dim=1)
        assert ends[0].nonzero().flatten().tolist() == [23, 47]

    def test_a_finished_config_takes_no_overrides(self, make):
        config = GridConfig.load("community-5", **SHORT)
        with pytest.raises(ConfigError, match="step_minutes"):
            make(scenario=config, step_minutes=30)


class TestPettingZoo:
    @pytest.fixture
    def env(self):
        return self.make()

    @staticmethod
    def make(**kwargs):
        from smartgrid_core.pettingzoo_env import parallel_env

        return parallel_env(**{**SHORT, **kwargs})

    @staticmethod
    def sample(env):
        return {agent: env.action_space(agent).sample() for agent in env.agents}

    def test_parallel_api(self, env):
        from pettingzoo.test import parallel_api_test

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parallel_api_test(env, num_cycles=60)

    def test_parallel_seed(self):
        from pettingzoo.test import parallel_seed_test

        parallel_seed_test(self.make, num_cycles=20)

    def test_aec_api(self):
        from pettingzoo.test import api_test, seed_test

        from smartgrid_core.pettingzoo_env import aec_env

        api_test(aec_env(**SHORT), num_cycles=150)
        seed_test(lambda: aec_env(**SHORT), num_cycles=20)

    def test_what_is_no_dict_of_actions_is_refused(self, env):
        env.reset(seed=0)
        for actions in (None, [0] * 5, np.zeros((5, 3))):
            with pytest.raises(ValueError, match=r"actions is a \w+: expected a dict .* agent_0, agent_1"):
                env.step(actions)

    def test_aec_refuses_an_action_at_its_agents_own_turn(self):
        from smartgrid_core.pettingzoo_env import aec_env

        env = aec_env(**SHORT)
        env.reset(seed=0)
        agent, good = env.agent_selection, np.zeros(env.action_space("agent_0").shape, np.float32)
        for action, words in ((None, "has shape ()"), (good[:1], "has shape (1,)"), (good * np.nan, "is nan")):
            with pytest.raises(ValueError, match=re.escape(f"action of {agent}") + ".*" + re.escape(words)):
                env.step(action)
            assert env.agent_selection == agent, "it is still its turn"
        env.step(good)
        assert env.agent_selection != agent

    def test_equals_stepping_the_simulator(self, env):
        sim = Simulator(GridConfig.load("community-5", **SHORT))
        state, obs = sim.reset(seed=3)
        seen, _ = env.reset(seed=3)
        assert np.array_equal(np.stack(list(seen.values())), obs[0].numpy())
        for action in joint_actions(24, 1, sim):
            state, out = sim.step(state, action)
            seen, reward, terminated, truncated, infos = env.step(dict(zip(env.agents, action[0].numpy(), strict=True)))
            assert np.array_equal(np.stack(list(seen.values())), out.obs[0].numpy())
            assert list(reward.values()) == out.reward[0].tolist()
            for i, info in enumerate(infos.values()):
                assert info["cost_eur"] == out.cost_eur[0, i].item()
                assert info["soc_kwh"] == out.soc_kwh[0, i].item()
                assert info["voltage_pu"] == state.voltage_pu[0, i].item()
                assert info["ledger"] == {k: v[0, i].item() for k, v in out.ledger._asdict().items()}
                assert info["reward_parts"] == {k: v[0, i].item() for k, v in out.reward_parts._asdict().items()}
        assert set(truncated.values()) == {True}
        assert set(terminated.values()) == {False}
        assert env.agents == []

    def test_observations_lie_in_their_spaces(self):
        env = self.make(scenario="outage")
        seen, _ = env.reset(seed=1)
        while env.agents:
            assert all(env.observation_space(agent).contains(row) for agent, row in seen.items())
            assert env.state_space.contains(env.state())
            seen, *_ = env.step(self.sample(env))

    def test_spaces_are_the_same_object_each_call(self, env):
        for space in (env.observation_space, env.action_space):
            assert space("agent_0") is space("agent_0")
            assert space("agent_0") is not space("agent_1")

    def test_resets_without_seed_go_on_and_seeded_ones_restart(self, env):
        def first():
            return env.reset()[0]["agent_0"]

        start = env.reset(seed=5)[0]["agent_0"]
        second, third = first(), first()
        assert not np.array_equal(second, third)
        assert np.array_equal(env.reset(seed=5)[0]["agent_0"], start)
        assert np.array_equal(first(), second)
        assert np.array_equal(first(), third)

    def test_unseeded_copies_differ(self):
        a, b = (self.make().reset()[0]["agent_0"] for _ in range(2))
        assert not np.array_equal(a, b)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_non_finite_action_raises_and_names_it(self, env, bad):
        env.reset(seed=0)
        actions = {agent: np.zeros(3, dtype=np.float32) for agent in env.agents}
        actions["agent_3"][2] = bad
        with pytest.raises(ValueError, match=r"agent_3.*entry 2 \(trade\)"):
            env.step(actions)

    def test_faulty_action_dictionaries_raise(self, env):
        env.reset(seed=0)
        actions = self.sample(env)
        with pytest.raises(ValueError, match=r"missing \['agent_2'\]"):
            env.step({k: v for k, v in actions.items() if k != "agent_2"})
        with pytest.raises(ValueError, match=r"unknown \['agent_9'\]"):
            env.step({**actions, "agent_9": actions["agent_0"]})
        with pytest.raises(ValueError, match=r"agent_1 has shape \(2,\): expected \(3,\)"):
            env.step({**actions, "agent_1": actions["agent_1"][:2]})

    def test_stepping_outside_an_episode(self, env):
        with pytest.raises(RuntimeError, match="before reset"):
            env.step({})
        env.reset(seed=0)
        actions = self.sample(env)
        while env.agents:
            env.step(actions)
        assert env.step({}) == ({}, {}, {}, {}, {})
        with pytest.raises(RuntimeError, match="episode has ended"):
            env.step(actions)

    def test_actions_outside_the_box_are_clamped(self, env):
        env.reset(seed=0)
        _, far, *_ = env.step({agent: np.full(3, 7.0) for agent in env.agents})
        env.reset(seed=0)
        _, edge, *_ = env.step({agent: np.ones(3) for agent in env.agents})
        assert far == edge

    def test_supersuit_vector_environment(self, env):
        supersuit = pytest.importorskip("supersuit")
        vector = supersuit.concat_vec_envs_v1(
            supersuit.pettingzoo_env_to_vec_env_v1(env), 2, num_cpus=1, base_class="gymnasium"
        )
        obs, _ = vector.reset(seed=0)
        assert obs.shape == (10, 41)
        for step in range(24):
            obs, reward, terminated, truncated, _ = vector.step(np.zeros((10, 3), dtype=np.float32))
            assert obs.shape == (10, 41)
            assert reward.shape == (10,)
            assert truncated.all() == (step == 23)
            assert not terminated.any()
        assert not np.array_equal(obs[:5], obs[5:])


class TestGymnasiumVector:
    @staticmethod
    def make(num_envs=3, **kwargs):
        from smartgrid_core.gymnasium_env import SmartGridVectorEnv

        return SmartGridVectorEnv(num_envs=num_envs, **{**SHORT, **kwargs})

    def test_equals_the_simulator_and_resets_in_the_same_step(self):
        from gymnasium.vector import AutoresetMode

        env = self.make()
        assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        sim = Simulator(GridConfig.load("community-5", **SHORT), 3, auto_reset=True)
        state, expected = sim.reset(seed=2)
        obs, _ = env.reset(seed=2)
        assert np.array_equal(obs, expected.reshape(3, -1).numpy())
        for step, action in enumerate(joint_actions(30, 3, sim)):
            state, out = sim.step(state, action)
            obs, reward, terminated, truncated, infos = env.step(action.reshape(3, -1).numpy())
            assert env.observation_space.contains(obs)
            assert np.array_equal(obs, out.obs.reshape(3, -1).numpy())
            np.testing.assert_allclose(reward, out.reward.sum(1).numpy(), rtol=1e-5)
            assert not terminated.any()
            assert truncated.all() == (step == 23)
            assert ("final_obs" in infos) == (step == 23)
            if step == 23:
                last = np.stack(list(infos["final_obs"]))
                assert infos["_final_obs"].all()
                assert np.array_equal(last, out.final_obs.reshape(3, -1).numpy())
                assert not np.array_equal(last, obs)
                assert np.array_equal(infos["final_info"]["cost_eur"], infos["cost_eur"])

    def test_final_observations_stand_only_where_an_episode_ended(self):
        env = self.make(num_envs=8, stagger=True)
        env.reset(seed=0)
        for _ in range(24):
            *_, truncated, infos = env.step(np.zeros(env.action_space.shape))
            if 0 < truncated.sum() < 8:
                break
        assert [row is not None for row in infos["final_obs"]] == truncated.tolist()
        assert infos["_final_obs"].tolist() == truncated.tolist()

    def test_episode_statistics_wrapper(self):
        from gymnasium.wrappers.vector import RecordEpisodeStatistics

        env = RecordEpisodeStatistics(self.make())
        env.reset(seed=0)
        total = np.zeros(3)
        for _ in range(24):
            _, reward, _, _, infos = env.step(np.zeros(env.action_space.shape))
            total += reward
        np.testing.assert_allclose(infos["episode"]["r"], total)
        assert infos["episode"]["l"].tolist() == [24, 24, 24]

    def test_seeds(self):
        env = self.make()
        first, _ = env.reset(seed=[4, 5, 6])
        turned, _ = env.reset(seed=[6, 4, 5])
        assert np.array_equal(first[[2, 0, 1]], turned)
        following, _ = env.reset()
        assert not np.array_equal(following, turned)

    def test_faulty_actions_raise(self):
        env = self.make()
        with pytest.raises(RuntimeError, match="before reset"):
            env.step(np.zeros((3, 15)))
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"\(3, 14\): expected \(3, 15\)"):
            env.step(np.zeros((3, 14)))
        actions = np.zeros((3, 15))
        actions[1, 5] = np.nan
        with pytest.raises(ValueError, match=r"environment 1: entry 5 \(agent_1 trade\)"):
            env.step(actions)
