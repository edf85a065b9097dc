"""What each process of test_distributed.py's torchrun does: short runs of every algorithm, left in a folder to compare.

The comparable runs have no chance in them, so that K processes of B grids can be held against one of K · B.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

import smartgrid_core.simulator as simulator_module
import trainer.train as train_module
from tests.smartgrid_core.communities import community, profiles
from tests.trainer.training_process import Unvalidated
from trainer import distributed
from trainer.config import ALGORITHMS, TrainConfig
from trainer.ppo import Ppo
from trainer.ppo_functions import normal_log_prob
from trainer.replay import Replay, Transitions
from trainer.train import Training

SMALL = {
    "horizon": 4, "hidden": (16,), "iterations": 2, "validations": 1, "device": "cpu", "final_learning_rate": 1.0,
    "ppo": {"minibatches": 1, "epochs": 2}, "shac": {"critic_batch": 4096},
    "qmix": {"replay": 64, "batch": 16, "updates": 2, "epsilon_start": 0.0, "epsilon_end": 0.0},
}  # fmt: skip
CHANCE = {
    "ppo": {"minibatches": 2}, "shac": {"critic_batch": 8},
    "qmix": {"replay": 64, "batch": 16, "updates": 2, "epsilon_end": 1.0},
}  # fmt: skip


def run(folder: Path, algorithm: str, grids: int, resume: bool = False, **fields: object) -> Training:
    """A run on a community of three with eight weeks of profiles, without validation."""
    config = TrainConfig.model_validate(SMALL | {"algorithm": algorithm, "num_grids": grids} | fields)
    quick = patch.object(simulator_module, "load_profiles", lambda config: profiles(config.num_agents))
    with quick, patch.object(train_module, "Validation", Unvalidated):
        training = Training(config, community(3), folder, resume)
        training.run()
    return training


@contextmanager
def without_chance() -> Iterator[None]:
    """Exploration is a function of the observation, and updates take all that replay holds."""

    def act(self: Ppo, obs: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.actor(obs)
        action = mean + std * (5 * obs[..., : mean.shape[-1]]).sin()
        return action, normal_log_prob(action, mean, std)

    def sample(self: Replay, *_: object) -> Transitions:
        return Transitions(*(kept[: len(self)] for kept in self.data))

    with patch.object(Ppo, "act", act), patch.object(Replay, "sample", sample):
        yield


def main(folder: Path) -> None:
    """Every run the tests compare, on this rank."""
    torch.set_num_threads(1)
    with distributed.ranks("cpu"):
        for algorithm in ALGORITHMS:
            with without_chance():
                run(folder / "same" / algorithm, algorithm, 4)
            run(folder / "whole" / algorithm, algorithm, 4, iterations=3, **CHANCE)
            run(folder / "parts" / algorithm, algorithm, 4, iterations=2, **CHANCE)
            run(folder / "parts" / algorithm, algorithm, 4, resume=True, iterations=3, **CHANCE)
    left = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in left), f"threads outlive the ranks, and may abort the process: {left}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
