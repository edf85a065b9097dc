"""What acts: the part of a learner that leaves training, is saved, exported and served."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from smartgrid_core.errors import ConfigError
from trainer.networks import StackedMLP

LOG_STD = (-4.0, 0.5)  # limits of exploration's log standard deviation; it learns nothing beyond them


class Actor(nn.Module):
    """A policy: weights, and the action they stand for."""

    network: StackedMLP

    def decide(self, obs: Tensor) -> Tensor:
        """The action without exploration: obs [..., N, O] -> [..., N, A] in [-1, 1]."""
        raise NotImplementedError


class DeterministicActor(Actor):
    """Action in (−1, 1) from a network."""

    def __init__(self, num_agents: int, inputs: int, actions: int, hidden: Sequence[int], shared: bool = False):
        super().__init__()
        self.network = StackedMLP(num_agents, inputs, actions, hidden, final_gain=0.1, shared=shared)

    def forward(self, obs: Tensor) -> Tensor:
        """obs [..., N, O] -> action [..., N, A]."""
        return torch.tanh(self.network(obs))

    def decide(self, obs: Tensor) -> Tensor:
        """The action, [..., N, A]."""
        return self(obs)


class GaussianActor(Actor):
    """Mean in (−1, 1) from a network, standard deviation a free parameter per agent and action entry."""

    def __init__(
        self, num_agents: int, inputs: int, actions: int, hidden: Sequence[int], initial_std: float = 1.0,
        shared: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.network = StackedMLP(num_agents, inputs, actions, hidden, final_gain=0.1, shared=shared)
        own = 1 if shared else num_agents
        self.log_std = nn.Parameter(torch.full((own, actions), math.log(initial_std)))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """obs [..., N, O] -> mean, standard deviation [..., N, A]."""
        mean = torch.tanh(self.network(obs))
        return mean, self.std().expand_as(mean)

    def evaluate(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [N, M, A], standard deviation [N or 1, 1, A] for inputs as `network.read` gives them."""
        return torch.tanh(self.network.evaluate(inputs)), self.std()[:, None]

    def std(self) -> Tensor:
        """Standard deviation [N or 1, A] as it acts."""
        return self.log_std.clamp(*LOG_STD).exp()

    def decide(self, obs: Tensor) -> Tensor:
        """The mean, [..., N, A]."""
        return self(obs)[0]


class BranchingActor(Actor):
    """Values of the levels of every entry of an action; decides for the best level of each.

    What an action is worth is the sum over its entries (action branching, Tavakoli et al. 2018, arXiv:1711.08946), so
    the best of L^A actions is found among L × A values.
    """

    levels: Tensor

    def __init__(
        self, num_agents: int, inputs: int, actions: int, hidden: Sequence[int], levels: int, shared: bool = False
    ):
        super().__init__()
        self.register_buffer("levels", torch.linspace(-1.0, 1.0, levels))
        self.network = StackedMLP(num_agents, inputs, actions * levels, hidden, final_gain=0.1, shared=shared)

    def forward(self, obs: Tensor) -> Tensor:
        """obs [..., N, O] -> value of every level of every entry [..., N, A, L]."""
        return self.network(obs).unflatten(-1, (-1, len(self.levels)))

    def act(self, choice: Tensor) -> Tensor:
        """Action [..., N, A] of the levels chosen, int64 [..., N, A]."""
        return self.levels[choice]

    def decide(self, obs: Tensor) -> Tensor:
        """The best levels' action, [..., N, A]."""
        return self.act(self(obs).argmax(-1))


ACTORS: dict[str, type[Actor]] = {
    "ippo": GaussianActor,
    "mappo": GaussianActor,
    "qmix": BranchingActor,
    "shac": DeterministicActor,
}


def build_actor(about: Mapping[str, Any]) -> Actor:
    """The untrained actor that a checkpoint's about.json describes.

    Raises:
        ConfigError: written by an algorithm, or a form of it, that this version does not know.
    """
    kind = ACTORS.get(about["algorithm"])
    if kind is None:
        raise ConfigError(
            f"checkpoint of algorithm {about['algorithm']!r}: this version knows {', '.join(ACTORS)}; "
            "use the version that wrote it"
        )
    if kind is BranchingActor and "levels" not in about:
        raise ConfigError(
            "checkpoint of a qmix that chose from a menu of joint actions: this version chooses a level for every "
            "entry; train it anew, or use the version that wrote it"
        )
    own = {"levels": about["levels"]} if kind is BranchingActor else {}
    shape = (about["num_agents"], about["observation_dim"], about["action_dim"], about["hidden"])
    return kind(*shape, shared=about.get("share_parameters", False), **own)


def load_weights(actor: Actor, weights: Mapping[str, Tensor], source: str, remedy: str) -> None:
    """Give an actor the tensors of a checkpoint.

    Raises:
        ConfigError: it holds others, by name or shape; the line begins with the source and ends with the remedy.
    """
    own = actor.state_dict()
    missing, foreign = [k for k in own if k not in weights], [k for k in weights if k not in own]
    shaped = [k for k in own if k in weights and weights[k].shape != own[k].shape]
    faults = [f"{what} {_first(names)}" for what, names in (("no", missing), ("unknown", foreign)) if names]
    if shaped:
        k = shaped[0]
        faults.append(f"{_first(shaped)} of shape {list(weights[k].shape)} instead of {list(own[k].shape)}")
    if faults:
        raise ConfigError(f"{source} holds other tensors than this policy has: {'; '.join(faults)}: {remedy}")
    actor.load_state_dict(weights)


def _first(names: Sequence[str]) -> str:
    """The first name, and how many more there are."""
    return f"{names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
