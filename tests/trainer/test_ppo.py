"""Clipped policy optimisation: TorchRL's advantages and losses, who is credited, how far a step goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import IndependentNormal, ProbabilisticActor
from torchrl.objectives.multiagent import IPPOLoss
from torchrl.objectives.value.advantages import MultiAgentGAE

from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.actors import GaussianActor
from trainer.metrics import explained_variance
from trainer.networks import StackedMLP
from trainer.ppo import Ppo
from trainer.ppo_functions import (
    Batch,
    Losses,
    advantages,
    credited,
    followed,
    normal_log_prob,
    ppo_losses,
    standardised,
)

pytestmark = pytest.mark.usefixtures("quick_profiles")


def test_advantages_and_losses_equal_torchrl() -> None:
    """Advantages, targets, losses, entropy, KL and gradients, with episodes cut in the middle."""
    torch.manual_seed(0)
    t, b, n, o, a = 6, 4, 3, 5, 2
    actor, critic = GaussianActor(n, o, a, (8,), 0.4), StackedMLP(n, o, 1, (8,), final_gain=1.0)
    obs, next_obs, reward = torch.randn(t, b, n, o), torch.randn(t, b, n, o), torch.randn(t, b, n)
    truncated = torch.rand(t, b) < 0.3
    action, log_prob = torch.randn(t, b, n, a) * 0.5, torch.randn(t, b, n) * 0.2 - 1
    with torch.no_grad():
        value, next_value = critic(obs), critic(next_obs)
    estimate, target = advantages(reward, value[..., 0], next_value[..., 0], truncated, 0.95, 0.8)
    batch = Batch(obs, obs, action, log_prob, standardised(estimate), target)
    mean, std = actor(obs)
    ours = ppo_losses(mean, std, critic(obs)[..., 0], batch, 0.2)

    def names(*fields: str) -> dict[str, Any]:
        return {field: ("agents", field) for field in fields}

    gae = MultiAgentGAE(gamma=0.95, lmbda=0.8, value_network=None, average_gae=True)
    gae.set_keys(value=("agents", "state_value"), **names("reward", "advantage", "value_target"))
    done = truncated[..., None]
    data = TensorDict(
        {
            "agents": {"observation": obs, "action": action, "action_log_prob": log_prob, "state_value": value},
            "next": {
                "agents": {"state_value": next_value, "reward": reward[..., None]},
                "done": done, "truncated": done, "terminated": torch.zeros_like(done),
            },
        },
        [t, b],
    )  # fmt: skip
    gae(data, time_dim=0)
    torch.testing.assert_close(batch.advantage, data["agents", "advantage"][..., 0])
    torch.testing.assert_close(target, data["agents", "value_target"][..., 0])
    seen: list[Any] = [("agents", "observation")]
    policy_out: list[Any] = [("agents", "loc"), ("agents", "scale")]
    policy = ProbabilisticActor(
        TensorDictModule(actor, in_keys=seen, out_keys=policy_out), in_keys=policy_out, out_keys=[("agents", "action")],
        distribution_class=IndependentNormal, return_log_prob=True, log_prob_key=("agents", "action_log_prob"),
    )  # fmt: skip
    loss = IPPOLoss(
        policy, TensorDictModule(critic, in_keys=seen, out_keys=[("agents", "state_value")]), clip_epsilon=0.2,
        entropy_bonus=True, normalize_advantage=False, loss_critic_type="smooth_l1", functional=False,
    )  # fmt: skip
    loss.set_keys(
        value=("agents", "state_value"), sample_log_prob=("agents", "action_log_prob"),
        **names("reward", "action", "advantage", "value_target"),
    )  # fmt: skip
    theirs = loss(data.exclude("next").flatten(0, 1))
    ours = Losses(*(x.mean() for x in ours))
    torch.testing.assert_close(ours.objective, theirs["loss_objective"])
    torch.testing.assert_close(ours.critic, theirs["loss_critic"])
    torch.testing.assert_close(ours.entropy, theirs["entropy"])
    log_ratio = normal_log_prob(batch.action, mean, std) - batch.log_prob
    torch.testing.assert_close(-log_ratio.mean(), theirs["kl_approx"])
    torch.testing.assert_close(ours.kl, (log_ratio.exp() - 1 - log_ratio).mean())
    assert ours.kl > 0
    torch.testing.assert_close(ours.clip_fraction, theirs["clip_fraction"])
    parameters = [*actor.parameters(), *critic.parameters()]
    mine = torch.autograd.grad(ours.objective + ours.critic, parameters)
    other = torch.autograd.grad(theirs["loss_objective"] + theirs["loss_critic"], parameters)
    torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_an_agents_gradient_is_of_its_own_loss_however_many_there_are(algorithm: str) -> None:
    learner, sim = learner_of(algorithm, agents=4)
    assert isinstance(learner, Ppo)
    learner.collect(*sim.reset(), 0.0)
    batch, _ = learner._batch()
    mean, std = learner.actor.evaluate(batch.seen)
    losses = ppo_losses(mean, std, learner.critic.evaluate(batch.valued)[..., 0], batch, 0.2)
    own = losses.objective[2] + learner.config.ppo.critic_coeff * losses.critic[2]
    own = own - learner.config.ppo.entropy_coeff * losses.entropy[2]
    gradients = torch.autograd.grad(own, learner.parameters)
    assert all(g[[0, 1, 3]].abs().max() == 0 for g in gradients)
    _, norms = learner._descend(batch, learner.pace)
    assert float(norms[2]) == pytest.approx(float(torch.stack([g.norm() for g in gradients]).norm()), rel=1e-4)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
@pytest.mark.parametrize("own_units", [False, True])
def test_minibatches_hold_what_networks_read(algorithm: str, shared: bool, own_units: bool) -> None:
    """Of chosen decisions networks make what they make of the observations, also where actors came with their units."""
    learner, sim = learner_of(algorithm, share_parameters=shared)
    assert isinstance(learner, Ppo)
    if own_units:
        learner.actor.network.standardise(torch.randn(50, 3, sim.observation_dim) * 3 + 1)
        learner.actor.network.keep_units()
    learner.collect(*sim.reset(), 0.0)
    batch, _ = learner._batch()
    assert (batch.valued is batch.seen) == (algorithm == "ippo" and not own_units)
    rows = torch.tensor([5, 0, 11])
    part, obs = batch.take(rows), learner.rollout.obs.flatten(0, 1)[rows]
    mean, std = learner.actor.evaluate(part.seen)
    expected = learner.actor(obs)
    torch.testing.assert_close(mean.transpose(0, 1), expected[0])
    torch.testing.assert_close(std.expand_as(mean).transpose(0, 1), expected[1])
    torch.testing.assert_close(learner.critic.evaluate(part.valued).transpose(0, 1), learner.critic(obs))
    torch.testing.assert_close(part.action.transpose(0, 1), learner.rollout.action.flatten(0, 1)[rows])
    torch.testing.assert_close(part.log_prob.T, learner.rollout.log_prob.flatten(0, 1)[rows])


def test_credit_is_ones_own_gain_the_neighbours_or_the_communitys() -> None:
    advantage = torch.randn(4, 2, 4)
    unit = torch.tensor([1.0, 2.0, 3.0, 4.0])
    gain = advantage * unit
    ring = [{0, 1, 3}, {0, 1, 2}, {1, 2, 3}, {0, 2, 3}]
    for credit, whose in (("own", [{0}, {1}, {2}, {3}]), ("neighbours", ring), ("team", [{0, 1, 2, 3}] * 4)):
        learner, _ = learner_of("mappo", agents=4, ppo={"credit": credit})
        assert isinstance(learner, Ppo)
        learner.reward_scale.copy_(unit)
        for agent, sources in enumerate(whose):
            expected = gain[..., sorted(sources)].sum(-1) / unit[agent]
            torch.testing.assert_close(learner._credit(advantage)[..., agent], expected)


def test_without_links_neighbours_are_nobody() -> None:
    assert torch.equal(credited("neighbours", np.zeros((0, 2), dtype=np.int64), 3), torch.eye(3))


def test_step_size_follows_the_divergence() -> None:
    """Shorter after an iteration beyond the limit, longer after a calm one, never beyond the configured."""
    learner, sim = learner_of("ippo", final_learning_rate=1.0)
    assert isinstance(learner, Ppo)
    state, obs = sim.reset()
    paces = []
    for limit in (0.0, 0.0, 1e9, 1e9, 1e9):
        ppo = learner.config.ppo.model_copy(update={"target_kl": limit})
        learner.config = learner.config.model_copy(update={"ppo": ppo})
        state, obs, *_ = learner.collect(state, obs, 0.0)
        learner.update(0.0)
        paces.append(learner.pace)
    expected = [1 / 1.5, 1 / 1.5**2, 1 / 1.5, 1.0, 1.0]
    torch.testing.assert_close(torch.stack(paces), torch.tensor(expected)[:, None].expand(5, sim.num_agents))
    between = followed(torch.tensor([1.0, 0.5]), torch.full((2,), 0.02), target_kl=0.03)
    assert between.tolist() == [1.0, 0.5], "between half the limit and the limit nothing changes"


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_a_learner_that_diverged_waits_and_the_others_go_on(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent learners: how far one diverges is no reason for another to stop, or to take other steps."""

    def updated(limit_of_first: float | None) -> tuple[Ppo, dict[str, Any]]:
        learner, sim = learner_of(algorithm)
        assert isinstance(learner, Ppo)
        learner.collect(*sim.reset(), 0.0)
        losses = ppo_losses

        def reported(*args: Any) -> Losses:
            found = losses(*args)
            if limit_of_first is None:
                return found
            return found._replace(kl=torch.cat([torch.tensor([limit_of_first]), torch.zeros_like(found.kl[1:])]))

        with monkeypatch.context() as patch:
            patch.setattr("trainer.ppo.ppo_losses", reported)
            return learner, learner.update(0.0)

    calm, together = updated(0.0)
    stopped, apart = updated(1.0)
    epochs = calm.config.ppo.epochs
    assert together["epochs"].tolist() == [epochs] * len(together["epochs"])
    assert apart["epochs"].tolist() == [1, *[epochs] * (len(apart["epochs"]) - 1)]
    assert apart["pace"].tolist() == pytest.approx([1 / 1.5, *[1.0] * (len(apart["pace"]) - 1)])
    for one, other in zip(calm.parameters, stopped.parameters, strict=True):
        assert not torch.equal(one[0], other[0]), "the first took fewer steps"
        assert torch.equal(one[1:], other[1:]), "the others took theirs"


