"""One small network per prosumer, evaluated together: weights [N, in, out] and batched matrix products.

Stacked weights beat a Python loop or vmap over N modules by 1.4 to 7 times; agents share nothing but the launch. All of
an agent's weights are one row of one tensor, so that clipping and an optimiser's step are a few operations however many
layers there are. Shared parameters are the same with one network for all, which tells agents apart by their index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer import dense
from trainer.distributed import moments

PART = 512  # decisions evaluated at once without gradients on a CPU: what is between two layers stays in a core's cache


class StackedMLP(nn.Module):
    """N independent multilayer perceptrons: x [..., N, I] -> [..., N, O]. SiLU, as tanh costs six times as much.

    Inputs are standardised by a mean and spread per agent and entry, taken once from data (`standardise`).
    With `shared` the agents have one network, and one mean and spread, between them. The index they are told apart
    by enters as a one-hot vector would, appended to the input: as a row added to the first layer's output.
    With `common_input` all agents read the same, x [..., 1, I].

    Its state has `layers.k.weight` [N, in, out] and `layers.k.bias` [N, 1, out], the parts of `weights` [N, P].
    """

    mean: Tensor
    inverse_spread: Tensor

    def __init__(
        self, num_agents: int, inputs: int, outputs: int, hidden: Sequence[int], final_gain: float,
        shared: bool = False, common_input: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.widths = widths = [inputs, *hidden, outputs]
        self.num_agents, networks = num_agents, 1 if shared else num_agents
        self.units_kept = False
        units = 1 if shared or common_input else num_agents
        self.register_buffer("mean", torch.zeros(units, inputs))
        self.register_buffer("inverse_spread", torch.ones(units, inputs))
        self.sizes = [size for a, b in pairwise(widths) for size in (a * b, b)]
        self.weights = nn.Parameter(torch.zeros(networks, sum(self.sizes)))
        gains = [math.sqrt(2.0)] * len(hidden) + [final_gain]
        for (weight, _), gain in zip(self.layers(), gains, strict=True):
            bound = gain * math.sqrt(3.0 / weight.shape[1])
            weight.detach().copy_(torch.empty(weight.shape).uniform_(-bound, bound))
        # Like a one-hot input's weights, [1, N, hidden]: it leads with 1, the number of networks, for the clipping.
        self.identity = nn.Parameter(torch.randn(1, num_agents, widths[1]) * 0.1) if shared else None

    def standardise(self, x: Tensor, least: Tensor | float = 0.0) -> None:
        """Take mean and spread of the inputs from data [..., N, I] of all ranks; what never changes passes as 0.

        Args:
            least: [I] or [1, I] spread to assume at least, for entries that data this short may know too little of.
        """
        if self.units_kept:
            return
        flat = x.flatten(0, -3) if self.identity is None else x.flatten(0, -2)[:, None]
        mean, spread = moments(flat, 0)
        spread = spread.maximum(torch.as_tensor(least, dtype=spread.dtype, device=spread.device))
        self.mean.copy_(mean)
        self.inverse_spread.copy_(torch.where(spread > 1e-4, 1 / spread.clamp_min(1e-4), 0.0))

    def bytes_for(self, rows: int, graph: bool) -> int:
        """Memory a pass takes at most for rows = decisions × agents: with its graph, forward and backward.

        In one pass (`dense`) it takes about half, as its graph keeps only what activations are computed from.
        """
        widths = self.widths[1:]
        if graph:  # every layer's output, its activation and, in turn, their gradients
            return 3 * self.read_bytes(rows) + 4 * rows * (2 * sum(widths) + 2 * max(widths))
        return 3 * self.read_bytes(rows) + 4 * rows * 3 * max(widths)

    def read_bytes(self, rows: int) -> int:
        """Memory of what `read` gives for rows = decisions × agents."""
        common = self.mean.shape[0] == 1 and self.identity is None
        return 4 * self.widths[0] * (rows // self.num_agents if common else rows)

    def graph_bytes(self, rows: int) -> int:
        """Memory the graphs of passes over so many rows hold until they are used: inputs, outputs, activations."""
        inputs, *widths = self.widths
        return 4 * rows * (2 * inputs + 2 * sum(widths))

    def keep_units(self) -> None:
        """Let no data change mean and spread any more: they belong to weights that were loaded."""
        self.units_kept = True

    def forward(self, x: Tensor) -> Tensor:
        decisions = x.reshape(-1, *x.shape[-2:])
        if self._in_one_pass(x):
            units = self.mean, self.inverse_spread
            y = dense.evaluate(decisions.transpose(0, 1), self.weights, self.widths, units, decisions_first=True)
            return y.transpose(0, 1).reshape(*x.shape[:-2], *y.shape[::2])
        parts = decisions.split(PART) if _comes_in_parts(decisions, 0) else (decisions,)
        y = [self.evaluate(self.read(part)).transpose(0, 1) for part in parts]
        whole = torch.cat(y) if len(y) > 1 else y[0]
        return whole.reshape(*x.shape[:-2], *whole.shape[1:])

    def read(self, x: Tensor) -> Tensor:
        """x [..., N, I] standardised, agents first: [N, M, I], of a common input [1, M, I]."""
        if torch.is_grad_enabled():
            x = ((x - self.mean) * self.inverse_spread).clamp(-5.0, 5.0)
        else:  # nobody needs what is between
            x = (x - self.mean).mul_(self.inverse_spread).clamp_(-5.0, 5.0)
        return x.reshape(-1, *x.shape[-2:]).transpose(0, 1)

    def reads_as(self, other: StackedMLP) -> bool:
        """Whether `read` gives the same for both."""
        return torch.equal(self.mean, other.mean) and torch.equal(self.inverse_spread, other.inverse_spread)

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Outputs [N, M, O] for inputs as `read` gives them."""
        if self._in_one_pass(inputs):
            return dense.evaluate(inputs, self.weights, self.widths)
        if _comes_in_parts(inputs, 1):
            return torch.cat([self.evaluate(part) for part in inputs.split(PART, 1)], 1)
        (weight, bias), *others = self.layers()
        if self.identity is None:
            y = torch.baddbmm(bias, inputs.expand(self.num_agents, -1, -1), weight)
        else:
            y = torch.baddbmm(bias, inputs.reshape(1, -1, inputs.shape[-1]), weight)
            y = (y.view(self.num_agents, -1, y.shape[-1]) + self.identity.transpose(0, 1)).view(y.shape)
        for weight, bias in others:
            y = torch.baddbmm(bias, F.silu(y, inplace=not torch.is_grad_enabled()), weight)
        return y.view(self.num_agents, -1, y.shape[-1])

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight [N, in, out] and bias [N, 1, out] of each layer, N = 1 where one network serves all; views."""
        return self._apart(self.weights)

    def _apart(self, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        parts = weights.split(self.sizes, 1)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return [(weight.unflatten(1, (-1, bias.shape[1])), bias[:, None]) for weight, bias in pairs]

    def _in_one_pass(self, x: Tensor) -> bool:
        return self.identity is None and dense.applies(x, self.weights, self.widths)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        whole = destination.pop(f"{prefix}weights")
        destination |= zip(self._names(prefix), chain.from_iterable(self._apart(whole)), strict=True)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        parts = dict(zip(self._names(prefix), chain.from_iterable(self.layers()), strict=True))
        if all(name in state_dict and state_dict[name].shape == part.shape for name, part in parts.items()):
            state_dict[f"{prefix}weights"] = torch.cat([state_dict.pop(name).flatten(1) for name in parts], 1)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _names(self, prefix: str) -> list[str]:
        return [f"{prefix}layers.{k}.{kind}" for k in range(len(self.sizes) // 2) for kind in ("weight", "bias")]


def _comes_in_parts(x: Tensor, dim: int) -> bool:
    """Whether it is faster to go through decisions, `dim` of x, a part at a time."""
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return x.shape[dim] > PART


class CentralCritic(nn.Module):
    """Values for every agent from what all of them see: obs [..., N, O] -> [..., N, 1].

    Every agent's network reads the observations of all. With `shared`, made for communities in which that would be
    too much, it reads the agent's own and the community's mean.
    """

    def __init__(self, num_agents: int, inputs: int, hidden: Sequence[int], shared: bool = False):
        super().__init__()
        self.shared = shared
        width = 2 * inputs if shared else num_agents * inputs
        self.network = StackedMLP(num_agents, width, 1, hidden, final_gain=1.0, shared=shared, common_input=not shared)

    def standardise(self, obs: Tensor, least: Tensor | float = 0.0) -> None:
        """As `StackedMLP.standardise`; least: [O]."""
        each = torch.as_tensor(least, device=obs.device).expand(obs.shape[-2:])
        self.network.standardise(self._inputs(obs), self._inputs(each)[:1])

    def bytes_for(self, rows: int, graph: bool) -> int:
        """As `StackedMLP.bytes_for`; what is read is put together first."""
        return self.network.bytes_for(rows, graph) + (4 * self.network.widths[0] * rows if self.shared else 0)

    def read_bytes(self, rows: int) -> int:
        """As `StackedMLP.read_bytes`."""
        return self.network.read_bytes(rows)

    def forward(self, obs: Tensor) -> Tensor:
        return self.network(self._inputs(obs))

    def read(self, obs: Tensor) -> Tensor:
        """As `StackedMLP.read`."""
        return self.network.read(self._inputs(obs))

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Values [N, M, 1] for inputs as `read` gives them."""
        return self.network.evaluate(inputs)

    def _inputs(self, obs: Tensor) -> Tensor:
        if self.shared:
            return torch.cat([obs, obs.mean(-2, keepdim=True).expand_as(obs)], dim=-1)
        return obs.flatten(-2).unsqueeze(-2)


def clip_gradients_per_agent(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Scale each agent's gradients to a norm of at most max_norm; every parameter has agents first.

    Shared parameters lead with 1: they are clipped as one.

    Returns:
        [N] norms before clipping, or [1].
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    scale = (max_norm / norms.clamp_min(1e-6)).clamp_max(1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
    return norms
