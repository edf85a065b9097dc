"""Experience: the policy acts in every grid, actions are held, learning rewards are accumulated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import Tensor

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State, StepResult
from trainer.config import TrainConfig


class LearningReward:
    """Turns a step's reward into what the learner sees; none of it changes which policy is best.

    Adds the bill of a prosumer without battery and neighbours (it does not depend on actions) and potential-based
    shaping on the stored energy, with the content before any reset as the next potential.
    """

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.step_h = config, sim.config.step_h
        self.weights = sim.params.reward_weights  # shared, so that changed weights apply at once

    def __call__(self, state: State, out: StepResult) -> Tensor:
        """[B, N] EUR-equivalents."""
        reward = out.reward
        if self.config.baseline:
            need = state.demand_kw - state.generation_kw
            price = torch.where(need > 0, state.import_eur_per_kwh[:, None], state.export_eur_per_kwh[:, None])
            reward = reward + self.weights[2] * need * price * self.step_h
        if self.config.shaping_eur_per_kwh:
            reward = reward + self.config.shaping_eur_per_kwh * (out.soc_kwh - state.soc_kwh)
        return reward


class Rollout:
    """Preallocated experience of one iteration, time-major [T, B, N, …]; one entry a decision."""

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.sim = config, sim
        self.hold = max(1, round(config.hold_h / sim.config.step_h))
        if sim.config.episode_steps % self.hold:
            raise ConfigError(
                f"hold_h = {config.hold_h}: an episode of {sim.config.episode_steps} steps is not a whole number of "
                f"holds of {self.hold} steps; choose a hold that divides it"
            )
        t, b, n = config.horizon, sim.num_grids, sim.num_agents
        o, a, device = sim.observation_dim, sim.action_dim, sim.device
        self.obs = torch.empty(t, b, n, o, device=device)
        self.next_obs = torch.empty(t, b, n, o, device=device)
        self.action = torch.empty(t, b, n, a, device=device)
        self.log_prob = torch.empty(t, b, n, device=device)
        self.reward = torch.empty(t, b, n, 1, device=device)
        self.truncated = torch.empty(t, b, 1, dtype=torch.bool, device=device)
        self.parts = torch.zeros(4, n, device=device)  # summed reward parts of the iteration
        self.learning_reward = LearningReward(config, sim)

    @torch.no_grad()
    def collect(
        self, policy: Callable[[Tensor], tuple[Tensor, Tensor]], state: State, obs: Tensor
    ) -> tuple[State, Tensor]:
        """Fill the buffers.

        Args:
            policy: obs [B, N, O] -> action [B, N, A], log-probability [B, N].
            state, obs: where the grids stand.

        Returns:
            state and obs to go on from.
        """
        self.parts.zero_()
        for t in range(self.config.horizon):
            action, log_prob = policy(obs)
            self.obs[t], self.action[t], self.log_prob[t] = obs, action, log_prob
            total = torch.zeros_like(log_prob)
            out = None
            for _ in range(self.hold):
                before = state
                state, out = self.sim.step(state, action)
                total += self.learning_reward(before, out)
                self.parts += torch.stack([part.mean(0) for part in out.reward_parts])
            assert out is not None  # a decision is held for at least one step
            obs = out.obs
            self.next_obs[t], self.reward[t, ..., 0], self.truncated[t, :, 0] = (
                out.final_obs,
                total,
                out.truncated,
            )
        return state, obs

    def as_tensordict(self, reward_scale: Tensor) -> TensorDict:
        """The batch with TorchRL's keys, [T, B]; rewards divided by each agent's scale [N]."""
        t, b = self.truncated.shape[:2]
        nothing = torch.zeros_like(self.truncated)
        return TensorDict(
            {
                "agents": {"observation": self.obs, "action": self.action, "action_log_prob": self.log_prob},
                "next": {
                    "agents": {"observation": self.next_obs, "reward": self.reward / reward_scale[:, None]},
                    "done": self.truncated,
                    "terminated": nothing,
                    "truncated": self.truncated,
                },
            },
            batch_size=[t, b],
        )
