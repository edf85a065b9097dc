"""PPO as one writes it by hand, in CleanRL's manner: plain modules, one agent after the other, everything in sight.

Its choices are those of `ppo_continuous_action.py` (Huang et al., CleanRL, JMLR 23, 2022): orthogonal weights, a
deviation that does not depend on the observation, clipped values, advantages normalised in every minibatch, and what
the wrappers it puts around Gymnasium's environments do: running scales of observations and of rewards, cut at ±10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import Simulator
from smartgrid_core.shaping import ShapedReward

GAMMA, LAMBDA, CLIP, VALUE_WEIGHT, MAX_NORM = 0.99, 0.95, 0.2, 0.5, 0.5
CUT, LEAST = 10.0, 1e-8  # of scaled observations and rewards; variance added before a root


class Agent(nn.Module):
    """Actor and critic of one prosumer."""

    def __init__(self, inputs: int, actions: int, hidden: Sequence[int]):
        super().__init__()
        self.mean, self.value = _network([inputs, *hidden, actions], 0.01), _network([inputs, *hidden, 1], 1.0)
        self.log_std = nn.Parameter(torch.zeros(actions))

    def distribution(self, obs: Tensor) -> Normal:
        """Of the action, [..., A]."""
        return Normal(self.mean(obs), self.log_std.exp())


class Running:
    """Mean and variance of all that was seen (Chan, Golub, LeVeque 1983), as `NormalizeObservation` keeps them."""

    def __init__(self, *shape: int, device: str):
        self.mean, self.var = torch.zeros(shape, device=device), torch.ones(shape, device=device)
        self.count = 1e-4

    def update(self, x: Tensor) -> None:
        """Take in a batch [B, …]."""
        more, off = len(x), x.mean(0) - self.mean
        count = self.count + more
        apart = off.square() * self.count * more / count
        self.mean += off * more / count
        self.var = (self.var * self.count + x.var(0, correction=0) * more + apart) / count
        self.count = count


def _network(sizes: Sequence[int], gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes[:-1]):
        layers += [_linear(a, b, math.sqrt(2)), nn.SiLU()]
    return nn.Sequential(*layers, _linear(sizes[-2], sizes[-1], gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def cleanrl(device: str, equal: Equal = EQUAL) -> Stack:
    """A loop over prosumers on the batched simulator, its step compiled."""
    torch.manual_seed(0)
    sim = Simulator(SCENARIO, equal.grids, device, auto_reset=True, stagger=True, compile=True)
    worth = ShapedReward(sim)
    agents = [Agent(sim.observation_dim, sim.action_dim, equal.hidden).to(device) for _ in range(sim.num_agents)]
    optimisers = [torch.optim.Adam(agent.parameters(), lr=equal.learning_rate, eps=1e-5) for agent in agents]
    state, obs = sim.reset()
    room = (equal.horizon, equal.grids, sim.num_agents)
    seen, taken = torch.zeros(*room, obs.shape[-1], device=device), torch.zeros(*room, sim.action_dim, device=device)
    log_probs, rewards, values, ended = (torch.zeros(room, device=device) for _ in range(4))
    of_obs = Running(sim.num_agents, obs.shape[-1], device=device)
    of_returns, returns = Running(sim.num_agents, device=device), torch.zeros(room[1:], device=device)

    def scaled(obs: Tensor) -> Tensor:
        return ((obs - of_obs.mean) / (of_obs.var + LEAST).sqrt()).clamp(-CUT, CUT)

    @torch.no_grad()
    def collect() -> Tensor:
        nonlocal state, obs, returns
        for t in range(equal.horizon):
            of_obs.update(obs)
            seen[t] = scaled(obs)
            for n, agent in enumerate(agents):
                distribution = agent.distribution(seen[t, :, n])
                taken[t, :, n] = distribution.sample()
                log_probs[t, :, n] = distribution.log_prob(taken[t, :, n]).sum(-1)
                values[t, :, n] = agent.value(seen[t, :, n])[:, 0]
            before = state
            state, out = sim.step(before, taken[t])
            obs, ended[t], reward = out.obs, out.truncated[:, None], worth(before, out)
            returns = returns * GAMMA + reward
            of_returns.update(returns)
            rewards[t] = (reward / (of_returns.var + LEAST).sqrt()).clamp(-CUT, CUT)
            returns = returns * (1 - ended[t])
        after = scaled(obs)
        return torch.stack([agent.value(after[:, n])[:, 0] for n, agent in enumerate(agents)], dim=-1)

    def advantages(after: Tensor) -> Tensor:
        found, running = torch.zeros_like(rewards), torch.zeros_like(after)
        for t in reversed(range(equal.horizon)):
            goes_on = 1 - ended[t]
            surprise = rewards[t] + GAMMA * (after if t == equal.horizon - 1 else values[t + 1]) * goes_on - values[t]
            found[t] = running = surprise + GAMMA * LAMBDA * goes_on * running
        return found

    def learn(n: int, advantage: Tensor) -> None:
        rows = {
            "obs": seen[:, :, n].flatten(0, 1), "action": taken[:, :, n].flatten(0, 1),
            "log_prob": log_probs[:, :, n].flatten(), "value": values[:, :, n].flatten(),
            "advantage": advantage[:, :, n].flatten(),
        }  # fmt: skip
        for _ in range(equal.epochs):
            for chosen in torch.randperm(equal.steps, device=device).chunk(equal.minibatches):
                loss = _loss(agents[n], {name: x[chosen] for name, x in rows.items()})
                optimisers[n].zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agents[n].parameters(), MAX_NORM)
                optimisers[n].step()

    def iterate(progress: float) -> int:
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = equal.learning_rate * (1 - progress)
        advantage = advantages(collect())
        for n in range(sim.num_agents):
            learn(n, advantage)
        return equal.steps

    @torch.no_grad()
    def decide(obs: Tensor) -> Tensor:
        seen = scaled(obs)
        return torch.stack([agent.mean(seen[:, n]) for n, agent in enumerate(agents)], dim=1).clamp(-1, 1)

    return Stack(True, equal._asdict() | {"compile": True}, sim.config.step_h, iterate, decide)


def _loss(agent: Agent, rows: dict[str, Tensor]) -> Tensor:
    """Clipped policy loss and clipped value loss of a minibatch."""
    ratio = (agent.distribution(rows["obs"]).log_prob(rows["action"]).sum(-1) - rows["log_prob"]).exp()
    advantage = (rows["advantage"] - rows["advantage"].mean()) / (rows["advantage"].std() + 1e-8)
    policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
    value, target = agent.value(rows["obs"])[:, 0], rows["advantage"] + rows["value"]
    near = rows["value"] + (value - rows["value"]).clamp(-CLIP, CLIP)
    return policy + VALUE_WEIGHT * 0.5 * torch.maximum((value - target) ** 2, (near - target) ** 2).mean()
