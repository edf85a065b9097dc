"""What each algorithm promises: true gradients, monotonic mixing, equal losses, independent learners, and learning."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import IndependentNormal, ProbabilisticActor, QValueModule, SafeSequential
from torchrl.objectives.multiagent import IPPOLoss, QMixerLoss
from torchrl.objectives.value.advantages import MultiAgentGAE

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from trainer.actors import ACTORS, MENU_SIZE, Actor, GaussianActor, MenuActor, build_actor, make_menu
from trainer.config import ALGORITHMS, TrainConfig
from trainer.learner import Learner, make_learner
from trainer.learning_reward import LearningReward
from trainer.networks import CentralCritic, StackedMLP, clip_gradients_per_agent
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
from trainer.qmix import TeamValue, td_loss
from trainer.replay import Replay, Transitions
from trainer.shac import Shac, lambda_targets, window_returns

pytestmark = pytest.mark.usefixtures("quick_profiles")


def learner_of(algorithm: str, grids: int = 4, agents: int = 3, **fields: Any) -> tuple[Learner, Simulator]:
    """A learner on a small community, with little of everything."""
    data: dict[str, Any] = {"algorithm": algorithm, "num_grids": grids, "horizon": 4, "hidden": (16,)}
    data |= {"ppo": {"minibatches": 2, "epochs": 2}, "shac": {"critic_batch": 32}}
    config = TrainConfig.model_validate(data | {"qmix": {"replay": 256, "batch": 32, "updates": 2}} | fields)
    torch.manual_seed(config.seed)
    sim = Simulator(community(agents), grids, seed=config.seed, auto_reset=True, stagger=True)
    return make_learner(config, sim), sim


def test_every_algorithm_has_an_actor() -> None:
    assert set(ACTORS) == set(ALGORITHMS)
    with pytest.raises(ConfigError, match="dqn"):
        build_actor({"algorithm": "dqn"})


# The gradient through the simulator ---------------------------------------------------------------------


def test_shac_gradient_is_the_slope_of_the_return() -> None:
    """Central difference along the gradient, and along a single agent's; kinks of the physics cost a little."""
    learner, sim = learner_of("shac", hold_h=0.25, horizon=6)
    assert isinstance(learner, Shac)
    state, obs = sim.reset()
    learner.collect(state, obs, 0.0)
    learner.update(0.0)  # units and a first step, away from the symmetry of the start

    def loss() -> torch.Tensor:
        learner.collect(state, obs, 0.0)
        assert learner.window is not None
        return learner.objective(learner.window)

    gradient = torch.autograd.grad(loss(), learner.weights)
    for agent in (slice(None), slice(1, 2)):
        direction = [torch.zeros_like(g) for g in gradient]
        for d, g in zip(direction, gradient, strict=True):
            d[agent] = g[agent]
        norm = torch.stack([d.square().sum() for d in direction]).sum().sqrt()

        def moved(by: float, along: list[torch.Tensor] = direction, size: torch.Tensor = norm) -> float:
            with torch.no_grad():
                for weight, d in zip(learner.weights, along, strict=True):
                    weight += by * d / size
            value = loss().item()
            with torch.no_grad():
                for weight, d in zip(learner.weights, along, strict=True):
                    weight -= by * d / size
            return value

        slope = (moved(2e-3) - moved(-2e-3)) / 4e-3
        assert norm > 1e-3
        assert slope == pytest.approx(float(norm), rel=0.03)


def test_window_returns_and_targets_equal_hand_loops() -> None:
    torch.manual_seed(0)
    reward, values = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    truncated = torch.zeros(5, 2, dtype=torch.bool)
    truncated[2, 1] = True
    ends = truncated.clone()
    ends[-1] = True
    gamma, lmbda = 0.9, 0.7
    powers = gamma ** torch.arange(5, dtype=torch.float64)
    through = (powers[:, None] * reward[:, 0]).sum(0) + gamma**5 * values[4, 0]
    before = (powers[:3, None] * reward[:3, 1]).sum(0) + gamma**3 * values[2, 1]
    after = reward[3, 1] + gamma * reward[4, 1] + gamma**2 * values[4, 1]
    returns = window_returns(reward, values, ends, truncated, gamma)
    torch.testing.assert_close(returns, torch.stack([through, before + after]))
    targets = lambda_targets(reward, values, ends, gamma, lmbda)
    torch.testing.assert_close(targets[2, 1], reward[2, 1] + gamma * values[2, 1])  # the value after the limit, no more
    torch.testing.assert_close(targets[4], reward[4] + gamma * values[4])
    mixed = (1 - lmbda) * values[3] + lmbda * targets[4]
    torch.testing.assert_close(targets[3], reward[3] + gamma * mixed)
    monte_carlo = lambda_targets(reward, values, ends, gamma, 1.0)
    torch.testing.assert_close(monte_carlo[0, 0], through)


