"""Last observations of the episodes that end while experience is collected."""

from __future__ import annotations

import torch
from torch import Tensor

from smartgrid_core import Simulator, State
from smartgrid_core.types import StepResult


class Endings:
    """Keeps what the last observation of an episode is made of where one ends, and assembles them once at the end.

    To assemble them with every decision cost a fourteenth of an iteration, for the one in 168 that ends a week. Within
    a stretch of decisions no longer than an episode a grid ends one at most, so there is one set a stretch. It is all
    tensor operations: nothing waits for a GPU, and gradients pass.

    Args:
        decisions: T, of an iteration; hold: steps of each.
    """

    def __init__(self, sim: Simulator, decisions: int, hold: int):
        self.sim, self.hold = sim, hold
        self.stretch = min(decisions, max(1, sim.config.episode_steps // hold))  # decisions in a stretch
        self.stretches = -(-decisions // self.stretch)  # S of an iteration
        self._start: State | None = None  # of the stretch under way
        self._noted = 0  # decisions since `begin`
        self._kept: tuple[Tensor, ...] | None = None  # of the stretch's ends so far
        self._obs: list[Tensor] = []  # of the stretches that are over

    def begin(self, state: State) -> None:
        """Forget what was kept; the grids stand here before the first decision."""
        self._start, self._noted, self._kept, self._obs = state, 0, None, []

    def note(self, out: StepResult, state: State) -> None:
        """Keep what the last step of a decision ended, and where it led to."""
        if self._start is None:
            raise RuntimeError("note before begin(state): where the grids stand first is not known")
        now = (out.soc_kwh, out.stability, out.network.voltage_pu)
        if self._kept is not None:
            ended = out.truncated
            masks = (ended[:, None], ended, ended[:, None])
            now = tuple(map(torch.where, masks, now, self._kept))
        self._kept = now
        self._noted += 1
        if self._noted % self.stretch == 0:
            self._close()
            self._start = state

    def observations(self) -> Tensor:
        """[S, B, N, O]; of a grid that ended no episode in a stretch something finite, of no meaning."""
        self._close()
        seen, self._obs = self._obs, []  # or a graph would be held by it
        return torch.stack(seen)

    def _close(self) -> None:
        if self._kept is not None and self._start is not None:
            self._obs.append(self.sim.observe_end(self._start, self.stretch * self.hold, *self._kept))
            self._kept = None

    def put_in(self, following: Tensor, at_end: Tensor, truncated: Tensor) -> Tensor:
        """What follows each decision: `following`, but where it ended an episode what stood at that end.

        Args:
            following: [T, B, …] as the grids went on; at_end: [S, B, …], as `observations` orders them.
            truncated: [T, B] bool.
        """
        stretch = torch.arange(len(following), device=following.device) // self.stretch
        ended = truncated.view(*truncated.shape, *[1] * (following.dim() - 2))
        return torch.where(ended, at_end.index_select(0, stretch), following)
