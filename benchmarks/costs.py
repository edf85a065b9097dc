"""What a step costs as a community, its feeder or a horizon grows: time and memory an env-step.

The batch shrinks as communities grow, so that what is stepped at once stays about as large. Each prosumer has its row
in every tensor, so time should stay linear; buses enter the eager step's power flow by a product with constant matrices
whose size grows with buses × prosumers, and the compiled one's by a sweep along the tree.
A horizon of T steps is unrolled with gradients and differentiated, as SHAC does: its memory grows with T.
Networks are one a prosumer: deciding and learning from it, forward and backward, costs each the same however many.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.communities import community
from benchmarks.machine import seconds_per_call
from benchmarks.memory import bytes_per_grid
from benchmarks.stepping import seconds_per_step
from smartgrid_core import Simulator
from smartgrid_core.compiled import MOST_WRITTEN_OUT
from trainer.networks import StackedMLP

PROSUMERS = (3, 5, 10, 30, 100, 300, 1000)
BUSES = (6, 15, 33, 97, 129, 300)
HORIZONS = (1, 4, 16, 48, 96)
HORIZON_GRIDS = 256
AGENTS_AT_ONCE = 16_384  # in all communities together
NETWORK = 41, (64, 64), 3  # observations, hidden, actions of community-5


def run(device: torch.device, min_seconds: float) -> list[dict[str, Any]]:
    """One record a size, eager, and compiled where that takes seconds."""
    records = []
    for agents in PROSUMERS:
        for compiled in (False, True) if agents <= MOST_WRITTEN_OUT else (False,):
            records.append(_case("prosumers", agents, None, compiled, device, min_seconds))
    for buses in BUSES:
        for compiled in (False, True):
            records.append(_case("buses", 5, buses, compiled, device, min_seconds))
    records += [_horizon(steps, compiled, device, min_seconds) for steps in HORIZONS for compiled in (False, True)]
    return records + [_networks(agents, device, min_seconds) for agents in PROSUMERS]


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
        "measured_bytes_per_grid": bytes_per_grid(agents, sim.feeder.num_buses, num_grids, compiled, device),
    }  # fmt: skip


def _horizon(steps: int, compiled: bool, device: torch.device, min_seconds: float) -> dict[str, Any]:
    """T steps forth and back: the gradient of their rewards by every action; memory is what autograd keeps."""
    sim = Simulator(community(5), HORIZON_GRIDS, device, auto_reset=True, stagger=True, compile=compiled)
    begin, _ = sim.reset()
    shape = (HORIZON_GRIDS, sim.num_agents, sim.action_dim)
    generator = torch.Generator(device).manual_seed(0)
    actions = [torch.empty(shape, device=device).uniform_(-1, 1, generator=generator) for _ in range(steps)]
    for action in actions:
        action.requires_grad_()

    def forth() -> Tensor:
        state, total = begin, torch.zeros((), device=device)
        for action in actions:
            state, out = sim.step(state, action)
            total = total + out.reward.sum()
        return total

    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        held = forth()  # the graph, and with it every tensor that was counted
    del held
    median, low, high = seconds_per_call(lambda: forth().backward(), min_seconds, device)
    per = 1e6 / HORIZON_GRIDS / steps
    return {
        "case": "cost", "axis": "horizon", "agents": sim.num_agents, "buses": sim.feeder.num_buses, "steps": steps,
        "num_grids": HORIZON_GRIDS, "compiled": compiled, "us_per_env_step": median * per, "us_low": low * per,
        "us_high": high * per, "bytes_per_grid": None, "measured_bytes_per_grid": sum(kept.values()) / HORIZON_GRIDS,
    }  # fmt: skip


def _networks(agents: int, device: torch.device, min_seconds: float) -> dict[str, Any]:
    """A network for each of N prosumers, forward and backward; an env-step is a decision of all."""
    inputs, hidden, outputs = NETWORK
    decisions = max(16, AGENTS_AT_ONCE // agents // 16 * 16)
    network = StackedMLP(agents, inputs, outputs, hidden, final_gain=0.01).to(device)
    obs = torch.rand(decisions, agents, inputs, device=device)

    def learn() -> None:
        network.zero_grad(set_to_none=True)
        network(obs).square().mean().backward()

    median, low, high = seconds_per_call(learn, min_seconds, device)
    per = 1e6 / decisions
    return {
        "case": "cost", "axis": "networks", "agents": agents, "buses": 0, "num_grids": decisions, "compiled": False,
        "us_per_env_step": median * per, "us_low": low * per, "us_high": high * per, "bytes_per_grid": None,
        "measured_bytes_per_grid": None,
    }  # fmt: skip