# Mixed values -------------------------------------------------------------------------------------------


def team(agents: int = 3, inputs: int = 4, shared: bool = False) -> TeamValue:
    torch.manual_seed(0)
    return TeamValue(MenuActor(agents, inputs, 3, (8,), 0.3, shared), agents, inputs, mixing=8, shared=shared)


@pytest.mark.parametrize("shared", [False, True])
def test_team_value_never_falls_with_an_agents_value(shared: bool) -> None:
    value = team(shared=shared)
    own = torch.randn(64, 3, 1, requires_grad=True)
    state = torch.randn(64, 4 if shared else 12) * 3
    (slope,) = torch.autograd.grad(value.mixer(own, state).sum(), own)
    assert slope.min() >= 0
    assert (slope > 0).any()


def test_team_loss_equals_torchrl() -> None:
    """Our loss is QMixerLoss with double Q-learning off where both networks prefer the same entries."""
    value, target = team(), team()
    batch = Transitions(torch.randn(32, 3, 4), torch.randint(0, 27, (32, 3)), torch.randn(32), torch.randn(32, 3, 4))
    ours, _ = td_loss(value, target, batch, 0.9)
    keys = [("agents", name) for name in ("action", "action_value", "chosen_action_value")]
    choose: Any = QValueModule(action_value_key=keys[1], out_keys=keys, action_space="categorical")
    network = SafeSequential(
        TensorDictModule(value.actor, in_keys=[("agents", "observation")], out_keys=[keys[1]]), choose
    )
    mixer = TensorDictModule(value.mixer, in_keys=[keys[2], "state"], out_keys=["chosen_action_value"])
    loss = QMixerLoss(network, mixer, loss_function="smooth_l1", delay_value=True, action_space="categorical")
    loss.make_value_estimator(gamma=0.9)
    nothing = torch.zeros(32, 1, dtype=torch.bool)
    data = TensorDict(
        {
            "agents": {"observation": batch.obs, "action": batch.choice},
            "state": batch.obs.clamp(-5, 5).flatten(1),
            "next": {
                "agents": {"observation": batch.next_obs}, "state": batch.next_obs.clamp(-5, 5).flatten(1),
                "reward": batch.reward[:, None], "done": nothing, "terminated": nothing,
            },
        },
        [32],
    )  # fmt: skip
    theirs = loss(data)["loss"]
    torch.testing.assert_close(ours, theirs)
    parameters = list(value.parameters())
    own = torch.autograd.grad(ours, parameters)
    theirs.backward()
    named = [p for p in loss.parameters() if p.requires_grad]
    norm = torch.stack([g.norm() for g in own]).norm()
    torch.testing.assert_close(norm, torch.stack([cast(torch.Tensor, p.grad).norm() for p in named]).norm())


@pytest.mark.parametrize("slots", [0, 1, 2, 3, 4, 12])
def test_menu_is_small_valid_and_starts_with_doing_nothing(slots: int) -> None:
    menu = make_menu(slots, 0.3)
    assert menu[0] == [0.0] * (slots + 1)
    assert len({tuple(entry) for entry in menu}) == len(menu) <= MENU_SIZE
    assert all(len(entry) == slots + 1 and max(map(abs, entry)) <= 1 for entry in menu)
    for slot in range(slots):
        assert {entry[slot] for entry in menu} == {0.0, 0.3, -0.3}


def test_replay_keeps_the_newest() -> None:
    replay = Replay(6, 2, 1, 1, torch.device("cpu"))

    def entry(i: int) -> Transitions:
        return Transitions(
            torch.full((2, 1, 1), i), torch.zeros(2, 1).long(), torch.full((2,), i), torch.zeros(2, 1, 1)
        )

    for i in range(5):
        replay.add(entry(i))
        assert len(replay) == min(2 * (i + 1), 6)
    assert sorted(replay.data.reward.tolist()) == [2, 2, 3, 3, 4, 4]
    drawn = replay.sample(200, torch.Generator().manual_seed(0))
    assert set(drawn.reward.tolist()) == {2, 3, 4}
    assert torch.equal(drawn.obs[:, 0, 0], drawn.reward)
    with pytest.raises(ValueError, match="2 grids"):
        replay.add(Transitions(*(x[:1] for x in entry(0))))


