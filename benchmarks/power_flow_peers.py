"""The peers of the power-flow suite: what solves the suite's loadings of a feeder with power-grid-model, pandapower and
lightsim2grid, each as fast as it can on as many threads."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conversation import Conversation
from benchmarks.peer_environments import FOLDER, interpreter
from benchmarks.peers.feeder_net import TRANSFORMER, network
from smartgrid_core.power_flow import Feeder

PGM_TOLERANCE = 1e-5  # p.u. of voltage between two iterations; ours reach about 1e-6 in four
METHODS = ("iterative_current", "newton_raphson")  # of power-grid-model, those that solve the full equations
HOME = "grid2op"  # the environment lightsim2grid is installed in


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


def pandapower_solver(feeder: Feeder, p_kw: np.ndarray, q_kvar: np.ndarray) -> Callable[[], np.ndarray]:
    """A function that solves the next loading and returns its voltages [n]; pandapower has no batch.

    The model of the network is made once and only its loads change (`recycle`); without numba, as it is installed.
    """
    import pandapower as pp

    net, loads = network(arrays(feeder)), [bus for bus in range(feeder.num_buses) if bus != feeder.slack]
    options: dict[str, Any] = {"numba": False, "check_connectivity": False, "tolerance_mva": 1e-8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pp.runpp(net, **options)
    calls = 0

    def solve() -> np.ndarray:
        nonlocal calls
        k = calls % len(p_kw)
        net.load["p_mw"], net.load["q_mvar"] = p_kw[k, loads] / 1e3, q_kvar[k, loads] / 1e3
        pp.runpp(net, recycle={"bus_pq": True, "trafo": False, "gen": False}, **options)
        calls += 1
        return net.res_bus.vm_pu.to_numpy()

    return solve


@contextmanager
def lightsim2grid_solver(
    feeder: Feeder, p_kw: np.ndarray, q_kvar: np.ndarray
) -> Iterator[tuple[Conversation, np.ndarray]]:
    """A process that solves the whole batch for so much CPU time as it is asked to, and the voltages [B, n] it found.

    Raises:
        RuntimeError: it could not, with its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "feeder.npz", Path(folder) / "voltages.npy"
        np.savez(given, **arrays(feeder), p_kw=p_kw, q_kvar=q_kvar)
        command = [str(interpreter(HOME)), str(FOLDER / "run_lightsim2grid_sweep.py"), str(given), str(found)]
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        talk = Conversation(command, os.environ | one | {"PYTHONPATH": ""})
        try:
            yield talk, np.load(found)
        finally:
            talk.end()


def arrays(feeder: Feeder) -> dict[str, Any]:
    """A generated feeder as `peers.feeder_net` takes it: SI units."""
    lines = np.array([e for e, kind in enumerate(feeder.kind) if kind == "line"], dtype=int)
    to, z_base = feeder.to_bus[lines], feeder.vn_kv[feeder.to_bus[lines]] ** 2 * 1e3 / feeder.s_base_kva
    transformer = _pgm_transformer(feeder)[0]
    values = {
        "hv_bus": feeder.from_bus[0], "lv_bus": feeder.to_bus[0], "sn_mva": transformer["sn"] / 1e6,
        "vn_hv_kv": transformer["u1"] / 1e3, "vn_lv_kv": transformer["u2"] / 1e3,
        "vkr_percent": 100 * transformer["pk"] / transformer["sn"], "vk_percent": 100 * transformer["uk"],
        "pfe_kw": transformer["p0"] / 1e3, "i0_percent": 100 * transformer["i0"],
    }  # fmt: skip
    return {
        "vn_kv": feeder.vn_kv, "slack": feeder.slack, "v0_pu": feeder.v0_pu, "from_bus": feeder.from_bus[lines],
        "to_bus": to, "r_ohm": feeder.r_pu[lines] * z_base, "x_ohm": feeder.x_pu[lines] * z_base,
        "max_i_ka": feeder.rating_to_kva[lines] / feeder.vn_kv[to] / math.sqrt(3) / 1e3,
        "transformer": np.array([float(values[name]) for name in TRANSFORMER]),
    }  # fmt: skip
