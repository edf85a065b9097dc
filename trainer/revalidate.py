"""`python -m trainer evaluate --split validation`: what a run's checkpoints score on the episodes of its validations.

Loaded from disk a policy scores what was logged of it, to the last bit on the machine that trained it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from smartgrid_core import GridConfig
from smartgrid_core.compiled import MOST_WRITTEN_OUT
from smartgrid_core.errors import ConfigError
from trainer.config import TrainConfig
from trainer.policy import load_policy
from trainer.resuming import stored
from trainer.runs import find_checkpoint
from trainer.validation import Validation


class Revalidated(NamedTuple):
    """A checkpoint's score now, and when it was saved."""

    checkpoint: Path
    name: str
    scenario: str
    episodes: int
    score: float
    logged: float | None  # None: it was saved between two validations, or by an older version
    baselines: dict[str, float]  # the rules' scores

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        return self._asdict() | {"checkpoint": str(self.checkpoint)}


def revalidate(path: str | Path, device: str | None = None) -> Revalidated:
    """Validate a checkpoint as the run it belongs to did: its scenario, episodes, and step compiled or not.

    Args:
        path: a run folder (its best) or one of its checkpoints.
        device: torch device; None: the run's.

    Raises:
        ConfigError: no checkpoint of a run there, or a damaged one.
    """
    folder = find_checkpoint(path)
    root = folder.parent.parent
    if not (root / "config.json").is_file():
        raise ConfigError(
            f"--split validation: {folder} lies in no run folder, whose config.json says what it was validated on; "
            "give a run, or --split test"
        )
    train, scenario = stored(root)
    policy = load_policy(folder)
    if train.threads:
        torch.set_num_threads(train.threads)
    where = torch.device(device or train.device)
    validation = Validation(scenario, train.validation_episodes, where, compile=is_compiled(train, scenario))
    result = validation.run(policy)
    logged = policy.about.get("validation_score") if "best_score" in policy.about or folder.name == "best" else None
    return Revalidated(
        folder, policy.name, scenario.name, train.validation_episodes, result["score"], logged, result["baselines"]
    )


def is_compiled(train: TrainConfig, scenario: GridConfig) -> bool:
    """Whether a run's validations compile the step; for a large community that takes longer than they do."""
    return train.compile and scenario.num_agents <= MOST_WRITTEN_OUT
