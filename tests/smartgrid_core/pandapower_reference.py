"""pandapower as the reference: the same network, the same consumption, every quantity by name."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn

from smartgrid_core.power_flow import Feeder
from smartgrid_core.power_flow.simbench_reader import cache_path, simbench_net
from smartgrid_core.power_flow.topology import unique_names

SIMBENCH_CODES = [
    f"1-LV-{grid}--{scenario}-sw"
    for grid in ("rural1", "rural2", "rural3", "semiurb4", "semiurb5", "urban6")
    for scenario in (0, 1, 2)
]
NETWORKS = (
    "case33bw",
    "create_cigre_network_lv",
    "create_kerber_landnetz_freileitung_1",
    "create_kerber_landnetz_kabel_2",
    "create_kerber_dorfnetz",
)
CONSUMERS = ("load", "sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen")


@dataclass
class Reference:
    """pandapower's answer in our units and names."""

    voltage_pu: np.ndarray  # [n]
    loading: dict[str, float]  # by branch name, fraction
    loss_kw: float
    slack_kw: float


def network(name: str) -> Any:
    """A pandapower net by the name of its constructor or its SimBench code, without consumers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = _cached_simbench(name) if name.startswith("1-LV-") else getattr(pn, name)()
    for table in CONSUMERS:
        if table in net and len(net[table]):
            net[table].drop(net[table].index, inplace=True)
    return net


def _cached_simbench(code: str) -> Any:
    """The net from a file beside the feeders' cache: SimBench takes 5–30 s to extract it."""
    path = cache_path(code).with_name(f"net-{code}.json")
    if not path.exists():
        net = simbench_net(code)
        keep = ("bus", "line", "trafo", "switch", "ext_grid")
        slim = pp.create_empty_network(name=code, f_hz=net.f_hz, sn_mva=net.sn_mva)
        for table in keep:
            slim[table] = net[table]
        path.parent.mkdir(parents=True, exist_ok=True)
        pp.to_json(slim, str(path))
    return pp.from_json(str(path))


def random_consumption(
    feeder: Feeder, rated_kva: float, seed: int, share: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """p, q [n] kW and kvar: consumers and some generators, Σ|p| a share of the rated power."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(-0.3, 1.0, feeder.num_buses)
    p[feeder.slack] = 0.0
    p *= share * rated_kva / np.abs(p).sum()
    return p, p * rng.uniform(-0.1, 0.4, feeder.num_buses)


def own_consumption(name: str) -> tuple[np.ndarray, np.ndarray]:
    """p, q [n] kW and kvar of the loads a pandapower net comes with."""
    net = getattr(pn, name)()
    loads = net.load.groupby("bus")[["p_mw", "q_mvar"]].sum().reindex(net.bus.index, fill_value=0.0) * 1e3
    return loads.p_mw.to_numpy(), loads.q_mvar.to_numpy()


def rated_kva(net: Any) -> float:
    """kVA of the transformers; without any, the load of the IEEE 33-bus feeder."""
    return float((net.trafo.sn_mva * net.trafo.parallel).sum() * 1e3) if len(net.trafo) else 4000.0


def solve(net: Any, p_kw: np.ndarray, q_kvar: np.ndarray) -> Reference:
    """Newton-Raphson to 1e-10 MVA; the shortest cables of SimBench leave round-off above 1e-12."""
    net.load.drop(net.load.index, inplace=True)
    buses = net.bus.index[net.bus.in_service]
    pp.create_loads(net, buses, p_kw / 1e3, q_kvar / 1e3)
    pp.runpp(
        net,
        algorithm="nr",
        tolerance_mva=1e-10,
        max_iteration=50,
        numba=False,
        calculate_voltage_angles=False,
    )
    loading: dict[str, float] = {}
    loss_mw = 0.0
    for table, prefix in (("line", "line"), ("trafo", "transformer")):
        names = unique_names(list(net[table]["name"]), prefix, list(net[table].index))
        result = net[f"res_{table}"]
        loading.update(zip(names, result.loading_percent / 100, strict=True))
        loss_mw += result.pl_mw.sum()
    return Reference(
        net.res_bus.vm_pu[buses].to_numpy(), loading, loss_mw * 1e3, float(net.res_ext_grid.p_mw.sum()) * 1e3
    )
