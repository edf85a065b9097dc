"""The step in C and in JAX is the simulator's step: every result of every step, across ends of episodes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import peer_environments
from benchmarks.yardstick import world
from benchmarks.yardstick.native import LEARNER, NativeStep, compiler
from benchmarks.yardstick.plain import FloatEnv, PlainEnv
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.pettingzoo_env import parallel_env
from smartgrid_core.types import StepResult, kernel
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)

GRIDS = 32
needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


def simulator(grids: int = GRIDS) -> Simulator:
    return Simulator(GridConfig.load("community-5", episode_days=1), grids, seed=3, auto_reset=True, stagger=True)


def action(generator: torch.Generator, t: int, grids: int = GRIDS) -> torch.Tensor:
    """Random, some beyond ±1, some not a number; every third step neighbours agree and everyone leans one way."""
    a = torch.rand(grids, 5, 3, generator=generator) * 2.4 - 1.2
    if t % 3 == 0:
        a[:, ::2, :2], a[:, 1::2, :2] = a[:, ::2, :2].abs(), -a[:, 1::2, :2].abs()
        a[..., 2] = a[..., 2].abs() * (1 if t % 2 else -1)
    a[t % grids, t % 5, t % 3] = (float("nan"), float("inf"), -float("inf"))[t % 3]
    return a


def flat(x: torch.Tensor) -> np.ndarray:
    """Batch-first [B, …] as [rows, B] float."""
    x = kernel(x)
    return x.reshape(-1, x.shape[-1]).double().numpy()


def results_of(out: StepResult) -> dict[str, np.ndarray]:
    """Results under the yardsticks' names."""
    parts, ledger, net = out.reward_parts, out.ledger, out.network
    named = {
        "obs": out.obs, "reward": out.reward, "truncated": out.truncated, "reward_stability": parts.stability,
        "efficiency": parts.efficiency, "minus_cost": parts.cost, "cooperation": parts.cooperation,
        "bought": ledger.bought_kw, "sold": ledger.sold_kw, "received": ledger.received_kw, "sent": ledger.sent_kw,
        "charge": ledger.charge_kw, "discharge": ledger.discharge_kw, "transfers": out.transfers_kw,
        "imbalance": out.imbalance_kw, "soc": out.soc_kwh, "cost": out.cost_eur,
        "transfer_cost": out.transfer_cost_eur, "loss_share": out.loss_share_kw, "stability": out.stability,
        "voltage": net.voltage_pu, "loading": net.loading, "loss": net.loss_kw, "slack": net.slack_kw,
        "converged": net.converged,
    }  # fmt: skip
    return {name: flat(x) for name, x in named.items()} | {
        "parts": np.concatenate([flat(x) for x in out.stability_parts])
    }


def assert_equal(found: dict[str, np.ndarray], out: StepResult, where: str) -> None:
    expected = results_of(out)
    assert set(found) == set(expected)
    for name, y in expected.items():
        x = np.asarray(found[name], dtype=np.float64)
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-4, err_msg=f"{where}: {name}")


@needs_compiler
@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize(("grids", "steps"), [(GRIDS, 200), (2048, 97)])  # results of many go past the caches
def test_c_takes_the_same_steps(grids: int, steps: int) -> None:
    sim = simulator(grids)
    state, _ = sim.reset()
    native = NativeStep(sim, state)
    generator, ended = torch.Generator().manual_seed(5), 0
    for t in range(steps):
        a = action(generator, t, grids)
        state, out = sim.step(state, a)
        assert_equal(native.step(a.contiguous().numpy()), out, f"step {t}")
        ended += int(out.truncated.sum())
        for name in ("step", "episode", "row", "clamped", "nonfinite"):
            np.testing.assert_array_equal(native.state[name], getattr(state, name).numpy(), err_msg=f"{name}, {t}")
    assert ended >= grids  # every community has begun a second episode, some a third
    assert (state.nonfinite > 0).any()


