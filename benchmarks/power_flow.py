"""AC power flow of many loadings of one feeder: ours, power-grid-model and pandapower in the same run.

Every contestant solves the same generated low-voltage feeders under the same consumption and reports
voltages, branch loadings and losses. Repeats are interleaved, so that a busy machine slows all of them alike;
warm-up and compilation are not timed. power-grid-model runs the faster of its two methods that solve the full
equations (iterative current and Newton-Raphson) on a batch, its results checked against ours.
"""

from __future__ import annotations

import math
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from smartgrid_core.power_flow import Feeder, PowerFlow

BUSES = (6, 15, 33, 97, 129, 300)
BATCHES = (1, 256, 4096)
KW_PER_BUS = 2.0
PGM_TOLERANCE = 1e-5  # p.u. of voltage between two iterations; ours reach about 1e-6 in four
WORST_DIFFERENCE_PU = 2e-4  # more than that would mean that two different networks are compared


def run(quick: bool = False, threads: int = 1) -> dict[str, Any]:
    """Time all sizes; ``quick`` takes 15 buses only. Returns ``{"cases": […], …}``, ready for JSON.

    Each case: ``buses``, ``batch``, µs a solve of each contestant (None where it was not run) and
    ``speedup``: how many times faster than power-grid-model ``PowerFlow`` is, with ``compile=True``
    (``compiled``) and without (``eager``).
    """
    console = Console()
    torch.set_num_threads(threads)
    cases: list[dict[str, Any]] = []
    for buses in (15,) if quick else BUSES:
        feeder = Feeder.radial(buses)
        pandapower_us = time_pandapower(feeder, 2 if quick else 5)
        for batch in BATCHES:
            size = batch if buses <= 33 else min(batch, 1024)
            with console.status(f"{buses} buses, {size} grids"):
                case = time_case(feeder, size, threads, repeats=5 if quick else 9)
            cases.append({**case, "pandapower_us": pandapower_us})
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
    peers = {
        method: power_grid_model_solver(feeder, p_kw, q_kvar, method, threads)
        for method in ("iterative_current", "newton_raphson")
    }
    contestants: dict[str, Callable[[], Any]] = {
        "eager": lambda: eager(p, q),
        "compiled": lambda: compiled(p, q),
        **peers,
    }
    with torch.no_grad():
        difference = np.abs(peers["iterative_current"]() - compiled(p, q).voltage_pu.numpy()).max()
        if difference > WORST_DIFFERENCE_PU:
            raise RuntimeError(f"power-grid-model differs by {difference:.1e} p.u. at {feeder}: not the same network")
        seconds = interleaved_medians(contestants, repeats)
    method = min(peers, key=lambda name: seconds[name])
    us = {name: value / batch * 1e6 for name, value in seconds.items()}
    return {
        "buses": feeder.num_buses,
        "batch": batch,
        "eager_us": us["eager"],
        "compiled_us": us["compiled"],
        "power_grid_model_us": us[method],
        "power_grid_model_method": method,
        "largest_difference_pu": float(difference),
        "speedup": {name: us[method] / us[name] for name in ("eager", "compiled")},
    }


