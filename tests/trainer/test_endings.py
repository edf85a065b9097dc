"""What follows a decision: the next observation, but the last one of the episode where the decision ended it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from smartgrid_core import Simulator, State
from smartgrid_core.types import StepResult
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.learner import Learner
from trainer.ppo import Ppo
from trainer.ppo_functions import advantages, standardised
from trainer.qmix import Qmix
from trainer.shac import Shac

pytestmark = pytest.mark.usefixtures("quick_profiles")
GRIDS, DECISIONS = 6, 30  # an episode has 24: every grid ends one, a quarter of them two


@pytest.fixture
def final_obs(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The simulator's own last observations, of every step it takes."""
    steps: list[Tensor] = []
    step = Simulator.step

    def recorded(self: Simulator, state: State, action: Tensor) -> tuple[State, StepResult]:
        state, out = step(self, state, action)
        steps.append(out.final_obs)
        return state, out

    monkeypatch.setattr(Simulator, "step", recorded)
    return steps


def collected(algorithm: str, final_obs: list[Tensor], **fields: Any) -> tuple[Learner, Tensor]:
    """A learner with its second iteration's experience, and what followed each decision of it, [T, B, N, O]."""
    learner, sim = learner_of(algorithm, GRIDS, horizon=DECISIONS, **fields)
    first = learner.collect(*sim.reset(), 0.0)
    learner.update(0.0)
    learner.collect(first.state, first.obs, 0.0)
    return learner, torch.stack(final_obs[-DECISIONS * learner.hold :][learner.hold - 1 :: learner.hold])


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_advantages_are_those_of_every_final_observation(algorithm: str, final_obs: list[Tensor]) -> None:
    learner, followed = collected(algorithm, final_obs)
    assert isinstance(learner, Ppo)
    r, c = learner.rollout, learner.config
    assert set(r.truncated.sum(0).tolist()) == {1, 2}
    assert not torch.equal(followed[:-1][r.truncated[:-1]], r.obs[1:][r.truncated[:-1]])
    with torch.no_grad():
        value, next_value = learner.critic(r.obs)[..., 0], learner.critic(followed)[..., 0]
        torch.testing.assert_close(r.next_values(learner.critic(r.seen)[..., 0]), next_value)
    estimate, target = advantages(r.reward / learner.reward_scale, value, next_value, r.truncated, c.gamma, c.lmbda)
    batch, _ = learner._batch()
    torch.testing.assert_close(batch.target, target.flatten(0, 1).T)
    torch.testing.assert_close(batch.advantage, standardised(learner._credit(estimate)).flatten(0, 1).T)


@pytest.mark.parametrize("decisions", [DECISIONS, 10])
def test_qmix_remembers_every_final_observation(decisions: int, final_obs: list[Tensor]) -> None:
    """Also where the memory is too small for an iteration: it ends with the newest decisions."""
    learner, followed = collected("qmix", final_obs, qmix={"replay": GRIDS * decisions, "batch": 32, "updates": 1})
    assert isinstance(learner, Qmix)
    assert torch.equal(learner.replay.data.next_obs, followed[-decisions:].flatten(0, 1))


def test_shac_values_and_their_gradients_are_those_of_every_final_observation(final_obs: list[Tensor]) -> None:
    learner, followed = collected("shac", final_obs)
    assert isinstance(learner, Shac)
    window = learner.window
    assert window is not None
    assert set(window.truncated.sum(0).tolist()) == {1, 2}
    values = learner._values(followed)
    torch.testing.assert_close(window.values, values)
    slopes = [
        torch.autograd.grad(learner.objective(w), learner.weights, retain_graph=True)
        for w in (window, window._replace(values=values))
    ]
    torch.testing.assert_close(*slopes)
    without = torch.autograd.grad(learner.objective(window._replace(values=values.detach())), learner.weights)
    assert not torch.allclose(slopes[0][0], without[0], rtol=1e-2)


def test_the_experience_holds_each_observation_once() -> None:
    learner, _ = learner_of("ippo", GRIDS, horizon=8)
    assert isinstance(learner, Ppo)
    assert learner.rollout.seen.shape[0] == 8 + 1 + 1
    assert learner_of("ippo", GRIDS, horizon=DECISIONS)[0].rollout.seen.shape[0] == DECISIONS + 1 + 2  # type: ignore


def test_nothing_is_noted_before_it_is_known_where_the_grids_stood() -> None:
    learner, sim = learner_of("qmix", GRIDS)
    assert isinstance(learner, Qmix)
    state, _ = sim.reset()
    after, out = sim.step(state, torch.zeros(GRIDS, sim.num_agents, sim.action_dim))
    with pytest.raises(RuntimeError, match=r"begin\(state\)"):
        learner.endings.note(out, after)
    learner.endings.begin(state)
    learner.endings.note(out, after)
    assert learner.endings.observations().shape == (1, GRIDS, sim.num_agents, sim.observation_dim)