@needs_compiler
@pytest.mark.usefixtures("quick_profiles")
def test_a_learners_results_are_the_same_without_the_others() -> None:
    sim = simulator()
    state, _ = sim.reset()
    whole, few = NativeStep(sim, state), NativeStep(sim, state, learner_only=True)
    generator = torch.Generator().manual_seed(1)
    for t in range(3):
        a = action(generator, t).contiguous().numpy()
        all_of_them, some = whole.step(a), few.step(a)
    for name in all_of_them:
        if name in LEARNER:
            np.testing.assert_array_equal(some[name], all_of_them[name])
    assert not some["voltage"].any()


@needs_compiler
@pytest.mark.usefixtures("quick_profiles")
def test_what_the_yardsticks_do_not_cover_is_refused() -> None:
    outage = Simulator("outage", 16)
    with pytest.raises(ConfigError, match="events"):
        NativeStep(outage, outage.reset()[0])
    sim = Simulator("community-5", 7)
    with pytest.raises(ConfigError, match="multiple of"):
        NativeStep(sim, sim.reset()[0])
    sim = simulator()
    native = NativeStep(sim, sim.reset()[0])
    with pytest.raises(ValueError, match="expected float32"):
        native.step(np.zeros((GRIDS, 5, 2), np.float32))


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("kind", [PlainEnv, FloatEnv])
def test_the_plain_environment_takes_the_same_steps_without_power_flow(kind: type[PlainEnv]) -> None:
    plain, ours = kind(), parallel_env("community-5", **{"network.power_flow": False})
    generator = torch.Generator().manual_seed(2)
    (seen, _), (expected, _) = plain.reset(seed=3), ours.reset(seed=3)
    for t in range(plain.config.episode_steps):
        for agent in plain.possible_agents:
            np.testing.assert_allclose(seen[agent], expected[agent], atol=2e-4, err_msg=f"step {t}")
        a = action(generator, t, 1)[0].nan_to_num(0.0, 0.0, 0.0).numpy()
        actions = dict(zip(plain.possible_agents, a, strict=True))
        seen, reward, *ends, infos = plain.step(actions)
        expected, reward_, *ends_, infos_ = ours.step(actions)
        assert ends == ends_
        for agent, info in infos.items():
            assert reward[agent] == pytest.approx(reward_[agent], abs=2e-4)
            assert info["reward_parts"] == pytest.approx(infos_[agent]["reward_parts"], abs=2e-4)
            scalars = {name: value for name, value in info.items() if name != "reward_parts"}
            assert scalars == pytest.approx({name: infos_[agent][name] for name in scalars}, abs=2e-4)
    assert plain.agents == ours.agents == []


@pytest.mark.slow
@pytest.mark.skipif(not peer_environments.is_installed("jax"), reason="needs python -m benchmarks peers install jax")
@pytest.mark.usefixtures("quick_profiles")
def test_jax_takes_the_same_steps(tmp_path: Path) -> None:
    sim = simulator()
    state, _ = sim.reset()
    world.save(tmp_path / "world.npz", sim, state)
    generator = torch.Generator().manual_seed(5)
    actions = [action(generator, t) for t in range(120)]
    np.savez(tmp_path / "actions.npz", actions=torch.stack(actions).numpy())
    files = [str(tmp_path / name) for name in ("world.npz", "actions.npz", "found.npz")]
    command = [str(peer_environments.interpreter("jax")), str(peer_environments.FOLDER / "run_jax.py"), *files]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(np.load(files[-1]))
    last = {name.removeprefix("state."): found.pop(name) for name in list(found) if name.startswith("state.")}
    for t, a in enumerate(actions):
        state, out = sim.step(state, a)
        assert_equal({name: x[t].reshape(GRIDS, -1).T for name, x in found.items()}, out, f"step {t}")
    for name in ("step", "episode", "row", "clamped", "nonfinite"):
        np.testing.assert_array_equal(last[name], getattr(state, name).numpy(), err_msg=name)
    assert (state.episode > 0).all()
