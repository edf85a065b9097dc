"""QMIX (Rashid et al. 2018, arXiv:1803.11485): agents' values mixed monotonically into the team's.

Every entry of an action takes one of a few levels. What an agent's action is worth to it is the sum over its entries
(action branching, Tavakoli et al. 2018, arXiv:1711.08946), and the team's value grows with each agent's; so the best
level of every entry, found on its own, is the team's best. The team's reward is the mean over prosumers.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchrl.modules.models.multiagent import QMixer

from smartgrid_core import Simulator, State
from trainer.actors import BranchingActor
from trainer.config import TrainConfig
from trainer.distributed import average_gradients, generator, moments
from trainer.endings import Endings
from trainer.input_units import least_spread
from trainer.learner import Collected
from trainer.learning_reward import learning_reward, require_whole_holds, steps_of_hold
from trainer.metrics import explained_variance
from trainer.networks import clip_gradients_per_agent
from trainer.replay import Replay, Transitions
from trainer.stopwatch import Stopwatch


class TeamValue(nn.Module):
    """Agents' value networks and the network that mixes them, conditioned on what the community sees."""

    def __init__(self, actor: BranchingActor, num_agents: int, inputs: int, mixing: int, shared: bool):
        super().__init__()
        self.actor, self.shared = actor, shared
        self.mixer = QMixer((inputs if shared else num_agents * inputs,), mixing, num_agents, actor.levels.device)

    def forward(self, obs: Tensor, choice: Tensor) -> Tensor:
        """The team's value [M] of levels chosen [M, N, A] for observations [M, N, O]."""
        own = self.actor(obs).gather(-1, choice.long()[..., None]).sum(-2)  # [M, N, 1]
        network = self.actor.network
        seen = ((obs - network.mean) * network.inverse_spread).clamp(-5.0, 5.0)
        return self.mixer(own, seen.mean(-2) if self.shared else seen.flatten(-2))[..., 0]


