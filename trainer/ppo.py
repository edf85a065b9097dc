"""Clipped policy optimisation for many agents at once: what ippo and mappo have in common.

TorchRL supplies distribution, advantage estimate and loss; what is ours is the stacked networks, the rollout by hand
and the per-agent gradient clipping that keeps the learners independent.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor
from torchrl.modules import IndependentNormal, ProbabilisticActor
from torchrl.objectives.multiagent import MAPPOLoss
from torchrl.objectives.value.advantages import MultiAgentGAE

from smartgrid_core import Simulator, State
from trainer.actors import GaussianActor
from trainer.config import TrainConfig
from trainer.learner import Collected
from trainer.networks import CentralCritic, StackedMLP, clip_gradients_per_agent
from trainer.rollout import Rollout

Critic = StackedMLP | CentralCritic


class Ppo:
    """Policy, critic, optimiser and update of one run; subclasses choose critic and loss."""

    loss_class: type[MAPPOLoss] = MAPPOLoss

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.sim = config, sim
        n, o, a = sim.num_agents, sim.observation_dim, sim.action_dim
        self.rollout = Rollout(config, sim)
        self.hold, self.experience_bytes = self.rollout.hold, self.rollout.nbytes
        self.actor = GaussianActor(n, o, a, config.hidden, config.ppo.initial_std, config.share_parameters)
        self.actor.to(sim.device)
        self.critic = self._make_critic(n, o).to(sim.device)
        self.loss = _make_loss(self.loss_class, self.actor, self.critic, config)
        self.advantage = MultiAgentGAE(
            gamma=config.gamma, lmbda=config.lmbda, value_network=None, average_gae=True, device=sim.device
        )
        self.advantage.set_keys(
            reward=("agents", "reward"), value=("agents", "state_value"),
            advantage=("agents", "advantage"), value_target=("agents", "value_target"),
        )  # fmt: skip
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.size = sum(p.numel() for p in self.parameters)
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.reward_scale = torch.ones(n, device=sim.device)
        self.scaled = False

    def _make_critic(self, num_agents: int, inputs: int) -> Critic:
        raise NotImplementedError

    def warm_up(self, state: State) -> None:
        """Compile the step; its result is dropped."""
        with torch.no_grad():
            self.sim.step(state, torch.zeros_like(self.rollout.action[0]))

    def collect(self, state: State, obs: Tensor, progress: float) -> Collected:
        """One batch by the policy with exploration."""
        collected = self.rollout.collect(self.act, state, obs)
        self._fix_scales(self.rollout.obs, self.rollout.reward)
        return collected

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled action [B, N, A] and its log-probability [B, N]."""
        mean, std = self.actor(obs)
        noise = IndependentNormal(mean, std)
        action = noise.sample()
        return action, noise.log_prob(action)

    @torch.no_grad()
    def _fix_scales(self, obs: Tensor, reward: Tensor) -> None:
        """Take units from the first batch, once: spreads of rewards [T, B, N, 1] and inputs [T, B, N, O] per agent."""
        if not self.scaled:
            self.reward_scale.copy_(reward.std(dim=(0, 1))[:, 0].clamp_min(1e-4))
            self.actor.network.standardise(obs)
            self.critic.standardise(obs)
            self.scaled = True

    def update(self, progress: float) -> dict[str, Any]:
        """One PPO iteration on the batch; returns diagnostics, per-agent ones as [N] tensors."""
        config, learning_rate = self.config.ppo, self.config.learning_rate * self.config.annealed(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        data = self._with_advantages(self.rollout.as_tensordict(self.reward_scale))
        flat = cast(TensorDict, data.exclude("next").flatten(0, 1))
        size = len(flat) // config.minibatches
        logs: list[TensorDict] = []
        norms: list[Tensor] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(flat), generator=self.generator).to(self.reward_scale.device)
            for k in range(config.minibatches):
                losses, norm = self._descend(flat[order[k * size : (k + 1) * size]])
                logs.append(losses)
                norms.append(norm)
            if torch.stack([log["kl_approx"].mean() for log in logs[-config.minibatches :]]).mean() > config.target_kl:
                break
        diagnostics: dict[str, Any] = {
            str(key): torch.stack([log[key].float().mean() for log in logs]).mean()
            for key in logs[0].keys()  # noqa: SIM118
        }
        value, target = data.get(("agents", "state_value")), data.get(("agents", "value_target"))
        diagnostics["explained_variance"] = 1 - _variance(target - value) / _variance(target).clamp_min(1e-8)
        diagnostics["gradient_norm"] = torch.stack(norms).mean(0)
        diagnostics["std"] = self.actor.log_std.detach().exp().mean(-1)
        return diagnostics | {"epochs": len(logs) / config.minibatches, "learning_rate": learning_rate}

    @torch.no_grad()
    def _with_advantages(self, data: TensorDict) -> TensorDict:
        """The batch [T, B] with values, advantages and value targets."""
        for where in (data, data.get("next")):
            where.set(("agents", "state_value"), self.critic(where.get(("agents", "observation"))))
        self.advantage(data, time_dim=0)
        return data

    def _descend(self, batch: TensorDict) -> tuple[TensorDict, Tensor]:
        """One gradient step; the losses and each agent's gradient norm."""
        losses = self.loss(batch)
        total = losses["loss_objective"] + losses["loss_critic"]
        if self.config.ppo.entropy_coeff > 0:
            total = total + losses["loss_entropy"]
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = clip_gradients_per_agent(self.parameters, self.config.max_grad_norm)
        self.optimiser.step()
        return losses.detach(), norm

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, units and the generator of minibatches."""
        return {
            "actor": self.actor.state_dict(), "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(), "reward_scale": self.reward_scale, "scaled": self.scaled,
            "generator": self.generator.get_state(),
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.actor.load_state_dict(saved["actor"])
        self.critic.load_state_dict(saved["critic"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.reward_scale.copy_(saved["reward_scale"])
        self.scaled = saved["scaled"]
        self.generator.set_state(saved["generator"])


def _variance(x: Tensor) -> Tensor:
    """Variance over time and grids of [T, B, N, 1], per agent [N]."""
    return x.flatten(0, 1)[..., 0].var(0)


def _make_loss(kind: type[MAPPOLoss], actor: GaussianActor, critic: Critic, config: TrainConfig) -> MAPPOLoss:
    policy = ProbabilisticActor(
        TensorDictModule(actor, in_keys=[("agents", "observation")], out_keys=[("agents", "loc"), ("agents", "scale")]),
        in_keys=[("agents", "loc"), ("agents", "scale")],
        out_keys=[("agents", "action")],
        distribution_class=IndependentNormal,
        return_log_prob=True,
        log_prob_key=("agents", "action_log_prob"),
    )
    value = TensorDictModule(critic, in_keys=[("agents", "observation")], out_keys=[("agents", "state_value")])
    loss = kind(
        policy, value, clip_epsilon=config.ppo.clip_epsilon, entropy_bonus=config.ppo.entropy_coeff > 0,
        entropy_coeff=config.ppo.entropy_coeff, critic_coeff=config.ppo.critic_coeff, normalize_advantage=False,
        loss_critic_type="smooth_l1", functional=False,
    )  # fmt: skip
    loss.set_keys(
        reward=("agents", "reward"), action=("agents", "action"), value=("agents", "state_value"),
        advantage=("agents", "advantage"), value_target=("agents", "value_target"),
        sample_log_prob=("agents", "action_log_prob"),
    )  # fmt: skip
    return loss
