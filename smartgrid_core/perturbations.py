"""Events somebody causes while episodes run: a cloud, an outage, a price spike, at the push of a button."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from smartgrid_core.config import EventConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.events import Events
from smartgrid_core.types import Conditions, State, kernel, public


class Perturbations(NamedTuple):
    """Events caused in the running episodes; like drawn ones, unknown before they start."""

    events: Events
    start: Tensor  # [E, B] int32 step
    end: Tensor  # [E, B] int32 step
    episode: Tensor  # [E, B] int32, the episode it belongs to and does not outlast

    def conditions(self, step: Tensor, episode: Tensor) -> Conditions:
        """What is active in `step` [S, B] of `episode`, [B] or [S, B]."""
        start, end, own = (x[:, None] for x in self[1:])
        numbers = torch.tensor([e.branch or 0 for e in self.events.events], dtype=torch.int32, device=step.device)
        branch = numbers.view(-1, 1, 1).expand(-1, *step.shape)
        return self.events.conditions(step, start, torch.where(own == episode, end, start), branch)


def combined(a: Conditions, b: Conditions) -> Conditions:
    """Both at once: outages and adders add up, factors multiply; a bus is live where no branch to it is open."""

    def both(x: Tensor | None, y: Tensor | None, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor | None:
        return y if x is None else x if y is None else join(x, y)

    return Conditions(
        both(a.islanded, b.islanded, torch.logical_or),
        both(a.branch_open, b.branch_open, torch.logical_or),
        both(a.energised, b.energised, torch.logical_and),
        both(a.import_adder, b.import_adder, torch.add),
        both(a.demand_factor, b.demand_factor, torch.mul),
        both(a.generation_factor, b.generation_factor, torch.mul),
    )


def cause(drawn: Events, state: State, events: Sequence[EventConfig], steps: Sequence[int], per_day: int) -> State:
    """Put events into `drawn.by_hand`, from the step about to be taken on, beside those still active there.

    Returns:
        the state without any outage: what is present now is still to be read.

    Raises:
        ConfigError: a duration below 1 step, or a branch that is not there.
    """
    for event, count in zip(events, steps, strict=True):
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"steps = {count!r}: an event lasts a whole number of steps, at least 1")
        if event.kind == "branch_outage" and (event.branch is None or event.branch >= drawn.num_branches):
            raise ConfigError(f"branch = {event.branch}: expected one of 1 … {drawn.num_branches - 1}")
    grids, device, kept, old = state.step.shape[0], state.step.device, tuple(events), drawn.by_hand
    start = state.step.expand(len(kept), grids)
    end = start + torch.tensor(list(steps), dtype=torch.int32, device=device)[:, None]
    windows = [start, end, state.episode.expand(len(kept), grids)]
    if kept and old is not None:
        active = ((old.end > state.step) & (old.episode == state.episode)).any(1)
        kept = tuple(e for e, on in zip(old.events.events, active.tolist(), strict=True) if on) + kept
        windows = [torch.cat([x[active], y]) for x, y in zip(old[1:], windows, strict=True)]
    caused = Events(kept, drawn.num_branches, drawn.agent_paths.cpu(), per_day).to(device)
    drawn.by_hand = Perturbations(caused, *windows) if kept else None
    off = torch.zeros_like(state.islanded)
    branches = drawn.num_branches if drawn.can_open_branches else 0
    return state._replace(
        islanded=off, branch_open=public(off.expand(branches, grids)),
        energised=public((~off).expand_as(kernel(state.energised))),
    )  # fmt: skip
