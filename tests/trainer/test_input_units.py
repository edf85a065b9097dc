"""Units of inputs: taken from the first batch, and from declared ranges where that knows too little."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from smartgrid_core import Simulator
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.config import ALGORITHMS
from trainer.learner import Learner
from trainer.networks import CentralCritic, StackedMLP

pytestmark = pytest.mark.usefixtures("quick_profiles")


def after_a_batch(algorithm: str, grids: int, **fields: Any) -> tuple[Learner, Simulator, Tensor]:
    learner, sim = learner_of(algorithm, grids, **fields)
    state, obs = sim.reset()
    learner.collect(state, obs, 0.0)
    return learner, sim, obs


def read(network: StackedMLP, obs: Tensor) -> Tensor:
    """Inputs as the first layer gets them."""
    return ((obs - network.mean) * network.inverse_spread).clamp(-5.0, 5.0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_single_grid_can_tell_the_seasons_and_an_outage(algorithm: str, shared: bool) -> None:
    """After four hours of one day in one grid, in which the year stood still and the utility was there."""
    learner, sim, obs = after_a_batch(algorithm, 1, share_parameters=shared)
    names, network = sim.observation_names, learner.actor.network
    year = []
    for month in range(12):
        angle = 2 * math.pi * month / 12
        at = obs.clone()
        at[..., names.index("sin_year")], at[..., names.index("cos_year")] = math.sin(angle), math.cos(angle)
        year.append(read(network, at)[..., [names.index("sin_year"), names.index("cos_year")]])
    apart = torch.stack(year)
    for wave in (0, 1):  # seven different heights of a wave in twelve months
        assert len({round(x, 2) for x in apart[:, 0, 0, wave].tolist()}) == 7
    lost = obs.clone()
    lost[..., names.index("connected")] = 0.0
    assert (read(network, lost) - read(network, obs))[..., names.index("connected")].abs().min() > 1


def test_many_grids_are_measured() -> None:
    learner, sim, _ = after_a_batch("ippo", 64, horizon=24)
    network, where = learner.actor.network, sim.observation_names.index("sin_day")
    seen = learner.rollout.obs  # type: ignore[attr-defined]
    assert torch.allclose(1 / network.inverse_spread[:, where], seen.flatten(0, 1).std(0)[:, where], rtol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_a_central_critic_takes_the_same_least(shared: bool) -> None:
    critic = CentralCritic(3, 4, (8,), shared=shared)
    data = torch.randn(50, 3, 4) * 1e-2
    critic.standardise(data, torch.tensor([0.0, 0.5, 0.0, 0.5]))
    copies = 2 if shared else 3  # own and mean, or everyone's
    spread = (1 / critic.network.inverse_spread).view(copies, 4)
    assert torch.allclose(spread[:, [1, 3]], torch.full((copies, 2), 0.5))
    assert spread[:, [0, 2]].max() < 0.02
