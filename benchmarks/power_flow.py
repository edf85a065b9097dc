"""AC power flow of many loadings of one feeder: ours, power-grid-model, lightsim2grid and pandapower in the same run.

Every contestant solves the same generated low-voltage feeders under the same consumption, and its voltages are checked
against ours; ours and power-grid-model report branch loadings and losses too. Times are CPU time, which other work on
the machine does not stretch, in turns; warm-up and compilation are not timed. power-grid-model runs the faster of its
two methods that solve the full equations (iterative current and Newton-Raphson) on a batch, lightsim2grid, in its own
environment, its sweep over injections; pandapower has no batch and solves one loading after the other. Besides the
usual consumption of 1 kW a bus there is one that loads the transformer to nine tenths in the mean, where voltages sag
and methods that iterate take more steps; ours always takes its four.
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
KW_PER_BUS = 2.0  # of which half is drawn in the mean
NEAR_LIMIT = 0.9  # of the transformer's rating, in the mean over loadings
NEAR_LIMIT_BATCH = 256
WORST_DIFFERENCE_PU = 2e-4  # more than that would mean that two different networks are compared
TURN_S = 0.02  # of CPU time, at least
CONTESTANTS = ("eager", "compiled", "power_grid_model", "lightsim2grid", "pandapower")

Solve = Callable[[], Any]
Turn = Callable[[], float]
"""Solves for a while; seconds of CPU time a solve."""


def run(quick: bool = False, threads: int = 1) -> dict[str, Any]:
    """Time all sizes; ``quick`` takes 15 buses only. Returns ``{"cases": […], …}``, ready for JSON.

    Each case: ``buses``, ``batch``, ``transformer_loading`` (mean, of its rating), ``voltage_least_pu``, µs of CPU time
    a solve of each contestant with its ``spread_us``, lowest and highest (None where it was not run),
    ``differences_pu`` of each peer's voltages from ours and ``speedup``: how many times faster than power-grid-model
    ``PowerFlow`` is, with ``compile=True`` (``compiled``) and without (``eager``).
    """
    console = wide()
    torch.set_num_threads(threads)
    if not is_installed(HOME):
        console.print(f"lightsim2grid left out: not installed; python -m benchmarks peers install {HOME}")
    cases: list[dict[str, Any]] = []
    for buses in (15,) if quick else BUSES:
        feeder = Feeder.radial(buses)
        sizes = [(batch if buses <= 33 else min(batch, 1024), False) for batch in BATCHES]
        for size, near_limit in [*sizes, (NEAR_LIMIT_BATCH, True)]:
            with console.status(f"{buses} buses, {size} grids"):
                cases.append(time_case(feeder, size, threads, 5 if quick else 9, near_limit))
    console.print(_table(cases))
    return {
        "cases": cases,
        "threads": threads,
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "power-grid-model", "pandapower", "numpy")},
    }


def time_case(feeder: Feeder, batch: int, threads: int, repeats: int, near_limit: bool = False) -> dict[str, Any]:
    """One feeder, one batch size: medians over interleaved repeats, each long enough to be timed."""
    p_kw, q_kvar, loading = _loadings(feeder, batch, near_limit)
    eager, compiled = (PowerFlow(feeder, compile=c) for c in (False, True))
    p, q = (torch.tensor(a, dtype=torch.float32) for a in (p_kw, q_kvar))
    methods = {m: power_grid_model_solver(feeder, p_kw, q_kvar, m, threads) for m in METHODS}
    pandapower = pandapower_solver(feeder, p_kw, q_kvar)
    peer_version = None
    with torch.no_grad(), ExitStack() as stack:
        ours = compiled(p, q).voltage_pu.numpy()
        found = {"power-grid-model": methods[METHODS[0]](), "pandapower": pandapower()[None]}
        turns = {name: _turns(solve, batch) for name, solve in methods.items()}
        turns |= {"eager": _turns(lambda: eager(p, q), batch), "compiled": _turns(lambda: compiled(p, q), batch)}
        turns["pandapower"] = _turns(pandapower, 1)
        if is_installed(HOME):
            talk, found["lightsim2grid"] = stack.enter_context(lightsim2grid_solver(feeder, p_kw, q_kvar))
            turns["lightsim2grid"] = lambda: (done := talk.ask(TURN_S))["cpu_s"] / done["steps"]
            peer_version = talk.opening["versions"]["lightsim2grid"]
        differences = {name: _difference(name, voltage_pu, ours, feeder) for name, voltage_pu in found.items()}
        samples = interleaved(turns, repeats)
    method = min(METHODS, key=lambda name: np.median(samples[name]))
    samples["power_grid_model"] = samples[method]
    taken = {name: np.array(samples[name]) * 1e6 for name in CONTESTANTS if name in samples}
    us = {name: float(np.median(values)) for name, values in taken.items()}
    return {
        "buses": feeder.num_buses,
        "batch": batch,
        "near_limit": near_limit,
        "transformer_loading": loading,
        "voltage_least_pu": float(ours.min()),
        **{f"{name}_us": us.get(name) for name in CONTESTANTS},
        "spread_us": {name: [float(values.min()), float(values.max())] for name, values in taken.items()},
        "power_grid_model_method": method,
        "lightsim2grid_version": peer_version,
        "differences_pu": differences,
        "speedup": {name: us["power_grid_model"] / us[name] for name in ("eager", "compiled")},
    }


def _loadings(feeder: Feeder, batch: int, near_limit: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """kW and kvar drawn at every bus, each [B, n], and the transformer's mean loading as a share of its rating."""
    p_kw = np.random.default_rng(0).uniform(-0.5, 1.5, (batch, feeder.num_buses)) * KW_PER_BUS
    q_kvar = 0.3 * p_kw
    loading = float(np.hypot(p_kw.sum(1), q_kvar.sum(1)).mean() / feeder.rating_from_kva[0])
    scale = NEAR_LIMIT / loading if near_limit else 1.0
    return scale * p_kw, scale * q_kvar, scale * loading


def _difference(name: str, voltage_pu: np.ndarray, ours: np.ndarray, feeder: Feeder) -> float:
    """The largest between a peer's voltages and ours, of as many loadings as it gives."""
    found = float(np.abs(voltage_pu - ours[: len(voltage_pu)]).max())
    if found > WORST_DIFFERENCE_PU:
        raise RuntimeError(f"{name} differs by {found:.1e} p.u. at {feeder}: not the same network")
    return found


def interleaved(turns: dict[str, Turn], repeats: int) -> dict[str, list[float]]:
    """Seconds a solve of each, a number a repeat; a repeat gives everyone a turn."""
    samples: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(repeats):
        for name, turn in turns.items():
            samples[name].append(turn())
    return samples


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
    names = ("eager", "compiled", "pgm", "lightsim2grid", "pandapower")
    columns = ("buses", "batch", "loading", *names, "× eager", "× compiled")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for case in cases:
        table.add_row(
            str(case["buses"]),
            str(case["batch"]),
            f"{100 * case['transformer_loading']:.0f} %",
            *(_us(case[f"{name}_us"]) for name in CONTESTANTS),
            *(f"{case['speedup'][name]:.1f}" for name in ("eager", "compiled")),
        )
    return table


def _us(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
