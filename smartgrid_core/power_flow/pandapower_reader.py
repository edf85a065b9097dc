"""A radial pandapower net as a :class:`Feeder`, numbers as ``pandapower.runpp`` with its defaults takes them.

Formulas: pandapower's documentation of the elements line, trafo and switch (Thurner et al. 2018,
doi:10.1109/TPWRS.2018.2829021).
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from .feeder import LINE, SWITCH, TRANSFORMER, Feeder, FeederError
from .topology import Branch, Bus, assemble, unique_names

S_BASE_KVA = 100.0
SWITCH_RX_RATIO = 2.0  # runpp's default split of a switch's z_ohm
UNSUPPORTED = (
    "gen", "trafo3w", "impedance", "tcsc", "ward", "xward", "shunt", "dcline", "svc", "ssc", "vsc", "line_dc"
)  # fmt: skip


def read_pandapower(net: Any) -> Feeder:
    """See :meth:`Feeder.from_pandapower`."""
    _raise_on_unsupported(net)
    bus_table = net.bus[net.bus.in_service.astype(bool)]
    names = unique_names(list(bus_table["name"]), "bus", list(bus_table.index))
    buses = [
        Bus(name, float(vn), xy)
        for name, vn, xy in zip(names, bus_table.vn_kv, _positions(net, bus_table), strict=True)
    ]
    if len(buses) < 2:
        raise FeederError(f"the net has {len(buses)} in-service buses; a feeder needs at least 2")
    position = {index: i for i, index in enumerate(bus_table.index)}
    slack, v0_pu = _external_grid(net, position)
    branches = _lines(net, buses, position) + _transformers(net, buses, position) + _bus_switches(net, buses, position)
    names = unique_names([b.name for b in branches], "branch", [b.kind for b in branches])
    for branch, name in zip(branches, names, strict=True):  # a line and a transformer may share a name
        branch.name = name
    title = net.name if isinstance(net.get("name"), str) and net.name else "pandapower net"
    return assemble(title, buses, branches, slack=slack, v0_pu=v0_pu, s_base_kva=S_BASE_KVA)


def _raise_on_unsupported(net: Any) -> None:
    for table in UNSUPPORTED:
        rows = net.get(table)
        if rows is not None and len(rows) and bool(rows.in_service.astype(bool).any()):
            row = rows.index[rows.in_service.astype(bool)][0]
            raise FeederError(
                f"the net has an in-service {table} (row {row}); a feeder is made of lines, "
                "two-winding transformers and switches. Model it as consumption or take it out of service"
            )


def _external_grid(net: Any, position: dict[Any, int]) -> tuple[int, float]:
    rows = net.ext_grid[net.ext_grid.in_service.astype(bool) & net.ext_grid.bus.isin(list(position))]
    if len(rows) != 1:
        found = "no slack bus" if len(rows) == 0 else f"{len(rows)} slack buses"
        raise FeederError(f"the net has {found}; expected exactly one in-service ext_grid")
    return position[rows.bus.iloc[0]], float(rows.vm_pu.iloc[0])


def _positions(net: Any, bus_table: Any) -> list[tuple[float, float] | None]:
    if "geo" in bus_table:
        return [_geojson_point(text) for text in bus_table.geo]
    table = net.get("bus_geodata")
    if table is not None and len(table):
        return [(float(table.x[i]), float(table.y[i])) if i in table.index else None for i in bus_table.index]
    return [None] * len(bus_table)


def _geojson_point(text: object) -> tuple[float, float] | None:
    if not isinstance(text, str) or not text:
        return None
    x, y = json.loads(text)["coordinates"][:2]
    return float(x), float(y)


def _open_ends(net: Any, element_type: str) -> set[tuple[Any, Any]]:
    """(element, bus) of the open switches at lines ("l") or transformers ("t")."""
    rows = net.switch[(net.switch.et == element_type) & ~net.switch.closed.astype(bool)]
    return set(zip(rows.element, rows.bus, strict=True))


def _base_ohm(bus: Bus) -> float:
    return bus.vn_kv**2 * 1e3 / S_BASE_KVA


def _lines(net: Any, buses: list[Bus], position: dict[Any, int]) -> list[Branch]:
    found: list[Branch] = []
    open_ends = _open_ends(net, "l")
    names = unique_names(list(net.line["name"]), "line", list(net.line.index))
    for name, (index, row) in zip(names, net.line.iterrows(), strict=True):
        ends = [b for b in (row.from_bus, row.to_bus) if b in position and (index, b) not in open_ends]
        if not row.in_service or not ends:
            continue
        near, far = buses[position[ends[0]]], buses[position[ends[-1]]]
        if not math.isclose(near.vn_kv, far.vn_kv):
            raise FeederError(f"line {name!r} joins buses of {near.vn_kv} kV and {far.vn_kv} kV; expected one voltage")
        parallel, km, base = float(row.parallel), float(row.length_km), _base_ohm(near)
        z = complex(row.r_ohm_per_km, row.x_ohm_per_km) * km / parallel / base
        omega_c = 2 * math.pi * net.f_hz * row.c_nf_per_km * 1e-9
        half = complex(float(row.get("g_us_per_km", 0.0)) * 1e-6, omega_c) * km * parallel * base / 2
        if len(ends) == 1:  # open at one end: what is left is its charging, seen from the closed end
            near.shunt_pu += half + (1 / (z + 1 / half) if half else 0)
            continue
        rating_ka = float(row.max_i_ka) * float(row.get("df", 1.0)) * parallel
        if not rating_ka > 0:
            raise FeederError(f"line {name!r}: max_i_ka × df × parallel = {rating_ka:g} kA, expected a rating > 0")
        rating = math.sqrt(3) * near.vn_kv * rating_ka * 1e3
        i, j = position[row.from_bus], position[row.to_bus]
        found.append(Branch(name, LINE, i, j, z, rating, rating, charging_pu=half))
    return found


def _transformers(net: Any, buses: list[Bus], position: dict[Any, int]) -> list[Branch]:
    found: list[Branch] = []
    open_ends = _open_ends(net, "t")
    names = unique_names(list(net.trafo["name"]), "transformer", list(net.trafo.index))
    for name, (index, row) in zip(names, net.trafo.iterrows(), strict=True):
        ends = [b for b in (row.hv_bus, row.lv_bus) if b in position and (index, b) not in open_ends]
        if not row.in_service or not ends:
            continue
        if bool(row.get("tap_dependency_table", False)):
            raise FeederError(f"transformer {name!r} uses a tap dependency table; expected a fixed vk_percent")
        if any(not math.isclose(float(row.get(c, 0.5)), 0.5) for c in _LEAKAGE_RATIOS if c in row.index):
            raise FeederError(f"transformer {name!r}: leakage ratios other than 0.5 are not supported")
        if not (row.sn_mva > 0 and row.vk_percent > 0):
            raise FeederError(
                f"transformer {name!r}: sn_mva = {row.sn_mva}, vk_percent = {row.vk_percent}; expected > 0"
            )
        hv_kv, lv_kv = (
            buses[position[bus]].vn_kv if bus in position else float(rated)
            for bus, rated in ((row.hv_bus, row.vn_hv_kv), (row.lv_bus, row.vn_lv_kv))
        )
        branch = _transformer(row, name, hv_kv, lv_kv)
        if len(ends) == 1:  # open on one side: its no-load branch behind half its impedance
            if branch.magnetising_pu:
                at_lv = 1 / (branch.z_pu / 2 + 1 / branch.magnetising_pu)
                hv_open = ends[0] == row.lv_bus
                buses[position[ends[0]]].shunt_pu += at_lv if hv_open else at_lv / branch.ratio**2
            continue
        branch.from_bus, branch.to_bus = position[row.hv_bus], position[row.lv_bus]
        found.append(branch)
    return found


_LEAKAGE_RATIOS = ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv")


def _transformer(row: Any, name: str, hv_bus_kv: float, lv_bus_kv: float) -> Branch:
    hv_kv, lv_kv = _tapped_voltages(row)
    parallel, sn_kva = float(row.parallel), float(row.sn_mva) * 1e3
    per_base = (lv_kv / lv_bus_kv) ** 2 * S_BASE_KVA / sn_kva / parallel / 100
    z = complex(row.vkr_percent, math.sqrt(row.vk_percent**2 - row.vkr_percent**2)) * per_base
    core_kva = float(row.i0_percent) / 100 * sn_kva
    susceptance_kva = -math.sqrt(max(core_kva**2 - float(row.pfe_kw) ** 2, 0.0))
    magnetising = complex(float(row.pfe_kw), susceptance_kva) * parallel / S_BASE_KVA * (lv_bus_kv / lv_kv) ** 2
    rated = sn_kva * parallel * float(row.df)
    if not rated > 0:
        raise FeederError(f"transformer {name!r}: sn_mva × parallel × df = {rated / 1e3:g} MVA, expected > 0")
    ratio = (hv_kv / hv_bus_kv) / (lv_kv / lv_bus_kv)
    rating_hv, rating_lv = rated * hv_bus_kv / float(row.vn_hv_kv), rated * lv_bus_kv / float(row.vn_lv_kv)
    return Branch(name, TRANSFORMER, -1, -1, z, rating_hv, rating_lv, ratio, magnetising_pu=magnetising)


def _tapped_voltages(row: Any) -> tuple[float, float]:
    """kV, rated voltages at the tap position; like pandapower, blind to a tap without tap_changer_type."""
    rated = {"hv": float(row.vn_hv_kv), "lv": float(row.vn_lv_kv)}
    for t in ("", "2"):
        kind, side = row.get(f"tap{t}_changer_type"), row.get(f"tap{t}_side")
        if kind not in ("Ratio", "Symmetrical") or side not in rated:
            continue
        steps = float(row.get(f"tap{t}_pos")) - float(row.get(f"tap{t}_neutral"))
        change = np.nan_to_num(steps * float(row.get(f"tap{t}_step_percent")) / 100)
        angle = np.nan_to_num(float(row.get(f"tap{t}_step_degree", 0.0) or 0.0))
        rated[side] *= abs(1 + change * np.exp(1j * math.radians(float(angle))))
    return float(rated["hv"]), float(rated["lv"])


def _bus_switches(net: Any, buses: list[Bus], position: dict[Any, int]) -> list[Branch]:
    """Closed switches between two buses: branches without impedance, without a limit."""
    found: list[Branch] = []
    rows = net.switch[(net.switch.et == "b") & net.switch.closed.astype(bool)]
    rows = rows[rows.bus.isin(list(position)) & rows.element.isin(list(position))]
    names = unique_names(list(rows["name"]), "switch", list(rows.index)) if len(rows) else []
    for name, (_, row) in zip(names, rows.iterrows(), strict=True):
        i, j = position[row.bus], position[row.element]
        z_ohm = float(np.nan_to_num(row.get("z_ohm", 0.0)))
        r_ohm = z_ohm * SWITCH_RX_RATIO / math.hypot(1.0, SWITCH_RX_RATIO)
        z = complex(r_ohm, r_ohm / SWITCH_RX_RATIO) / _base_ohm(buses[i])
        found.append(Branch(name, SWITCH, i, j, z, math.inf, math.inf))
    return found
