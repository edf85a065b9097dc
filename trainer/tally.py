"""How far a run has come: what its checkpoints and its log count."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Tally:
    """Counts of a run since its beginning, interruptions left out."""

    iteration: int = 0
    env_steps: int = 0
    """One grid, one step, on all ranks together."""
    seconds: float = 0.0
    """Of training, validations and their checkpoints included."""
    validated: int = 0
    """Validations due so far."""
    score: float | None = None
    """Of the weights as they are; None: not validated."""
    best: float = -math.inf
    """The highest score."""
    stale: int = 0
    """Validations since the best one."""

    def iterated(self, env_steps: int, seconds: float) -> None:
        """An iteration is done, and weights are others."""
        self.iteration += 1
        self.env_steps += env_steps
        self.seconds += seconds
        self.score = None

    def scored(self, score: float) -> None:
        """The weights as they are were validated."""
        self.score = score
        self.best, self.stale = (score, 0) if score > self.best else (self.best, self.stale + 1)

    def of_log(self) -> dict[str, int | float | None]:
        """The numbers a checkpoint tells people, None for those that are not finite, as JSON has none."""
        return {
            "iteration": self.iteration, "env_steps": self.env_steps, "seconds": self.seconds,
            "validation_score": _finite(self.score), "best_score": _finite(self.best), "stale": self.stale,
        }  # fmt: skip


def _finite(x: float | None) -> float | None:
    return x if x is not None and math.isfinite(x) else None