# Clipped policy optimisation ----------------------------------------------------------------------------


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
    full = learner.config.learning_rate
    state, obs = sim.reset()
    rates = []
    for limit in (0.0, 0.0, 1e9, 1e9, 1e9):
        ppo = learner.config.ppo.model_copy(update={"target_kl": limit})
        learner.config = learner.config.model_copy(update={"ppo": ppo})
        state, obs, *_ = learner.collect(state, obs, 0.0)
        rates.append(learner.update(0.0)["learning_rate"])
    assert rates == pytest.approx([full, full / 1.5, full / 1.5**2, full / 1.5, full])
    assert followed(1.0, kl=0.02, target_kl=0.03) == 1.0, "between half the limit and the limit nothing changes"
    assert followed(0.5, kl=0.02, target_kl=0.03) == 0.5


@pytest.mark.parametrize("algorithm", ["ippo", "mappo"])
def test_the_first_minibatch_is_of_the_policy_that_acted(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of the inputs come from the first batch: what acted before it had them is another policy."""
    learner, sim = learner_of(algorithm)
    assert isinstance(learner, Ppo)
    divergences = []
    descend = learner._descend

    def noted(batch: Batch) -> tuple[Losses, torch.Tensor]:
        losses, norm = descend(batch)
        divergences.append(float(losses.kl))
        return losses, norm

    monkeypatch.setattr(learner, "_descend", noted)
    learner.collect(*sim.reset(), 0.0)
    learner.update(0.0)
    assert abs(divergences[0]) < 1e-5
    assert max(map(abs, divergences[1:])) > 1e-4, "while later ones are not"


# Who learns from whom -----------------------------------------------------------------------------------


def test_shared_network_is_one_function_up_to_the_index() -> None:
    torch.manual_seed(0)
    network = StackedMLP(3, 4, 2, (8,), final_gain=1.0, shared=True)
    own = StackedMLP(3, 4, 2, (8,), final_gain=1.0)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in own.parameters())
    network.standardise(torch.randn(50, 3, 4) * torch.tensor([1.0, 5.0, 9.0])[:, None])
    x = torch.randn(16, 1, 4).expand(16, 3, 4)
    assert not torch.allclose(network(x)[:, 0], network(x)[:, 1])
    assert network.identity is not None
    with torch.no_grad():
        network.identity[:] = network.identity[:, :1].clone()
    assert torch.equal(network(x)[:, 0], network(x)[:, 1])
    assert torch.equal(network(x)[:, 0], network(x)[:, 2])


def test_index_enters_as_a_one_hot_input_would() -> None:
    torch.manual_seed(0)
    network = StackedMLP(3, 4, 2, (8,), final_gain=1.0, shared=True)
    wide = StackedMLP(1, 4 + 3, 2, (8,), final_gain=1.0)
    weights = dict(network.named_parameters())
    first = torch.cat([weights["layers.0.weight"], weights.pop("identity")], dim=1)
    wide.load_state_dict(weights | {"layers.0.weight": first}, strict=False)
    x = torch.randn(16, 3, 4)
    told = torch.cat([x, torch.eye(3).expand(16, 3, 3)], dim=-1).reshape(-1, 1, 7)
    torch.testing.assert_close(network(x).reshape(-1, 1, 2), wide(told))


@pytest.mark.parametrize("shared", [False, True])
def test_central_critic_sees_everybody(shared: bool) -> None:
    torch.manual_seed(0)
    critic = CentralCritic(3, 4, (8,), shared)
    x = torch.randn(2, 6, 3, 4)
    critic.standardise(x)
    changed = x.clone()
    changed[..., 2, :] += 1
    assert critic(x).shape == (2, 6, 3, 1)
    assert ((critic(changed) - critic(x)).abs().amax((0, 1, 3)) > 0).all()


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


# They learn ---------------------------------------------------------------------------------------------

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
    worth, total = LearningReward(config, sim), torch.zeros(())
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