def test_a_part_of_a_step_is_that_part_of_adams() -> None:
    """The pace is a learning rate a row: half the pace for all is half the rate of the optimiser."""
    changes = []
    for rate, pace in ((1e-3, 0.5), (5e-4, 1.0)):
        learner, sim = learner_of("ippo", learning_rate=rate, final_learning_rate=1.0)
        assert isinstance(learner, Ppo)
        learner.collect(*sim.reset(), 0.0)
        batch = learner._batch()[0]
        before = [weight.detach().clone() for weight in learner.parameters]
        learner._descend(batch, torch.full((sim.num_agents,), pace))
        changes.append([weight.detach() - old for weight, old in zip(learner.parameters, before, strict=True)])
    for one, other in zip(*changes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


def test_explained_variance_counts_what_it_is_told_to() -> None:
    target = torch.randn(40, 3)
    value = 0.5 * target + 0.1 * torch.randn(40, 3)
    expected = 1 - (target - value).var(0) / target.var(0)
    torch.testing.assert_close(explained_variance(value, target), expected)
    counts = torch.cat([torch.ones(40, 1), torch.zeros(5, 1)])
    more = torch.cat([value, torch.full((5, 3), 99.0)]), torch.cat([target, torch.full((5, 3), -99.0)])
    torch.testing.assert_close(explained_variance(*more, counts), expected)
    assert explained_variance(torch.full((40, 3), 7.0), target).abs().max() < 1e-6, "a constant explains nothing"


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_the_first_minibatch_is_of_the_policy_that_acted(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of the inputs come from the first batch: what acted before it had them is another policy."""
    learner, sim = learner_of(algorithm)
    assert isinstance(learner, Ppo)
    divergences = []
    descend = learner._descend

    def noted(batch: Batch, pace: torch.Tensor) -> tuple[Losses, torch.Tensor]:
        losses, norm = descend(batch, pace)
        divergences.append(float(losses.kl.mean()))
        return losses, norm

    monkeypatch.setattr(learner, "_descend", noted)
    learner.collect(*sim.reset(), 0.0)
    learner.update(0.0)
    assert abs(divergences[0]) < 1e-5
    assert max(map(abs, divergences[1:])) > 1e-4, "while later ones are not"