def interleaved_medians(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds a call of each; a repeat calls everyone in turn, often enough to last about 20 ms each."""
    calls: dict[str, int] = {}
    for name, function in contestants.items():
        for _ in range(3):
            function()
        calls[name] = max(1, math.ceil(0.02 / _seconds(function, 1)))
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, function in contestants.items():
            samples[name].append(_seconds(function, calls[name]))
    return {name: float(np.median(values)) for name, values in samples.items()}


def _seconds(function: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def power_grid_model_solver(
    feeder: Feeder, p_kw: np.ndarray, q_kvar: np.ndarray, method: str, threads: int
) -> Callable[[], np.ndarray]:
    """A function that solves the whole batch and returns the voltages [B, n]; building the model is not part of it."""
    import power_grid_model as pgm

    model = pgm.PowerGridModel(_pgm_network(feeder), system_frequency=50.0)
    loads = pgm.initialize_array("update", "sym_load", p_kw.shape)
    loads["id"] = 10_000 + np.arange(feeder.num_buses)[None]
    loads["p_specified"], loads["q_specified"] = p_kw * 1e3, q_kvar * 1e3
    loads["p_specified"][:, feeder.slack] = loads["q_specified"][:, feeder.slack] = 0.0
    branch = ["loading", "p_from", "p_to"]
    outputs = {"node": ["u_pu"], "line": branch, "transformer": branch, "source": ["p"]}
    options = {
        "calculation_method": pgm.CalculationMethod[method],
        "update_data": {"sym_load": loads},
        "threading": -1 if threads == 1 else threads,
        "output_component_types": outputs,
        "error_tolerance": PGM_TOLERANCE,
    }
    return lambda: model.calculate_power_flow(**options)["node"]["u_pu"]


def _pgm_network(feeder: Feeder) -> dict[str, np.ndarray]:
    """power-grid-model's input of a generated feeder: SI units, an ideal source at the slack."""
    import power_grid_model as pgm

    n = feeder.num_buses
    node = pgm.initialize_array("input", "node", n)
    node["id"], node["u_rated"] = np.arange(n), feeder.vn_kv * 1e3
    lines = np.array([e for e, kind in enumerate(feeder.kind) if kind == "line"], dtype=int)
    z_base = feeder.vn_kv[feeder.to_bus[lines]] ** 2 * 1e3 / feeder.s_base_kva
    line = pgm.initialize_array("input", "line", len(lines))
    line["id"], line["from_node"], line["to_node"] = 1000 + lines, feeder.from_bus[lines], feeder.to_bus[lines]
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"] = feeder.r_pu[lines] * z_base, feeder.x_pu[lines] * z_base
    line["c1"] = line["tan1"] = 0.0
    line["i_n"] = feeder.rating_to_kva[lines] / feeder.vn_kv[feeder.to_bus[lines]] / math.sqrt(3)
    source = pgm.initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"] = 5000, feeder.slack, 1
    source["u_ref"], source["sk"] = feeder.v0_pu, 1e20
    load = pgm.initialize_array("input", "sym_load", n)
    load["id"], load["node"], load["status"] = 10_000 + np.arange(n), np.arange(n), 1
    load["type"], load["p_specified"], load["q_specified"] = pgm.LoadGenType.const_power, 0.0, 0.0
    network = {"node": node, "line": line, "transformer": _pgm_transformer(feeder), "source": source}
    return {**network, "sym_load": load}


def _pgm_transformer(feeder: Feeder) -> np.ndarray:
    import power_grid_model as pgm

    sn_kva = feeder.rating_from_kva[0]
    transformer = pgm.initialize_array("input", "transformer", 1)
    values = {
        "id": 4000, "from_node": feeder.from_bus[0], "to_node": feeder.to_bus[0], "from_status": 1, "to_status": 1,
        "u1": feeder.vn_kv[feeder.from_bus[0]] * 1e3, "u2": feeder.vn_kv[feeder.to_bus[0]] * 1e3, "sn": sn_kva * 1e3,
        "uk": math.hypot(feeder.r_pu[0], feeder.x_pu[0]) * sn_kva / feeder.s_base_kva,
        "pk": feeder.r_pu[0] * sn_kva**2 / feeder.s_base_kva * 1e3,
        "i0": math.hypot(feeder.magnetising_g_pu[0], feeder.magnetising_b_pu[0]) * feeder.s_base_kva / sn_kva,
        "p0": feeder.magnetising_g_pu[0] * feeder.s_base_kva * 1e3,
        "winding_from": 1, "winding_to": 1, "clock": 0, "tap_side": 0, "tap_pos": 0, "tap_min": 0, "tap_max": 0,
        "tap_nom": 0, "tap_size": 0.0,
    }  # fmt: skip
    for name, value in values.items():
        transformer[name] = value
    return transformer


def time_pandapower(feeder: Feeder, solves: int) -> float:
    """µs of one ``runpp`` from scratch on a network of this size, median; it has no batch."""
    import pandapower as pp

    net = pp.create_empty_network()
    buses = [int(bus) for bus in pp.create_buses(net, feeder.num_buses, feeder.vn_kv)]
    pp.create_ext_grid(net, buses[feeder.slack], vm_pu=feeder.v0_pu)
    pp.create_transformer(net, buses[0], buses[1], "0.4 MVA 20/0.4 kV")
    for e in range(1, feeder.num_branches):
        pp.create_line(net, buses[int(feeder.from_bus[e])], buses[int(feeder.to_bus[e])], 0.04, "NAYY 4x150 SE")
    for bus in buses[1:]:
        pp.create_load(net, bus, KW_PER_BUS / 2e3, KW_PER_BUS / 8e3)
    samples = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pp.runpp(net, numba=False)
        for _ in range(solves):
            samples.append(_seconds(lambda: pp.runpp(net, numba=False), 1))
    return float(np.median(samples)) * 1e6


def _table(cases: list[dict[str, Any]]) -> Table:
    table = Table(
        title="AC power flow, µs a solve; × power-grid-model's fastest full method",
        caption="pandapower has no batch: one runpp",
    )
    columns = ("buses", "batch", "eager", "compiled", "pgm", "pandapower", "× eager", "× compiled")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for case in cases:
        times = ("eager_us", "compiled_us", "power_grid_model_us", "pandapower_us")
        table.add_row(
            str(case["buses"]),
            str(case["batch"]),
            *(f"{case[name]:,.2f}" if case[name] < 100 else f"{case[name]:,.0f}" for name in times),
            *(f"{case['speedup'][name]:.1f}" for name in ("eager", "compiled")),
        )
    return table
