"""Exogenous values read several steps at a time: on a CPU, reading 32 steps costs little more than reading one.

What a step sees never depends on this: a state that does not follow from the last step is read for afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from smartgrid_core.episodes import Ahead
from smartgrid_core.profiles.table import TableRows
from smartgrid_core.types import Exogenous, Params, State


class Upcoming(NamedTuple):
    """What the step about to be taken leads to, whatever the action; feature-major."""

    now: Exogenous  # fields […]: after the step, of the next episode where one ends
    soc_kwh: Tensor  # [N, B] at the start of the next episode
    row: Tensor  # [B] int32, time row of its step 0


class Window:
    """What was read from one state on."""

    def __init__(self, ahead: Ahead, last: Callable[[], Exogenous]):
        self.taken, self.ahead = 0, ahead
        self._read_last = last
        self._last: Exogenous | None = None

    def next(self) -> Upcoming:
        """The next step's; it stays the next until the step is done, as a step may fail and be taken again."""
        return self._upcoming[self.taken]

    @cached_property
    def _upcoming(self) -> list[Upcoming]:
        ahead = self.ahead
        return [Upcoming(now, ahead.soc_kwh, ahead.row) for now in ahead.rows.steps()]

    def last(self) -> Exogenous:
        """The last moment of the episodes that end within the window; read when first asked for."""
        if self._last is None:
            self._last = self._read_last()
        return self._last


class Prefetch:
    """Hands out one step after another of what was read ahead, as long as each state follows from the last.

    Args:
        ahead: reads S steps from a state on, into the memory given or into new memory.
        last: reads the last moments of the episodes that end within S steps of a state.
        room: memory for S steps, used again for every window; not where gradients are recorded, as a graph keeps
            what it saw.
    """

    def __init__(
        self,
        ahead: Callable[[Params, State, TableRows | None], Ahead],
        last: Callable[[Params, State], Exogenous],
        room: TableRows,
    ):
        self._read_ahead, self._read_last, self._room = ahead, last, room
        self.steps = room.demand_kw.shape[0]
        self._window: Window | None = None
        self._owner: tuple[Params, State] | None = None
        self._modes: tuple[bool, bool] | None = None

    def window(self, params: Params, state: State) -> Window:
        """The window whose next step is the one from `state`."""
        owner, window, modes = self._owner, self._window, _autograd_modes()
        follows = owner is not None and owner[0] is params and owner[1] is state and modes == self._modes
        if window is None or not follows or window.taken == self.steps:
            room = None if modes[0] else self._room
            window = Window(self._read_ahead(params, state, room), lambda: self._read_last(params, state))
            self._window, self._modes = window, modes
        return window

    def follow(self, params: Params, state: State) -> None:
        """Say which state the step from the last window asked for led to."""
        if self._window is not None:
            self._window.taken += 1
        self._owner = (params, state)


def _autograd_modes() -> tuple[bool, bool]:
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()
