"""Timing of `Simulator.step` with random actions drawn beforehand."""

from __future__ import annotations

import torch

from benchmarks.machine import seconds_per_call
from smartgrid_core import Simulator

STEPS = 32  # timed together, about: whole windows of profiles, as a CPU reads many steps of them at once


def seconds_per_step(sim: Simulator, min_seconds: float) -> tuple[float, float, float]:
    """Median, minimum and maximum of a step of all grids; the simulator resets by itself."""
    state, _ = sim.reset()
    count = sim.steps_ahead * max(1, round(STEPS / sim.steps_ahead))
    generator = torch.Generator(sim.device).manual_seed(0)
    shape = (sim.num_grids, sim.num_agents, sim.action_dim)
    actions = [torch.empty(shape, device=sim.device).uniform_(-1, 1, generator=generator) for _ in range(count)]

    def steps() -> None:
        nonlocal state
        for action in actions:
            state, _ = sim.step(state, action)

    with torch.no_grad():
        median, low, high = seconds_per_call(steps, min_seconds, sim.device)
    return median / count, low / count, high / count
