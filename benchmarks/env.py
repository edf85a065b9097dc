"""Environment stepping: the public `Simulator.step`, everything included, against the plain ways to step the same task.

A step here is observations, reward parts, auto-reset, random actions (drawn beforehand) and episodes that end at
different times, on the 15-bus community-5. Beside it the same community through the PettingZoo interface (one grid,
dictionaries); other environments, one in plain NumPy and this step in C and in JAX (`contest`); what the machine could
do at most (`limits`); what larger communities, feeders and horizons cost (`costs`) and take of memory (`memory`).
"""

from __future__ import annotations

from typing import Any

import torch
from rich.table import Table

from benchmarks import contest, costs, limits, memory
from benchmarks.machine import seconds_per_call, wide
from benchmarks.stepping import seconds_per_step
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.pettingzoo_env import parallel_env

SCENARIO = "community-5"
SIZES = (1, 64, 1024, 4096, 16384, 65536)
GPU_SIZES = (262_144, 1_048_576)
COMPILED_SIZES = (64, 1024, 4096, 16384, 65536)


def run(quick: bool = False, threads: int = 2, device: str = "cpu") -> list[dict[str, Any]]:
    """Measure every case; prints a table and returns one record a case."""
    torch.set_num_threads(threads)
    min_seconds = 0.5 if quick else 3.0
    where = torch.device(device)
    more = GPU_SIZES if where.type == "cuda" else ()
    sizes = (1, 1024) if quick else (*SIZES, *more)
    sweep = [(size, power_flow, False) for power_flow in (True, False) for size in sizes]
    if not quick:
        sweep += [(size, True, True) for size in (*COMPILED_SIZES, *more)] + [(4096, False, True)]
    cases = [_simulator_case(*case, where, min_seconds) for case in sweep]
    cases += [_parallel_env_case(False, min_seconds), _parallel_env_case(True, min_seconds)]
    peer = next(c for c in cases if c["name"] == "parallel_env.step")["agent_steps_per_s"]  # the eager one
    for case in cases:
        case["ratio_to_parallel_env"] = case["agent_steps_per_s"] / peer
    _print(cases, threads, device)
    steps = [c for c in cases if c["name"] == "Simulator.step" and c["power_flow"]]
    bounds = limits.run(steps, SCENARIO, where, min_seconds)
    _print_limits(bounds)
    config = GridConfig.load(SCENARIO)
    if not quick:
        for case in (c for c in steps if c["num_grids"] >= 4096):
            of = config.num_agents, config.network.buses, case["num_grids"], case["compiled"]
            case["measured_bytes_per_grid"] = memory.bytes_per_grid(*of, where)
    curves = [_cost(c, config.num_agents, config.network.buses) for c in steps]
    curves += [] if quick else costs.run(where, min_seconds)
    peers = contest.run(quick) if where.type == "cpu" else []
    return [*cases, bounds, *curves, *peers]


def _cost(case: dict[str, Any], agents: int, buses: int) -> dict[str, Any]:
    """A measured step as a point of the cost curve against the batch."""
    per = 1 / case["num_grids"]
    return {
        "case": "cost", "axis": "grids", "agents": agents, "buses": buses, "num_grids": case["num_grids"],
        "compiled": case["compiled"], "us_per_env_step": case["us_per_call"] * per, "us_low": case["us_low"] * per,
        "us_high": case["us_high"] * per, "bytes_per_grid": case["bytes_per_grid"],
        "measured_bytes_per_grid": case.get("measured_bytes_per_grid"),
    }  # fmt: skip


def _simulator_case(
    num_grids: int, power_flow: bool, compiled: bool, device: torch.device, min_seconds: float
) -> dict[str, Any]:
    config = GridConfig.load(SCENARIO, **{"network.power_flow": power_flow})
    sim = Simulator(config, num_grids, device, auto_reset=True, stagger=True, compile=compiled)
    median, low, high = seconds_per_step(sim, min_seconds)
    return {
        "name": "Simulator.step", "num_grids": num_grids, "power_flow": power_flow, "compiled": compiled,
        "us_per_call": median * 1e6, "us_low": low * 1e6, "us_high": high * 1e6,
        "agent_steps_per_s": num_grids * sim.num_agents / median, "bytes_per_grid": sim.bytes_per_grid,
    }  # fmt: skip


def _parallel_env_case(compiled: bool, min_seconds: float) -> dict[str, Any]:
    env = parallel_env(SCENARIO, compile=compiled)
    env.reset(seed=0)
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}

    def step() -> None:
        *_, truncations, _ = env.step(actions)
        if all(truncations.values()):
            env.reset()

    median, low, high = seconds_per_call(step, min_seconds, torch.device("cpu"))
    return {
        "name": "parallel_env.step", "num_grids": 1, "power_flow": True, "compiled": compiled,
        "us_per_call": median * 1e6, "us_low": low * 1e6, "us_high": high * 1e6,
        "agent_steps_per_s": len(actions) / median,
    }  # fmt: skip


def _print(cases: list[dict[str, Any]], threads: int, device: str) -> None:
    table = Table(title=f"Environment stepping, {SCENARIO}, {threads} threads, {device}")
    for column in ("what", "grids", "power flow", "compiled", "µs a call", "agent-steps/s", "× parallel_env"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for c in cases:
        table.add_row(
            c["name"], f"{c['num_grids']:,}", "yes" if c["power_flow"] else "no", "yes" if c["compiled"] else "no",
            f"{c['us_per_call']:,.0f} ({c['us_low']:,.0f}–{c['us_high']:,.0f})", f"{c['agent_steps_per_s']:,.0f}",
            f"{c['ratio_to_parallel_env']:,.1f}",
        )  # fmt: skip
    wide().print(table)


def _print_limits(bounds: dict[str, Any]) -> None:
    table = Table(
        title=f"Limits, {bounds['threads']} threads: copies at {bounds['copy_gb_per_s']:,.1f} GB/s, multiplies at "
        f"{bounds['gemm_gflop_per_s']:,.0f} GFLOP/s",
        caption=f"an env-step reads {bounds['bytes_read']:,} bytes, writes {bounds['bytes_written']:,} and does "
        f"{bounds['flop_per_env_step']:,} operations",
    )
    for column in ("what", "grids", "ns an env-step", "GB/s", "of copying", "of multiplying"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for a in bounds["achieved"]:
        table.add_row(
            a["name"], f"{a['num_grids']:,}", f"{a['ns_per_env_step']:,.0f}", f"{a['gb_per_s']:,.2f}",
            f"{a['fraction']:.0%}", f"{a['fraction_of_gemm']:.0%}",
        )  # fmt: skip
    wide().print(table)