class Qmix:
    """Value networks, their targets, the replay memory and the optimiser."""

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.sim, self.hold = config, sim, steps_of_hold(config, sim.config)
        self.watch = Stopwatch(sim.device)
        n, o, shared, own = sim.num_agents, sim.observation_dim, config.share_parameters, config.qmix
        self.actor = BranchingActor(n, o, sim.action_dim, config.hidden, own.levels, shared)
        self.value = TeamValue(self.actor, n, o, own.mixing, shared).to(sim.device)
        self.target = copy.deepcopy(self.value).requires_grad_(False)
        self.parameters = list(self.value.parameters())
        self.size = sum(p.numel() for p in self.parameters)
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5, fused=True)
        self.endings = Endings(sim, config.horizon, self.hold)
        self.replay = Replay(own.replay, sim.num_grids, n, o, sim.action_dim, sim.device)
        self.kept_bytes = self.replay.nbytes
        self.experience_bytes = self.kept_bytes + 4 * self.endings.stretches * sim.num_grids * n * o
        rows, network = own.batch * n, self.actor.network
        mixed = 4 * rows * own.mixing  # the mixer's first layer is made anew for every decision
        learning = network.bytes_for(rows, graph=True) + network.bytes_for(rows, graph=False) + 8 * rows * o + 4 * mixed
        self.activation_bytes = max(network.bytes_for(sim.num_grids * n, graph=False), learning)
        self.learning_reward = learning_reward(config, sim)
        self.reward_scale = torch.ones((), device=sim.device)
        self.generator = generator(config.seed)
        self.scaled = False

    def warm_up(self, state: State) -> None:
        """Compile the step; its result is dropped."""
        with torch.no_grad():
            still = state.soc_kwh.new_zeros(*state.soc_kwh.shape, self.sim.action_dim)
            self.sim.step(state, still)

    @torch.no_grad()
    def collect(self, state: State, obs: Tensor, progress: float) -> Collected:
        """Act by the best levels, each with probability ε by any, and remember."""
        require_whole_holds(state, self.hold)
        epsilon = self.config.qmix.epsilon(progress)
        rewards, truncated = [], []
        self.endings.begin(state)
        parts = torch.zeros(4, self.sim.num_agents, device=self.sim.device)
        for _ in range(self.config.horizon):
            choice = self._choose(obs, epsilon)
            action = self.actor.act(choice)
            total, out = torch.zeros_like(state.soc_kwh), None
            for _ in range(self.hold):
                before = state
                with self.watch("env"):
                    state, out = self.sim.step(state, action)
                total += self.learning_reward(before, out)
                parts += torch.stack([part.mean(0) for part in out.reward_parts])
            assert out is not None  # a decision is held for at least one step
            self.endings.note(out, state)
            self.replay.add(Transitions(obs, choice, total.mean(1), out.obs))
            obs = out.obs
            rewards.append(total)
            truncated.append(out.truncated)
        at_end = self.endings.observations()
        for t, ended in enumerate(truncated):
            self.replay.amend(self.config.horizon - 1 - t, ended, at_end[t // self.endings.stretch])
        self._fix_scales()
        steps = self.config.horizon * self.hold
        return Collected(state, obs, parts / steps, torch.stack(rewards).mean((0, 1)) / self.hold)

    def _choose(self, obs: Tensor, epsilon: float) -> Tensor:
        """Levels [B, N, A] for observations [B, N, O]."""
        best = self.actor(obs).argmax(-1)
        explore = torch.rand(best.shape, device=best.device) < epsilon
        return torch.where(explore, torch.randint_like(best, len(self.actor.levels)), best)

    def _fix_scales(self) -> None:
        """Take units of reward and inputs from the first experience, once."""
        if not self.scaled:
            filled = len(self.replay)
            self.reward_scale.copy_(moments(self.replay.data.reward[:filled])[1].clamp_min(1e-4))
            seen = self.replay.data.obs[:filled]
            self.actor.network.standardise(seen, least_spread(self.sim.observation_entries))
            self.target.load_state_dict(self.value.state_dict())
            self.scaled = True

    def update(self, progress: float) -> dict[str, Any]:
        """Descend on drawn decisions; the target follows."""
        learning_rate, own = self.config.learning_rate * self.config.annealed(progress), self.config.qmix
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        losses, norms, values, explained = [], [], [], []
        for _ in range(own.updates):
            batch = self.replay.sample(own.batch, self.generator)
            batch = batch._replace(reward=batch.reward / self.reward_scale)
            loss, value, wanted = td_loss(self.value, self.target, batch, self.config.gamma)
            self.optimiser.zero_grad()
            loss.backward()
            average_gradients(self.parameters)
            norms.append(clip_gradients_per_agent(list(self.actor.parameters()), self.config.max_grad_norm))
            nn.utils.clip_grad_norm_(self.value.mixer.parameters(), self.config.max_grad_norm)
            self.optimiser.step()
            with torch.no_grad():
                for slow, fast in zip(self.target.parameters(), self.parameters, strict=True):
                    slow.lerp_(fast, own.target_rate)
            losses.append(loss.detach())
            values.append(value.mean())
            explained.append(explained_variance(value, wanted))
        return {
            "loss_critic": torch.stack(losses).mean(), "gradient_norm": torch.stack(norms).mean(0),
            "value_mean": torch.stack(values).mean(), "explained_variance": torch.stack(explained).mean(),
            "epsilon": self.config.qmix.epsilon(progress),
            "learning_rate": learning_rate,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, memory, units and the generator of draws."""
        return {
            "value": self.value.state_dict(), "target": self.target.state_dict(),
            "optimiser": self.optimiser.state_dict(), "replay": self.replay.state_dict(),
            "reward_scale": self.reward_scale, "scaled": self.scaled,
            "units_kept": self.actor.network.units_kept, "generator": self.generator.get_state(),
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        for name in ("value", "target", "optimiser", "replay"):
            getattr(self, name).load_state_dict(saved[name])
        self.reward_scale.copy_(saved["reward_scale"])
        self.scaled = saved["scaled"]
        self.actor.network.units_kept = saved.get("units_kept", False)  # absent where an older version saved
        self.generator.set_state(saved["generator"])


def td_loss(value: TeamValue, target: TeamValue, batch: Transitions, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """One-step loss of the team's value, the values [M] and what they are to be, [M].

    What follows is valued by the target networks at the levels the trained ones prefer (double Q-learning, van Hasselt
    et al. 2016, arXiv:1509.06461).
    """
    with torch.no_grad():
        preferred = value.actor(batch.next_obs).argmax(-1)
        wanted = batch.reward + gamma * target(batch.next_obs, preferred)
    predicted = value(batch.obs, batch.choice)
    return F.smooth_l1_loss(predicted, wanted), predicted.detach(), wanted
