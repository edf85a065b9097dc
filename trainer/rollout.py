"""Experience of PPO: the policy acts in every grid, actions are held, learning rewards are accumulated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from smartgrid_core import Simulator
from smartgrid_core.types import State
from trainer.config import TrainConfig
from trainer.endings import Endings
from trainer.learner import Collected
from trainer.learning_reward import learning_reward, require_whole_holds, steps_of_hold
from trainer.stopwatch import Stopwatch


class Rollout:
    """Preallocated experience of one iteration, time-major [T, B, N, …]; one entry a decision."""

    def __init__(self, config: TrainConfig, sim: Simulator, watch: Stopwatch):
        self.config, self.sim, self.watch = config, sim, watch
        self.hold = steps_of_hold(config, sim.config)
        t, b, n = config.horizon, sim.num_grids, sim.num_agents
        o, a, device = sim.observation_dim, sim.action_dim, sim.device
        self.endings = Endings(sim, t, self.hold)
        # All that is valued, in one piece: before each decision, after the last, and where episodes ended.
        self.seen = torch.empty(t + 1 + self.endings.stretches, b, n, o, device=device)
        self.obs = self.seen[:t]
        self.action = torch.empty(t, b, n, a, device=device)
        self.log_prob = torch.empty(t, b, n, device=device)
        self.reward = torch.empty(t, b, n, device=device)
        self.truncated = torch.empty(t, b, dtype=torch.bool, device=device)
        self.parts = torch.zeros(4, n, device=device)  # summed reward parts of the iteration
        self.learning_reward = learning_reward(config, sim)

    @property
    def nbytes(self) -> int:
        """Memory of the buffers."""
        return sum(x.nbytes for x in (self.seen, self.action, self.log_prob, self.reward, self.truncated))

    @torch.no_grad()
    def collect(self, policy: Callable[[Tensor], tuple[Tensor, Tensor]], state: State, obs: Tensor) -> Collected:
        """Fill the buffers.

        Args:
            policy: obs [B, N, O] -> action [B, N, A], log-probability [B, N].
            state, obs: where the grids stand.
        """
        require_whole_holds(state, self.hold)
        self.parts.zero_()
        self.endings.begin(state)
        for t in range(self.config.horizon):
            action, log_prob = policy(obs)
            self.obs[t], self.action[t], self.log_prob[t] = obs, action, log_prob
            total = torch.zeros_like(log_prob)
            out = None
            for _ in range(self.hold):
                before = state
                with self.watch("env"):
                    state, out = self.sim.step(state, action)
                total += self.learning_reward(before, out)
                self.parts += torch.stack([part.mean(0) for part in out.reward_parts])
            assert out is not None  # a decision is held for at least one step
            obs = out.obs
            self.endings.note(out, state)
            self.reward[t], self.truncated[t] = total, out.truncated
        self.seen[self.config.horizon] = obs
        self.seen[self.config.horizon + 1 :] = self.endings.observations()
        steps = self.config.horizon * self.hold
        return Collected(state, obs, self.parts / steps, self.reward.mean((0, 1)) / self.hold)

    def next_values(self, values: Tensor) -> Tensor:
        """Values [T, B, N] of what follows each decision, given those of all that was seen, [T + 1 + S, B, N]."""
        last = self.config.horizon + 1
        return self.endings.put_in(values[1:last], values[last:], self.truncated)
