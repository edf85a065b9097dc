"""Learners on a device that has no values: whatever waited for one, or mixed devices, would raise."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from tests.host_and_device import OneDevice
from trainer import ppo, qmix, rollout, shac
from trainer.config import ALGORITHMS, load_train_config
from trainer.learner import make_learner

torch.set_num_threads(1)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_iteration_stays_on_its_device_and_waits_for_it_where_it_says_so(
    algorithm: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's meta device stands for a GPU: its operators check devices and shapes, and it holds no values.

    An iteration looks at values twice, and both are taken out: where grids stand before it, and the divergence after
    each of PPO's epochs.
    """
    divergences: list[torch.Size] = []
    monkeypatch.setattr(ppo, "mean_over_ranks", lambda x: divergences.append(x.shape) or torch.zeros(()))
    for module in (rollout, qmix, shac):
        monkeypatch.setattr(module, "require_whole_holds", lambda *_: None)
    monkeypatch.setattr(ppo.torch.optim, "Adam", partial(_adam, torch.optim.Adam))
    small = {"num_grids": 4, "horizon": 4, "compile": False, "share_parameters": shared}
    config = load_train_config("meta", {"algorithm": algorithm, **small})
    grid = GridConfig.load("community-5")
    sim = Simulator(grid, config.num_grids, "meta", auto_reset=True, stagger=True, hold_steps=4)
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
    assert len(divergences) == (2 * config.ppo.epochs if algorithm in ("ippo", "mappo") else 0)


def _adam(kind: type[torch.optim.Adam], *args: object, fused: bool = False, **kwargs: object) -> torch.optim.Adam:
    """The one without a kernel of its own for each device."""
    return kind(*args, **kwargs)  # type: ignore[arg-type]
