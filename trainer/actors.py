"""What acts: the part of a learner that leaves training, is saved, exported and served."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from smartgrid_core.errors import ConfigError
from trainer.networks import StackedMLP

MENU_SIZE = 31  # most joint actions an agent of qmix chooses from
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


class MenuActor(Actor):
    """Values of the entries of a menu of actions; decides for the best."""

    menu: Tensor

    def __init__(
        self, num_agents: int, inputs: int, actions: int, hidden: Sequence[int], transfer_level: float,
        shared: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.register_buffer("menu", torch.tensor(make_menu(actions - 1, transfer_level)))
        self.network = StackedMLP(num_agents, inputs, len(self.menu), hidden, final_gain=0.1, shared=shared)

    def forward(self, obs: Tensor) -> Tensor:
        """obs [..., N, O] -> value of every entry [..., N, E]."""
        return self.network(obs)

    def decide(self, obs: Tensor) -> Tensor:
        """The best entry's action, [..., N, A]."""
        return self.menu[self(obs).argmax(-1)]


def make_menu(slots: int, level: float) -> list[list[float]]:
    """Joint actions of transfers and trade that qmix chooses from, at most `MENU_SIZE`.

    Without transfers the trade is finely graded. With up to two links every combination of receiving, idling and
    sending comes with three trades; with more, all links alike with three trades and single links with the trade at 0,
    as many as fit.

    Args:
        slots: K, link slots of a prosumer.
        level: size of a transfer in the menu, in action units.
    """
    trades = (-1.0, 0.0, 1.0)
    rest = [[0.0] * slots + [trade] for trade in (0.0, -1.0, -0.5, 0.5, 1.0)]
    if slots <= 2:
        patterns = [p for p in itertools.product((0.0, level, -level), repeat=slots) if any(p)]
        return rest + [[*p, trade] for p in patterns for trade in trades]
    together = [[sign * level] * slots + [trade] for sign in (1, -1) for trade in trades]
    single = [
        [sign * level if k == slot else 0.0 for k in range(slots)] + [0.0] for slot in range(slots) for sign in (1, -1)
    ]
    return (rest + together + single)[:MENU_SIZE]


ACTORS: dict[str, type[Actor]] = {
    "ippo": GaussianActor,
    "mappo": GaussianActor,
    "qmix": MenuActor,
    "shac": DeterministicActor,
}


def build_actor(about: Mapping[str, Any]) -> Actor:
    """The untrained actor that a checkpoint's about.json describes.

    Raises:
        ConfigError: written by an algorithm this version does not know.
    """
    kind = ACTORS.get(about["algorithm"])
    if kind is None:
        raise ConfigError(
            f"checkpoint of algorithm {about['algorithm']!r}: this version knows {', '.join(ACTORS)}; "
            "use the version that wrote it"
        )
    own = {"transfer_level": about["transfer_level"]} if kind is MenuActor else {}
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
