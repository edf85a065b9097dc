"""Timing of `Simulator.step` with random actions drawn beforehand."""

from __future__ import annotations

import torch

from benchmarks.machine import seconds_per_call
from smartgrid_core import Simulator
from smartgrid_core.profiles.table import MAX_WINDOW

STEPS = MAX_WINDOW  # timed together, as a CPU reads so many of profiles at once; one batch of random actions for each


def seconds_per_step(sim: Simulator, min_seconds: float) -> tuple[float, float, float]:
    """Median, minimum and maximum of a step of all grids; the simulator resets by itself."""
    state, _ = sim.reset()
    generator = torch.Generator(sim.device).manual_seed(0)
    shape = (sim.num_grids, sim.num_agents, sim.action_dim)
    actions = [torch.empty(shape, device=sim.device).uniform_(-1, 1, generator=generator) for _ in range(STEPS)]

    def steps() -> None:
        nonlocal state
        for action in actions:
            state, _ = sim.step(state, action)

    with torch.no_grad():
        median, low, high = seconds_per_call(steps, min_seconds, sim.device)
    return median / STEPS, low / STEPS, high / STEPS
