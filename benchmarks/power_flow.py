"""AC power flow of many loadings of one feeder: ours, power-grid-model, lightsim2grid and pandapower in the same run.

Every contestant solves the same generated low-voltage feeders under the same consumption, and its voltages are checked
against ours; ours and power-grid-model report branch loadings and losses too. Times are CPU time, which other work on
the machine does not stretch, in turns; warm-up and compilation are not timed. power-grid-model runs the faster of its
two methods that solve the full equations (iterative current and Newton-Raphson) on a batch, lightsim2grid, in its own
environment, its sweep over injections; pandapower has no batch and solves one loading after the other.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks.machine import wide
from benchmarks.peer_environments import is_installed
from benchmarks.power_flow_peers import (
    HOME,
    METHODS,
    lightsim2grid_solver,
    pandapower_solver,
    power_grid_model_solver,
)
from smartgrid_core.power_flow import Feeder, PowerFlow

BUSES = (6, 15, 33, 97, 129, 300)
BATCHES = (1, 256, 4096)
KW_PER_BUS = 2.0
WORST_DIFFERENCE_PU = 2e-4  # more than that would mean that two different networks are compared
TURN_S = 0.02  # of CPU time, at least

Solve = Callable[[], Any]
Turn = Callable[[], float]
"""Solves for a while; seconds of CPU time a solve."""


def run(quick: bool = False, threads: int = 1) -> dict[str, Any]:
    """Time all sizes; ``quick`` takes 15 buses only. Returns ``{"cases": […], …}``, ready for JSON.

    Each case: ``buses``, ``batch``, µs of CPU time a solve of each contestant (None where it was not run) and
    ``speedup``: how many times faster than power-grid-model ``PowerFlow`` is, with ``compile=True``
    (``compiled``) and without (``eager``).
    """
    console = wide()
    torch.set_num_threads(threads)
    if not is_installed(HOME):
        console.print(f"lightsim2grid left out: not installed; python -m benchmarks peers install {HOME}")
    cases: list[dict[str, Any]] = []
    for buses in (15,) if quick else BUSES:
        feeder = Feeder.radial(buses)
        for batch in BATCHES:
            size = batch if buses <= 33 else min(batch, 1024)
            with console.status(f"{buses} buses, {size} grids"):
                cases.append(time_case(feeder, size, threads, repeats=5 if quick else 9))
    console.print(_table(cases))
    return {
        "cases": cases,
        "threads": threads,
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "power-grid-model", "pandapower", "numpy")},
    }


def time_case(feeder: Feeder, batch: int, threads: int, repeats: int) -> dict[str, Any]:
    """One feeder, one batch size: medians over interleaved repeats, each long enough to be timed."""
    rng = np.random.default_rng(0)
    p_kw = rng.uniform(-0.5, 1.5, (batch, feeder.num_buses)) * KW_PER_BUS
    q_kvar = 0.3 * p_kw
    eager, compiled = (PowerFlow(feeder, compile=c) for c in (False, True))
    p, q = (torch.tensor(a, dtype=torch.float32) for a in (p_kw, q_kvar))
    methods = {m: power_grid_model_solver(feeder, p_kw, q_kvar, m, threads) for m in METHODS}
    pandapower = pandapower_solver(feeder, p_kw, q_kvar)
    with torch.no_grad(), ExitStack() as stack:
        ours = compiled(p, q).voltage_pu.numpy()
        found = {"power-grid-model": methods[METHODS[0]](), "pandapower": pandapower()[None]}
        turns = {name: _turns(solve, batch) for name, solve in methods.items()}
        turns |= {"eager": _turns(lambda: eager(p, q), batch), "compiled": _turns(lambda: compiled(p, q), batch)}
        turns["pandapower"] = _turns(pandapower, 1)
        if is_installed(HOME):
            talk, found["lightsim2grid"] = stack.enter_context(lightsim2grid_solver(feeder, p_kw, q_kvar))
            turns["lightsim2grid"] = lambda: (done := talk.ask(TURN_S))["cpu_s"] / done["steps"]
        difference = max(_difference(name, voltage_pu, ours, feeder) for name, voltage_pu in found.items())
        us = {name: seconds * 1e6 for name, seconds in interleaved_medians(turns, repeats).items()}
    method = min(METHODS, key=lambda name: us[name])
    return {
        "buses": feeder.num_buses,
        "batch": batch,
        "eager_us": us["eager"],
        "compiled_us": us["compiled"],
        "power_grid_model_us": us[method],
        "power_grid_model_method": method,
        "lightsim2grid_us": us.get("lightsim2grid"),
        "pandapower_us": us["pandapower"],
        "largest_difference_pu": difference,
        "speedup": {name: us[method] / us[name] for name in ("eager", "compiled")},
    }


def _difference(name: str, voltage_pu: np.ndarray, ours: np.ndarray, feeder: Feeder) -> float:
    """The largest between a peer's voltages and ours, of as many loadings as it gives."""
    found = float(np.abs(voltage_pu - ours[: len(voltage_pu)]).max())
    if found > WORST_DIFFERENCE_PU:
        raise RuntimeError(f"{name} differs by {found:.1e} p.u. at {feeder}: not the same network")
    return found


def interleaved_medians(turns: dict[str, Turn], repeats: int) -> dict[str, float]:
    """Seconds a solve of each; a repeat gives everyone a turn."""
    samples: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(repeats):
        for name, turn in turns.items():
            samples[name].append(turn())
    return {name: float(np.median(values)) for name, values in samples.items()}


def _turns(solve: Solve, solves: int) -> Turn:
    """Turns of a function, so many solves a call; caches are warm before the first."""
    for _ in range(3):
        solve()
    calls = max(1, math.ceil(TURN_S / max(_seconds(solve, 1), 1e-7)))
    return lambda: _seconds(solve, calls) / solves


def _seconds(function: Solve, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls


def _table(cases: list[dict[str, Any]]) -> Table:
    table = Table(
        title="AC power flow, µs of CPU time a solve; × power-grid-model's fastest full method",
        caption="pandapower has no batch: one runpp",
    )
    columns = ("buses", "batch", "eager", "compiled", "pgm", "lightsim2grid", "pandapower", "× eager", "× compiled")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for case in cases:
        times = ("eager_us", "compiled_us", "power_grid_model_us", "lightsim2grid_us", "pandapower_us")
        table.add_row(
            str(case["buses"]),
            str(case["batch"]),
            *(_us(case[name]) for name in times),
            *(f"{case['speedup'][name]:.1f}" for name in ("eager", "compiled")),
        )
    return table


def _us(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
