"""What a training stack is to the benchmark, and what all of them are set to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

SCENARIO = "community-5"


class Equal(NamedTuple):
    """What every stack is set to."""

    grids: int = 32
    horizon: int = 96  # steps of every grid between updates
    epochs: int = 4
    minibatches: int = 4
    hidden: tuple[int, int] = (64, 64)
    learning_rate: float = 1e-3

    @property
    def steps(self) -> int:
        """Env-steps between updates."""
        return self.grids * self.horizon


EQUAL = Equal()


class Stack(NamedTuple):
    """One stack, built."""

    peer: bool
    settings: dict[str, Any]
    hold_h: float  # hours an action is held
    iterate: Callable[[float], int]  # collects, updates; progress of the run in [0, 1) -> env-steps taken
    decide: Callable[[Tensor], Tensor]  # the policy without exploration: obs [B, N, O] -> action [B, N, A]
    cpu_s: Callable[[], float] = time.process_time  # CPU time taken so far by whoever collects and learns
