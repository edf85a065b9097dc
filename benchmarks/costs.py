"""What a step costs as a community or its feeder grows: time and memory an env-step against prosumers and buses.

The batch shrinks as communities grow, so that what is stepped at once stays about as large. Each prosumer has its row
in every tensor, so time should stay linear; buses enter the eager step's power flow by a product with constant matrices
whose size grows with buses × prosumers, and the compiled one's by a sweep along the tree.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.communities import community
from benchmarks.stepping import seconds_per_step
from smartgrid_core import Simulator

PROSUMERS = (3, 5, 10, 30, 100, 300, 1000)
BUSES = (6, 15, 33, 97, 129, 300)
AGENTS_AT_ONCE = 16_384  # in all communities together
COMPILED_UP_TO = 13  # prosumers; beyond, compiling takes minutes


def run(device: torch.device, min_seconds: float) -> list[dict[str, Any]]:
    """One record a size, eager, and compiled where that takes seconds."""
    records = []
    for agents in PROSUMERS:
        for compiled in (False, True) if agents <= COMPILED_UP_TO else (False,):
            records.append(_case("prosumers", agents, None, compiled, device, min_seconds))
    for buses in BUSES:
        for compiled in (False, True):
            records.append(_case("buses", 5, buses, compiled, device, min_seconds))
    return records


def _case(
    axis: str, agents: int, buses: int | None, compiled: bool, device: torch.device, min_seconds: float
) -> dict[str, Any]:
    num_grids = max(16, AGENTS_AT_ONCE // agents // 16 * 16)
    sim = Simulator(community(agents, buses), num_grids, device, auto_reset=True, stagger=True, compile=compiled)
    median, low, high = seconds_per_step(sim, min_seconds)
    per = 1e6 / num_grids
    return {
        "case": "cost", "axis": axis, "agents": sim.num_agents, "buses": sim.feeder.num_buses, "num_grids": num_grids,
        "compiled": compiled, "us_per_env_step": median * per, "us_low": low * per, "us_high": high * per,
        "bytes_per_grid": sim.bytes_per_grid,
    }  # fmt: skip
