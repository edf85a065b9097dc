"""Clipped policy optimisation for many agents at once: what ippo and mappo have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from smartgrid_core import Simulator, State
from trainer.actors import GaussianActor
from trainer.config import TrainConfig
from trainer.distributed import average_gradients, generator, mean_over_ranks, moments
from trainer.input_units import least_spread
from trainer.learner import Collected
from trainer.metrics import explained_variance
from trainer.networks import CentralCritic, StackedMLP, clip_gradients_per_agent
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
from trainer.rollout import Rollout
from trainer.stopwatch import Stopwatch

Critic = StackedMLP | CentralCritic


class Ppo:
    """Policy, critic, optimiser and update of one run; subclasses choose the critic."""

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.sim = config, sim
        n, o, a = sim.num_agents, sim.observation_dim, sim.action_dim
        self.watch = Stopwatch(sim.device)
        self.rollout = Rollout(config, sim, self.watch)
        self.hold = self.rollout.hold
        self.actor = GaussianActor(n, o, a, config.hidden, config.ppo.initial_std, config.share_parameters)
        self.actor.to(sim.device)
        self.critic = self._make_critic(n, o).to(sim.device)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.size = sum(p.numel() for p in self.parameters)
        rows, own = config.horizon * sim.num_grids * n, config.ppo
        values = 8 * 4 * rows  # values, advantages and targets of every decision, with their temporaries
        self.experience_bytes, self.kept_bytes = self.rollout.nbytes + values, 0
        part = rows // own.minibatches
        whole = self.critic.bytes_for(self.rollout.seen.numel() // o, graph=False)
        both = (self.actor.network, self.critic)
        learning = sum(net.bytes_for(part, graph=True) for net in both) + 4 * part * (o + 12 * a + 12)
        self.activation_bytes = max(whole, learning) + sum(net.read_bytes(rows) for net in both)
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5, fused=True)
        self.generator = generator(config.seed)
        learners = 1 if config.share_parameters else n
        self.pace = torch.ones(learners, device=sim.device)  # factors on steps that keep divergences near their limit
        self.credited = credited(own.credit, sim.links.pairs, n).to(sim.device)
        self.reward_scale = torch.ones(n, device=sim.device)
        self.scaled = False
        self.reads_alike = False  # whether critics read what actors read, in the same units

    def _make_critic(self, num_agents: int, inputs: int) -> Critic:
        raise NotImplementedError

    def warm_up(self, state: State) -> None:
        """Compile the step; its result is dropped."""
        with torch.no_grad():
            self.sim.step(state, torch.zeros_like(self.rollout.action[0]))

    def collect(self, state: State, obs: Tensor, progress: float) -> Collected:
        """One batch by the policy with exploration; the first is taken twice, as the first gives the inputs' units."""
        if not self.scaled:
            self.rollout.collect(self.act, state, obs)
            self._fix_scales(self.rollout.obs, self.rollout.reward)
        return self.rollout.collect(self.act, state, obs)

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled action [B, N, A] and its log-probability [B, N]."""
        mean, std = self.actor(obs)
        action = mean + std * torch.randn(mean.shape, device=mean.device)  # in this order, however mean lies
        return action, normal_log_prob(action, mean, std)

    @torch.no_grad()
    def _fix_scales(self, obs: Tensor, reward: Tensor) -> None:
        """Take units from the first batch: spreads of rewards [T, B, N] and inputs [T, B, N, O] per agent."""
        self.reward_scale.copy_(moments(reward, (0, 1))[1].clamp_min(1e-4))
        least = least_spread(self.sim.observation_entries)
        self.actor.network.standardise(obs, least)
        self.critic.standardise(obs, least)
        self.scaled = True
        self._compare_units()

    def _compare_units(self) -> None:
        """Once, as it waits for the device: after a warm start actors and critics may read in other units."""
        critic = self.critic
        self.reads_alike = isinstance(critic, StackedMLP) and critic.reads_as(self.actor.network)

    def update(self, progress: float) -> dict[str, Any]:
        """One PPO iteration on the batch; returns diagnostics, per-agent ones as [N] tensors."""
        config = self.config.ppo
        learning_rate = self.config.learning_rate * self.config.annealed(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        batch, explained = self._batch()
        decisions = batch.action.shape[1]
        size = decisions // config.minibatches
        logs: list[Losses] = []
        norms: list[Tensor] = []
        going = torch.ones_like(self.pace)  # 0: a learner that diverged as far as it may, and waits for the next batch
        kl, passes = torch.zeros_like(self.pace), torch.zeros_like(self.pace)
        for _ in range(config.epochs):
            passes += going
            order = torch.randperm(decisions, generator=self.generator).to(self.reward_scale.device)
            for k in range(config.minibatches):
                losses, norm = self._descend(batch.take(order[k * size : (k + 1) * size]), self.pace * going)
                logs.append(losses)
                norms.append(norm)
            each = torch.stack([losses.kl for losses in logs[-config.minibatches :]]).mean(0)
            kl = mean_over_ranks(each.mean(0, keepdim=True) if self.config.share_parameters else each)
            going *= kl <= config.target_kl
            if _all_wait(going):
                break
        self.pace = followed(self.pace, kl, config.target_kl)
        mean = Losses(*(torch.stack(values).mean(0) for values in zip(*logs, strict=True)))
        return {
            "loss_objective": mean.objective, "loss_critic": mean.critic, "entropy": mean.entropy,
            "kl_approx": mean.kl, "clip_fraction": mean.clip_fraction, "explained_variance": explained,
            "gradient_norm": torch.stack(norms).mean(0), "std": self.actor.std().detach().mean(-1),
            "epochs": passes, "pace": self.pace, "learning_rate": learning_rate,
        }  # fmt: skip

    @torch.no_grad()
    def _batch(self) -> tuple[Batch, Tensor]:
        """The experience with advantages, read once for all minibatches; and the explained variance [N]."""
        r, c = self.rollout, self.config
        valued = self.critic.read(r.seen)
        values = self.critic.evaluate(valued)[..., 0].T.reshape(r.seen.shape[:-1])
        value, next_value = values[: c.horizon], r.next_values(values)
        advantage, target = advantages(r.reward / self.reward_scale, value, next_value, r.truncated, c.gamma, c.lmbda)
        explained = explained_variance(value.flatten(0, 1), target.flatten(0, 1))
        valued = valued[:, : r.truncated.numel()].contiguous()
        seen = valued if self.reads_alike else self.actor.network.read(r.obs).contiguous()
        every = (r.action, r.log_prob, standardised(self._credit(advantage)), target)
        return Batch(seen, valued, *(x.flatten(0, 1).transpose(0, 1).contiguous() for x in every)), explained

    def _credit(self, advantage: Tensor) -> Tensor:
        """What each actor is credited with, [T, B, N], given the advantages for each prosumer's own rewards.

        Sums are of EUR, each advantage from its own critic, and then in units of the actor's own rewards.
        """
        if self.config.ppo.credit == "own":
            return advantage
        return (advantage * self.reward_scale) @ self.credited / self.reward_scale

    def _descend(self, batch: Batch, pace: Tensor) -> tuple[Losses, Tensor]:
        """One gradient step, each learner's part `pace` of it; the losses and each agent's gradient norm."""
        config = self.config.ppo
        mean, std = self.actor.evaluate(batch.seen)
        losses = ppo_losses(mean, std, self.critic.evaluate(batch.valued)[..., 0], batch, config.clip_epsilon)
        each = losses.objective + config.critic_coeff * losses.critic - config.entropy_coeff * losses.entropy
        self.optimiser.zero_grad(set_to_none=True)
        # The sum, as a mean over agents would make an agent's gradient smaller the more others there are.
        (each.mean() if self.config.share_parameters else each.sum()).backward()
        average_gradients(self.parameters)
        norm = clip_gradients_per_agent(self.parameters, self.config.max_grad_norm)
        before = [weight.detach().clone() for weight in self.parameters]
        self.optimiser.step()
        with torch.no_grad():
            for weight, old in zip(self.parameters, before, strict=True):  # Adam has one step size for all rows
                weight.lerp_(old, (1 - pace).view(-1, *[1] * (weight.dim() - 1)))
        return Losses(*(x.detach() for x in losses)), norm

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, units and the generator of minibatches."""
        return {
            "actor": self.actor.state_dict(), "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(), "reward_scale": self.reward_scale, "scaled": self.scaled,
            "pace": self.pace, "units_kept": self.actor.network.units_kept, "generator": self.generator.get_state(),
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.actor.load_state_dict(saved["actor"])
        self.critic.load_state_dict(saved["critic"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.reward_scale.copy_(saved["reward_scale"])
        self.scaled = saved["scaled"]
        pace = saved.get("pace", 1.0)  # a number, and this and the next are absent, where an older version saved
        self.pace.copy_(torch.as_tensor(pace))
        self.actor.network.units_kept = saved.get("units_kept", False)
        self.generator.set_state(saved["generator"])
        self._compare_units()


def _all_wait(going: Tensor) -> bool:
    """Whether no learner goes on; asked of the device, which is waited for."""
    return not bool(going.any())
