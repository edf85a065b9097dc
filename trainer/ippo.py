"""Independent PPO (de Witt et al. 2020, arXiv:2011.09533): every prosumer has its own actor and critic.

TorchRL supplies distribution, advantage estimate and loss; what is ours is the stacked networks and the
per-agent gradient clipping that keeps the learners independent.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor
from torchrl.modules import IndependentNormal, ProbabilisticActor
from torchrl.objectives.multiagent import IPPOLoss
from torchrl.objectives.value.advantages import MultiAgentGAE

from smartgrid_core import Simulator
from trainer.config import TrainConfig
from trainer.networks import GaussianActor, StackedMLP, clip_gradients_per_agent


class Ippo:
    """Policy, critic, optimiser and update of one run."""

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config = config
        n, o, a = sim.num_agents, sim.observation_dim, sim.action_dim
        self.actor = GaussianActor(n, o, a, config.hidden, config.initial_std).to(sim.device)
        self.critic = StackedMLP(n, o, 1, config.hidden, final_gain=1.0).to(sim.device)
        self.loss = _make_loss(self.actor, self.critic, config)
        self.advantage = MultiAgentGAE(
            gamma=config.gamma, lmbda=config.lmbda, value_network=None, average_gae=True, device=sim.device
        )
        self.advantage.set_keys(
            reward=("agents", "reward"), value=("agents", "state_value"),
            advantage=("agents", "advantage"), value_target=("agents", "value_target"),
        )  # fmt: skip
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5)
        self.reward_scale = torch.ones(n, device=sim.device)
        self.scaled = False

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled action [B, N, A] and its log-probability [B, N]."""
        mean, std = self.actor(obs)
        noise = IndependentNormal(mean, std)
        action = noise.sample()
        return action, noise.log_prob(action)

    @torch.no_grad()
    def fix_scales(self, obs: Tensor, reward: Tensor) -> None:
        """Take units from the first batch, once: spreads of rewards [T, B, N, 1] and inputs [T, B, N, O] per agent."""
        if not self.scaled:
            self.reward_scale.copy_(reward.std(dim=(0, 1))[:, 0].clamp_min(1e-4))
            self.actor.network.standardise(obs)
            self.critic.standardise(obs)
            self.scaled = True

    def update(self, data: TensorDict, learning_rate: float, generator: torch.Generator) -> dict[str, Any]:
        """One PPO iteration on a batch [T, B]; returns diagnostics, per-agent ones as [N] tensors."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        with torch.no_grad():
            for where in (data, data.get("next")):
                where.set(("agents", "state_value"), self.critic(where.get(("agents", "observation"))))
            self.advantage(data, time_dim=0)
        flat = cast(TensorDict, data.exclude("next").flatten(0, 1))
        size = len(flat) // self.config.minibatches
        logs: list[TensorDict] = []
        norms: list[Tensor] = []
        for _ in range(self.config.epochs):
            order = torch.randperm(len(flat), generator=generator).to(self.reward_scale.device)
            epoch_kl = []
            for k in range(self.config.minibatches):
                losses, norm = self._descend(flat[order[k * size : (k + 1) * size]])
                logs.append(losses)
                norms.append(norm)
                epoch_kl.append(losses["kl_approx"].mean())
            if torch.stack(epoch_kl).mean() > self.config.target_kl:
                break
        diagnostics: dict[str, Any] = {
            str(key): torch.stack([log[key].float().mean() for log in logs]).mean()
            for key in logs[0].keys()  # noqa: SIM118
        }
        value, target = data.get(("agents", "state_value")), data.get(("agents", "value_target"))
        diagnostics["explained_variance"] = 1 - _variance(target - value) / _variance(target).clamp_min(1e-8)
        diagnostics["gradient_norm"] = torch.stack(norms).mean(0)
        diagnostics["std"] = self.actor.log_std.detach().exp().mean(-1)
        return diagnostics | {"epochs": len(logs) / self.config.minibatches, "learning_rate": learning_rate}

    def _descend(self, batch: TensorDict) -> tuple[TensorDict, Tensor]:
        """One gradient step; the losses and each agent's gradient norm."""
        losses = self.loss(batch)
        total = losses["loss_objective"] + losses["loss_critic"]
        if self.config.entropy_coeff > 0:
            total = total + losses["loss_entropy"]
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = clip_gradients_per_agent(self.parameters, self.config.max_grad_norm)
        self.optimiser.step()
        return losses.detach(), norm


def _variance(x: Tensor) -> Tensor:
    """Variance over time and grids of [T, B, N, 1], per agent [N]."""
    return x.flatten(0, 1)[..., 0].var(0)


def _make_loss(actor: GaussianActor, critic: StackedMLP, config: TrainConfig) -> IPPOLoss:
    policy = ProbabilisticActor(
        TensorDictModule(actor, in_keys=[("agents", "observation")], out_keys=[("agents", "loc"), ("agents", "scale")]),
        in_keys=[("agents", "loc"), ("agents", "scale")],
        out_keys=[("agents", "action")],
        distribution_class=IndependentNormal,
        return_log_prob=True,
        log_prob_key=("agents", "action_log_prob"),
    )
    value = TensorDictModule(critic, in_keys=[("agents", "observation")], out_keys=[("agents", "state_value")])
    loss = IPPOLoss(
        policy, value, clip_epsilon=config.clip_epsilon, entropy_bonus=config.entropy_coeff > 0,
        entropy_coeff=config.entropy_coeff, critic_coeff=config.critic_coeff, normalize_advantage=False,
        loss_critic_type="smooth_l1", functional=False,
    )  # fmt: skip
    loss.set_keys(
        reward=("agents", "reward"), action=("agents", "action"), value=("agents", "state_value"),
        advantage=("agents", "advantage"), value_target=("agents", "value_target"),
        sample_log_prob=("agents", "action_log_prob"),
    )  # fmt: skip
    return loss
