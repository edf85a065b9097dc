"""Exogenous values read several steps at a time: on a CPU, reading 32 steps costs little more than reading one.

What a step sees never depends on this: a state that does not follow from the last step is read for afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

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

    def __init__(self, ahead: Ahead, last: Last):
        self.taken, self.ahead, self.last = 0, ahead, last

    def next(self) -> Upcoming:
        """The next step's; it stays the next until the step is done, as a step may fail and be taken again."""
        return self._upcoming[self.taken]

    @cached_property
    def _upcoming(self) -> list[Upcoming]:
        ahead = self.ahead
        return [Upcoming(now, ahead.soc_kwh, ahead.row) for now in ahead.rows.steps()]


class Last:
    """The last moment of the episodes that end within a window; read when first asked for.

    Apart from the window, as results hold on to it.
    """

    def __init__(self, read: Callable[[], Exogenous]):
        self._read = read

    def __call__(self) -> Exogenous:
        return self._found

    @cached_property
    def _found(self) -> Exogenous:
        return self._read()


class Prefetch:
    """Hands out one step after another of what was read ahead, as long as each state follows from the last.

    A copy reads for itself, what the original goes on to see.

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
            last = Last(partial(self._read_last, params, state))
            window = Window(self._read_ahead(params, state, room), last)
            self._window, self._modes = window, modes
        return window

    def follow(self, params: Params, state: State) -> None:
        """Say which state the step from the last window asked for led to."""
        if self._window is not None:
            self._window.taken += 1
        self._owner = (params, state)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_window": None, "_owner": None, "_modes": None}


def _autograd_modes() -> tuple[bool, bool]:
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()
