"""Outages, spikes, surges and clouds: drawn per episode, unknown before they start (feature-major)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from smartgrid_core import rng
from smartgrid_core.config import EventConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import Conditions

if TYPE_CHECKING:
    from smartgrid_core.perturbations import Perturbations

DRAWS = 5  # uniforms per event: happens, day, hour, duration, branch


class Events(nn.Module):
    """The events of a scenario; draws their windows and says what is active in a step."""

    agent_paths: Tensor
    branches: Tensor

    def __init__(self, events: tuple[EventConfig, ...], num_branches: int, agent_paths: Tensor, steps_per_day: int):
        """agent_paths: [M, N] 0/1, branch on the path from the slack bus to the agent's bus.

        Raises:
            ConfigError: an outage of a branch that is not there.
        """
        super().__init__()
        for i, event in enumerate(events):
            if event.kind == "branch_outage" and not (event.branch or 1) < num_branches:
                there = f"1 … {num_branches - 1}" if num_branches > 1 else "none: the feeder's only branch feeds it all"
                raise ConfigError(f"events.{i}.branch = {event.branch}: branches that can open are {there}")
        self.events = events
        self.num_branches = num_branches
        self.steps_per_day = steps_per_day
        self.kinds = {kind: [i for i, e in enumerate(events) if e.kind == kind] for kind in {e.kind for e in events}}
        self.by_hand: Perturbations | None = None  # what `Simulator.perturb` added
        self.register_buffer("agent_paths", agent_paths.float())
        self.register_buffer("branches", torch.arange(num_branches, dtype=torch.int32))

    @property
    def can_island(self) -> bool:
        """Whether the community can ever be without the utility."""
        return "islanding" in self.kinds or (self.by_hand is not None and self.by_hand.events.can_island)

    @property
    def can_open_branches(self) -> bool:
        """Whether a branch can ever open."""
        return "branch_outage" in self.kinds or (self.by_hand is not None and self.by_hand.events.can_open_branches)

    def draw(self, u: Tensor, phase: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Windows of the episode.

        Args:
            u: [E · DRAWS, B] uniforms of the episode.
            phase: [B] int32, step of the day the episode starts at.

        Returns:
            start, end, branch: int32 [E, B]; end == start where the event does not happen.
        """
        if not self.events:
            empty = phase.new_zeros(0, phase.shape[0])
            return empty, empty, empty
        u = u.view(len(self.events), DRAWS, -1)
        starts, ends, branches = [], [], []
        for i, event in enumerate(self.events):
            happens, day, hour, duration, branch = u[i]
            whole_day = (event.day[0] + day * (event.day[1] - event.day[0] + 1)).floor().clamp(max=event.day[1])
            at = rng.between(hour, *event.hour) / 24 + whole_day
            start = (at * self.steps_per_day).round().int() - phase
            length = (rng.between(duration, *event.duration_h) * (self.steps_per_day / 24)).round().int().clamp_min(1)
            over = start + length <= 0  # before the episode began: a day later; else the episode begins amid it
            start = torch.where(over, start + self.steps_per_day, start)
            starts.append(start)
            ends.append(torch.where(happens < event.probability, start + length, start))
            drawn = 1 + rng.integers(branch, max(self.num_branches - 1, 1)).int()
            branches.append(drawn if event.branch is None else torch.full_like(drawn, event.branch))
        return torch.stack(starts), torch.stack(ends), torch.stack(branches)

    def conditions(self, step: Tensor, start: Tensor, end: Tensor, branch: Tensor) -> Conditions:
        """What is active in `step` [..., B]; the windows are [E, ..., B]."""
        if not self.events:
            return Conditions(None, None, None, None, None, None)
        active = (step >= start) & (step < end)
        branch_open = energised = islanded = None
        if "branch_outage" in self.kinds:
            opened = [
                active[i].unsqueeze(-2) & (self.branches[:, None] == branch[i].unsqueeze(-2))
                for i in self.kinds["branch_outage"]
            ]
            branch_open = torch.stack(opened).any(0)
            energised = (self.agent_paths.T @ branch_open.to(self.agent_paths.dtype)) == 0
        if "islanding" in self.kinds:
            islanded = torch.stack([active[i] for i in self.kinds["islanding"]]).any(0)
        adder = self._fold("price_spike", active, "import_adder_eur_per_kwh")
        return Conditions(
            islanded, branch_open, energised, adder,
            self._fold("demand_surge", active, "factor"), self._fold("cloud", active, "factor"),
        )  # fmt: skip

    def _fold(self, kind: str, active: Tensor, field: str) -> Tensor | None:
        """Active events of a kind: adders are summed, factors multiplied, [B]."""
        total = None
        for i in self.kinds.get(kind, ()):
            value, neutral = float(getattr(self.events[i], field)), 0.0 if field.startswith("import") else 1.0
            now = torch.where(active[i], value, neutral)
            total = now if total is None else (total + now if neutral == 0.0 else total * now)
        return total
