"""Short-horizon actor-critic (Xu et al. 2022, arXiv:2204.07137): gradients through the differentiable simulator.

The simulator is a function of the actions, so the gradient of a window's return by the actors' weights is exact and
needs no exploration; a critic stands for what comes after the window. Every prosumer acts by its own observation,
and every actor's gradient counts the returns of all prosumers: this is a cooperative learner.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from smartgrid_core import Simulator, State
from trainer.actors import DeterministicActor
from trainer.config import TrainConfig
from trainer.distributed import average_gradients, generator, moments
from trainer.endings import Endings
from trainer.input_units import least_spread
from trainer.learner import Collected
from trainer.learning_reward import learning_reward, require_whole_holds, steps_of_hold
from trainer.metrics import explained_variance
from trainer.networks import StackedMLP, clip_gradients_per_agent
from trainer.stopwatch import Stopwatch

FLOWING = ("soc_kwh", "stability", "voltage_pu")  # fields of the state that a gradient passes through
NORM_RATE = 0.02  # how fast the values' mean and spread follow the targets


class Window(NamedTuple):
    """One iteration's experience with its graph."""

    obs: Tensor  # [T, B, N, O]
    reward: Tensor  # [T, B, N]
    values: Tensor  # [T, B, N] of what follows each decision
    truncated: Tensor  # [T, B] bool, where an episode ended
    ends: Tensor  # [T, B] bool, where the value stands for what follows


