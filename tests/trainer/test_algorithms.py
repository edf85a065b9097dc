"""What every algorithm promises: an actor, independent learners, and learning."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
import torch

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.actors import ACTORS, Actor, build_actor
from trainer.config import ALGORITHMS, TrainConfig
from trainer.learning_reward import learning_reward
from trainer.networks import clip_gradients_per_agent

pytestmark = pytest.mark.usefixtures("quick_profiles")


def test_every_algorithm_has_an_actor() -> None:
    assert set(ACTORS) == set(ALGORITHMS)
    with pytest.raises(ConfigError, match="dqn"):
        build_actor({"algorithm": "dqn"})
    with pytest.raises(ConfigError, match=r"menu of joint actions: .* train it anew"):
        build_actor({"algorithm": "qmix", "transfer_level": 0.3})


@pytest.mark.parametrize("algorithm", ["ippo", "shac"])
def test_no_agents_step_exceeds_its_own_limit(algorithm: str) -> None:
    """One agent's clipped gradient does not depend on another's, however large."""
    learner, _ = learner_of(algorithm)
    actor = cast(torch.nn.Module, learner.actor)
    parameters = [p for p in actor.parameters() if p.dim() > 1]
    gradients = [torch.randn_like(p) for p in parameters]

    def clipped(factor: float) -> list[torch.Tensor]:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
            p.grad[1] *= factor
        clip_gradients_per_agent(parameters, 0.5)
        return [cast(torch.Tensor, p.grad).clone() for p in parameters]

    for calm, wild in zip(clipped(1.0), clipped(1e4), strict=True):
        assert torch.equal(calm[[0, 2]], wild[[0, 2]])


QUICK: dict[str, dict[str, Any]] = {
    "ippo": {"horizon": 12, "learning_rate": 5e-3, "iterations": 12, "gamma": 0.95},
    "mappo": {"horizon": 12, "learning_rate": 5e-3, "iterations": 12, "gamma": 0.95},
    "shac": {"horizon": 24, "hold_h": 0.25, "gamma": 0.999, "learning_rate": 1e-2, "iterations": 15},
    "qmix": {
        "horizon": 6, "gamma": 0.95, "iterations": 40,
        "qmix": {"replay": 16_000, "batch": 256, "updates": 8, "epsilon_until": 0.3, "target_rate": 0.05},
    },
}  # fmt: skip


def reward_of(actor: Actor, hold: int) -> float:
    """Mean learning reward of a decision without exploration over half a day, on grids of its own."""
    sim = Simulator(community(3), 64, seed=9, auto_reset=True, stagger=True)
    config = TrainConfig(num_grids=64)
    worth, total = learning_reward(config, sim), torch.zeros(())
    with torch.no_grad():
        state, obs = sim.reset()
        for _ in range(48 // hold):
            action = actor.decide(obs)
            for _ in range(hold):
                before = state
                state, out = sim.step(state, action)
                total += worth(before, out).mean()
                obs = out.obs
    return float(total)


@pytest.mark.parametrize(("algorithm", "shared"), [*((name, False) for name in ALGORITHMS), ("shac", True)])
def test_learner_beats_its_untrained_self(algorithm: str, shared: bool) -> None:
    learner, sim = learner_of(algorithm, 32, share_parameters=shared, **QUICK[algorithm])
    iterations = QUICK[algorithm]["iterations"]
    state, obs = sim.reset()
    untrained = reward_of(learner.actor, learner.hold)
    for i in range(iterations):
        collected = learner.collect(state, obs, i / iterations)
        state, obs = collected.state, collected.obs
        logs = learner.update(i / iterations)
        assert all(torch.isfinite(torch.as_tensor(v)).all() for v in logs.values())
    assert reward_of(learner.actor, learner.hold) > untrained + 0.05


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_announced_size_counts_every_trained_number(algorithm: str) -> None:
    sizes = [learner_of(algorithm, share_parameters=shared)[0].size for shared in (False, True)]
    assert all(a > b for a, b in pairwise(sizes))
