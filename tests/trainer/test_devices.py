"""Steps and learners on every device there is, and on one without values, where mixing devices or waiting fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from tests.host_and_device import OneDevice
from tests.smartgrid_core.communities import community
from tests.trainer.runs_small import assert_same, run
from trainer import ppo, qmix, rollout, shac
from trainer.config import ALGORITHMS, load_train_config
from trainer.learner import make_learner

torch.set_num_threads(1)
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_compiled_step_is_the_one_of_the_cpu(device: str) -> None:
    ranges = {"battery": {"capacity_kwh": [4, 12]}, "demand_scale": [0.5, 1.5]}
    config = community(3, ranges, episode_days=0.25, network={"buses": 8, "power_flow": True})
    plain, fast = (Simulator(config, 5, d, 1, auto_reset=True, compile=d == device) for d in ("cpu", device))
    (a, _), (b, _) = plain.reset(), fast.reset()
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):  # over an episode's end
        action = torch.rand(5, 3, plain.action_dim, generator=generator) * 2 - 1
        a, out = plain.step(a, action)
        b, found = fast.step(b, action.to(device))
        for name in ("obs", "reward", "cost_eur", "final_obs"):
            torch.testing.assert_close(getattr(found, name).cpu(), getattr(out, name), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.network.voltage_pu.cpu(), out.network.voltage_pu, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_goes_on_as_if_it_had_not_ended(tmp_path: Path, algorithm: str, device: str) -> None:
    """Scatters of a GPU's gradients are in no order, so that shac is the same there to rounding alone."""
    fields = {"algorithm": algorithm, "device": device}
    whole = run(tmp_path / "whole", **fields, iterations=3)
    run(tmp_path / "parts", **fields, iterations=2)
    parts = run(tmp_path / "parts", resume=True, **fields, iterations=3)
    assert parts.device.type == device
    if (algorithm, device) != ("shac", "cuda"):
        assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    for a, b in zip(whole.learner.actor.parameters(), parts.learner.actor.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_iteration_stays_on_its_device_and_waits_for_it_where_it_says_so(
    algorithm: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's meta device stands for a GPU: its operators check devices and shapes, and it holds no values.

    An iteration looks at values twice, and both are taken out: where grids stand before it, and who diverged too far
    after each of PPO's epochs.
    """
    asked: list[torch.Size] = []
    monkeypatch.setattr(ppo, "_all_wait", lambda going: bool(asked.append(going.shape)))
    for module in (rollout, qmix, shac):
        monkeypatch.setattr(module, "require_whole_holds", lambda *_: None)
    monkeypatch.setattr(ppo.torch.optim, "Adam", partial(_adam, torch.optim.Adam))
    small = {"num_grids": 4, "horizon": 2, "hold_h": 0.5, "compile": False, "share_parameters": shared}
    small |= {"ppo.epochs": 2, "ppo.minibatches": 2}
    config = load_train_config("meta", {"algorithm": algorithm, **small})
    grid = GridConfig.load("community-5")
    sim = Simulator(grid, config.num_grids, "meta", auto_reset=True, stagger=True, hold_steps=2)
    learner = make_learner(config, sim)
    monkeypatch.setattr(learner, "_compare_units", lambda: None, raising=False)  # once a run
    with OneDevice():
        state, obs = sim.reset()
        for _ in range(2):
            collected = learner.collect(state, obs, 0.1)
            state, obs = collected.state, collected.obs
            logs = learner.update(0.1)
    values = [x for x in logs.values() if isinstance(x, torch.Tensor)]
    assert {x.device.type for x in (obs, collected.learning_reward, *state, *values)} == {"meta"}
    assert len(asked) == (2 * config.ppo.epochs if algorithm in ("ippo", "mappo") else 0)


def _adam(kind: type[torch.optim.Adam], *args: object, fused: bool = False, **kwargs: object) -> torch.optim.Adam:
    """The one without a kernel of its own for each device."""
    return kind(*args, **kwargs)  # type: ignore[arg-type]