class Shac:
    """Actors, critics and their optimisers."""

    def __init__(self, config: TrainConfig, sim: Simulator):
        self.config, self.sim, self.hold = config, sim, steps_of_hold(config, sim.config)
        self.watch = Stopwatch(sim.device)
        n, o, a = sim.num_agents, sim.observation_dim, sim.action_dim
        shared, device = config.share_parameters, sim.device
        self.actor = DeterministicActor(n, o, a, config.hidden, shared).to(device)
        self.critic = StackedMLP(n, o, 1, config.hidden, final_gain=0.1, shared=shared).to(device)
        self.weights = list(self.actor.parameters())
        self.size = sum(p.numel() for p in [*self.weights, *self.critic.parameters()])
        rows, batch = config.horizon * sim.num_grids * n, config.shac.critic_batch * n
        graph = sim.num_grids * _graph_bytes_per_step(sim) * config.horizon * self.hold
        self.experience_bytes, self.kept_bytes = graph + 4 * rows * (2 * o + 8), 0
        self.endings = Endings(sim, config.horizon, self.hold)
        edges = (1 + self.endings.stretches) * sim.num_grids * n  # values that gradients pass through
        acting = self.actor.network.graph_bytes(rows) + max(
            self.critic.bytes_for(rows, graph=False), self.critic.bytes_for(edges, graph=True)
        )
        self.activation_bytes = max(acting, self.critic.bytes_for(min(batch, rows), graph=True))
        betas = config.shac.adam_betas
        self.optimiser = torch.optim.Adam(self.weights, lr=config.learning_rate, betas=betas, eps=1e-5, fused=True)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), eps=1e-5, fused=True)
        self.learning_reward = learning_reward(config, sim, config.gamma ** (1 / self.hold))
        self.reward_scale = torch.ones((), device=device)
        self.value_mean, self.value_spread = torch.zeros(n, device=device), torch.ones(n, device=device)
        self.generator = generator(config.seed)
        self.scaled = False
        self.window: Window | None = None

    def warm_up(self, state: State) -> None:
        """Compile step and backward; the result is dropped."""
        action = torch.zeros(self.sim.num_grids, self.sim.num_agents, self.sim.action_dim, device=self.sim.device)
        _, out = self.sim.step(_leaf(state), action.requires_grad_())
        (out.reward.sum() + out.obs.sum()).backward()

    def collect(self, state: State, obs: Tensor, progress: float) -> Collected:
        """One window with its graph; the first one is taken twice, as the first gives the inputs' units."""
        require_whole_holds(state, self.hold)
        if not self.scaled:
            seen = self._act(state, obs)[1].obs  # and no graph of it, or there would be two
            least = least_spread(self.sim.observation_entries)
            self.actor.network.standardise(seen, least)
            self.critic.standardise(seen, least)
        collected, self.window = self._act(state, obs)
        if not self.scaled:
            self.reward_scale.copy_(moments(self.window.reward.detach())[1].clamp_min(1e-4))
        return collected

    def _act(self, state: State, obs: Tensor) -> tuple[Collected, Window]:
        """Act through a window from where the grids stand."""
        state, obs = _leaf(state), obs.detach()
        parts = torch.zeros(4, self.sim.num_agents, device=self.sim.device)
        seen, rewards, truncated = [], [], []
        self.endings.begin(state)
        for _ in range(self.config.horizon):
            action = self.actor(obs)
            seen.append(obs.detach())
            total, out = torch.zeros_like(state.soc_kwh), None
            for _ in range(self.hold):
                before = state
                with self.watch("env"):
                    state, out = self.sim.step(state, action)
                total = total + self.learning_reward(before, out)
                parts += torch.stack([part.detach().mean(0) for part in out.reward_parts])
            assert out is not None  # a decision is held for at least one step
            obs = out.obs
            self.endings.note(out, state)
            rewards.append(total)
            truncated.append(out.truncated)
        reward, stopped = torch.stack(rewards), torch.stack(truncated)
        ends = stopped.clone()
        ends[-1] = True
        mean = reward.detach().mean((0, 1)) / self.hold
        collected = Collected(_detached(state), obs.detach(), parts / (self.config.horizon * self.hold), mean)
        past = torch.stack(seen)
        return collected, Window(past, reward, self._values_after(past[1:], obs, stopped), stopped, ends)

    def _values_after(self, between: Tensor, last: Tensor, truncated: Tensor) -> Tensor:
        """Values [T, B, N] of what follows each decision; only those that stand for what follows carry gradients.

        Args:
            between: [T − 1, B, N, O] seen between decisions; last: [B, N, O] after them; truncated: [T, B] bool.
        """
        with torch.no_grad():
            within = self._values(between)
        edges = self._values(torch.cat([last[None], self.endings.observations()]))
        return self.endings.put_in(torch.cat([within, edges[:1]]), edges[1:], truncated)

    def update(self, progress: float) -> dict[str, Any]:
        """One step of the actors along the window's gradient, then the critics towards its returns."""
        rate, window = self.config.annealed(progress), self.window
        if window is None:
            raise RuntimeError("update without experience: call collect first")
        self.window = None  # its graph ends with this update
        _set_rate(self.optimiser, self.config.learning_rate * rate)
        _set_rate(self.critic_optimiser, self.config.shac.critic_learning_rate * rate)
        loss = self.objective(window)
        for weight, gradient in zip(self.weights, torch.autograd.grad(loss, self.weights), strict=True):
            weight.grad = gradient
        average_gradients(self.weights)
        norm = clip_gradients_per_agent(self.weights, self.config.max_grad_norm)
        self.optimiser.step()
        targets = lambda_targets(
            window.reward.detach(), window.values.detach(), window.ends, self.config.gamma, self.config.lmbda
        )
        explained = self._explained(window, targets)
        critic_loss = self._fit_critic(window.obs.flatten(0, 1), targets.flatten(0, 1))
        return {
            "loss_objective": loss.detach(), "loss_critic": critic_loss, "gradient_norm": norm,
            "value_mean": self.value_mean.clone(), "explained_variance": explained,
            "learning_rate": self.config.learning_rate * rate,
        }  # fmt: skip

    @torch.no_grad()
    def _explained(self, window: Window, targets: Tensor) -> Tensor:
        """Explained variance [N] of the targets by the values known when the window was taken.

        What follows a decision is valued anyway, so the window's first is left out, and every one an episode begins at.
        """
        if len(targets) < 2:
            return torch.full_like(self.value_mean, torch.nan)
        counts = (~window.truncated[:-1]).to(targets.dtype)[..., None]
        return explained_variance(*(x.flatten(0, 1) for x in (window.values[:-1], targets[1:], counts)))

    def objective(self, window: Window) -> Tensor:
        """What the actors descend on: minus the community's return per decision, in units of the first rewards."""
        returns = window_returns(window.reward, window.values, window.ends, window.truncated, self.config.gamma)
        return -(returns / (self.reward_scale * self.config.horizon)).sum(1).mean()

    def _values(self, obs: Tensor) -> Tensor:
        """Values [..., N] of observations [..., N, O], in units of the learning reward."""
        return self.critic(obs)[..., 0] * self.value_spread + self.value_mean

    def _fit_critic(self, obs: Tensor, targets: Tensor) -> Tensor:
        """Regress on targets [M, N] for obs [M, N, O]; mean loss in units of the targets' spread."""
        rate = NORM_RATE if self.scaled else 1.0
        mean, spread = moments(targets, 0)
        self.value_mean.lerp_(mean, rate)
        self.value_spread.lerp_(spread.clamp_min(1e-3), rate)
        self.scaled = True
        targets = (targets - self.value_mean) / self.value_spread
        losses = []
        for _ in range(self.config.shac.critic_minibatches):
            rows = self._draw(len(obs)).to(obs.device)
            loss = (self.critic(obs[rows])[..., 0] - targets[rows]).square().mean(0).sum()
            self.critic_optimiser.zero_grad()
            loss.backward()
            average_gradients(self.critic.parameters())
            clip_gradients_per_agent(list(self.critic.parameters()), self.config.max_grad_norm)
            self.critic_optimiser.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def _draw(self, decisions: int) -> Tensor:
        """Rows of a critic update: drawn, or all where no more are asked for than there are."""
        size = self.config.shac.critic_batch
        if size >= decisions:
            return torch.arange(decisions)
        return torch.randint(decisions, (size,), generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, units and the generator of the critics' minibatches."""
        return {
            "actor": self.actor.state_dict(), "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(), "critic_optimiser": self.critic_optimiser.state_dict(),
            "reward_scale": self.reward_scale, "value_mean": self.value_mean, "value_spread": self.value_spread,
            "scaled": self.scaled, "units_kept": self.actor.network.units_kept,
            "generator": self.generator.get_state(),
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        for name in ("actor", "critic", "optimiser", "critic_optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("reward_scale", "value_mean", "value_spread"):
            getattr(self, name).copy_(saved[name])
        self.scaled = saved["scaled"]
        self.actor.network.units_kept = saved.get("units_kept", False)  # absent where an older version saved
        self.generator.set_state(saved["generator"])


def window_returns(reward: Tensor, values: Tensor, ends: Tensor, truncated: Tensor, gamma: float) -> Tensor:
    """Discounted return of a window, [B, N], eq. 5 of the paper; an episode that begins in it starts undiscounted.

    Args:
        reward: [T, B, N]; values: [T, B, N] of what follows each decision.
        ends: [T, B] bool, where the value stands for what follows; truncated: [T, B] bool, where an episode ended.
        gamma: discount per decision.
    """
    discount, total = torch.ones_like(ends[0], dtype=reward.dtype), torch.zeros_like(reward[0])
    for t in range(len(reward)):
        worth = reward[t] + gamma * torch.where(ends[t, :, None], values[t], 0.0)
        total = total + discount[:, None] * worth
        discount = torch.where(truncated[t], 1.0, discount * gamma)
    return total


def lambda_targets(reward: Tensor, values: Tensor, ends: Tensor, gamma: float, lmbda: float) -> Tensor:
    """TD(λ) targets [T, B, N] of the decisions, eq. 7 of the paper; arguments as in `window_returns`."""
    targets, following = torch.empty_like(reward), values[-1]
    for t in reversed(range(len(reward))):
        mixed = (1 - lmbda) * values[t] + lmbda * following
        following = targets[t] = reward[t] + gamma * torch.where(ends[t, :, None], values[t], mixed)
    return targets


def _leaf(state: State) -> State:
    """The state cut from what led to it; fields that carry gradients say so, as one kind of input compiles once."""
    cut = _detached(state)
    return cut._replace(**{name: getattr(cut, name).requires_grad_() for name in FLOWING})


def _detached(state: State) -> State:
    return State(*(field.detach() for field in state))


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _graph_bytes_per_step(sim: Simulator) -> int:
    """Memory of one grid that a step's graph holds until backward, float32."""
    n, nodes = sim.num_agents, 6 * (len(sim.feeder.bus_names) + len(sim.feeder.branch_names))
    row = 1 + len(sim.config.forecast.window_edges_h)
    return 4 * (n * (60 + 8 * sim.num_slots + sim.observation_dim) + nodes + 60 + 2 * n * row + 4 * row + 10)
