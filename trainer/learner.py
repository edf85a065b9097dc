"""What every algorithm offers to a training run, and how one is made from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from smartgrid_core import Simulator, State
from trainer.actors import Actor
from trainer.config import TrainConfig
from trainer.memory import outline, require_memory
from trainer.stopwatch import Stopwatch


class Collected(NamedTuple):
    """Where the grids stand after an iteration's experience, and what that was like."""

    state: State
    obs: Tensor  # [B, N, O]
    reward_parts: Tensor  # [4, N] mean per step, order of `RewardParts`
    learning_reward: Tensor  # [N] mean per step, with baseline and shaping


class Learner(Protocol):
    """An algorithm: collects experience, learns from it, and can be stopped and continued bit for bit."""

    hold: int  # steps each action is held
    size: int  # trained numbers, for the announcement
    experience_bytes: int  # memory the experience takes, with its graph where there is one
    kept_bytes: int  # part of it that a checkpoint holds
    activation_bytes: int  # memory networks take at their peak, in acting or learning
    generator: torch.Generator  # draws minibatches, on the CPU
    watch: Stopwatch  # counts the simulator's steps in `collect` towards "env"

    @property
    def actor(self) -> Actor:
        """What acts, is validated, saved and served."""
        ...

    def warm_up(self, state: State) -> None:
        """Take steps of the kind `collect` takes, so that compilation is over before the clock starts."""
        ...

    def collect(self, state: State, obs: Tensor, progress: float) -> Collected:
        """Act in every grid for one iteration, from where the grids stand; `progress` in [0, 1) of the run."""
        ...

    def update(self, progress: float) -> dict[str, Any]:
        """Learn from what was collected; diagnostics: numbers, and tensors [N] of per-agent figures.

        Losses are named loss_…: training stops where one is not finite.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next iteration depends on: tensors and plain values."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        ...


def make_learner(config: TrainConfig, sim: Simulator) -> Learner:
    """The learner of `config.algorithm`.

    Raises:
        ConfigError: it would not fit into memory; nothing was allocated.
    """
    kind = _kind(config.algorithm)
    require_memory(outline(kind, config, sim), config, sim)
    return kind(config, sim)


def _kind(algorithm: str) -> Callable[[TrainConfig, Simulator], Learner]:
    """The class of an algorithm; its libraries are loaded here and no sooner."""
    if algorithm == "shac":
        from trainer.shac import Shac

        return Shac
    if algorithm == "qmix":
        from trainer.qmix import Qmix

        return Qmix
    if algorithm == "mappo":
        from trainer.mappo import Mappo

        return Mappo
    from trainer.ippo import Ippo

    return Ippo
