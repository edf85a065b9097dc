"""What the reference needs of a simulator's grid: its constants, the world of a step, what prosumers should observe.

Values come from the configuration and the profiles' arrays; only what a grid draws by lot (ranges, columns, jitter,
event windows) is read from the simulator.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from smartgrid_core.simulator import Simulator
from smartgrid_core.types import Plan, State
from tests.smartgrid_core.reference import Community, Moment, Prosumer

DRAWN = ("capacity_kwh", "charge_kw", "discharge_kw", "charge_efficiency", "discharge_efficiency")


def community(sim: Simulator, grid: int) -> Community:
    """Constants of one grid."""
    prosumers = []
    for i, agent in enumerate(sim.config.agents):
        values = {name: _drawn(sim, name, getattr(agent.battery, name), i, grid) for name in DRAWN}
        neighbours = [int(sim.links.neighbour[k, i]) if sim.links.used[k, i] else None for k in range(sim.num_slots)]
        capacity = values["capacity_kwh"]
        prosumers.append(
            Prosumer(
                **values, soc_min_kwh=agent.battery.soc_min * capacity, soc_max_kwh=agent.battery.soc_max * capacity,
                trade_kw=_drawn(sim, "trade_kw", _trade_kw(sim, i), i, grid), bus=int(sim.agent_bus[i]),
                neighbours=neighbours,
            )
        )  # fmt: skip
    low, high = sim.config.network.impedance_scale
    scale = low if low == high else float(sim.params.impedance_scale[grid])
    return Community(sim.config, sim.feeder, prosumers, scale)


def _drawn(sim: Simulator, name: str, limits: tuple[float, float], i: int, grid: int) -> float:
    return limits[0] if limits[0] == limits[1] else float(getattr(sim.params, name)[i, grid])


def _trade_kw(sim: Simulator, i: int) -> tuple[float, float]:
    """What was said of a prosumer's connection, or one value for all grids: of its roof's and its data's peaks."""
    said = sim.config.agents[i].trade_kw
    if said is not None:
        return said
    agent, p, limit_kw = sim.config.agents[i], sim.table.profiles, 8.0
    low, high = agent.solar.capacity_kwp if agent.solar else (1.0, 1.0)
    most = float(p.generation_scale[i]) * (2 * high / (low + high) if high else 1.0)
    known = p.split_of_step == 0 if sim.config.profiles.hold_out else p.split_of_step >= 0
    split = "train" if sim.config.profiles.hold_out else "all"
    for column in set(p.generation_pool[split][:, i]):
        limit_kw = max(limit_kw, math.ceil(most * p.generation[column][known].max()))
    if sim.config.profiles.source == "synthetic":
        return limit_kw, limit_kw
    low, high = agent.annual_demand_kwh or (1.0, 1.0)
    most = float(p.demand_scale[i]) * agent.demand_scale[1] * (2 * high / (low + high) if high else 1.0)
    for column in set(p.demand_pool[split][:, i]):
        limit_kw = max(limit_kw, math.ceil(most * p.demand[column][known].max()))
    return limit_kw, limit_kw


def _plan(sim: Simulator, state: State) -> Plan:
    return sim.episodes.plan(sim.params, state.key, state.episode)


def moment(sim: Simulator, state: State, grid: int) -> Moment:
    """Demand, generation, prices and outages of the step about to be taken."""
    config, profiles = sim.config, sim.table.profiles
    row, step = int(state.row[grid]), int(state.step[grid])
    plan, demand, generation = _plan(sim, state), [], []
    for i, (d, g) in enumerate(factors(sim, state, grid)):
        demand.append(d * float(profiles.demand[int(plan.demand_column[i, grid]), row]))
        generation.append(g * float(profiles.generation[int(plan.generation_column[i, grid]), row]))
    buy, sell = price(sim, row, grid)
    islanded, broken = False, set()
    for e, event in enumerate(config.events):
        if not int(plan.event_start[e, grid]) <= step < int(plan.event_end[e, grid]):
            continue
        if event.kind == "islanding":
            islanded = True
        elif event.kind == "branch_outage":
            broken.add(int(plan.event_branch[e, grid]))
        elif event.kind == "price_spike":
            buy += event.import_adder_eur_per_kwh
        elif event.kind == "demand_surge":
            demand = [v * event.factor for v in demand]
        else:
            generation = [v * event.factor for v in generation]
    return Moment(demand, generation, buy, sell, islanded, frozenset(broken))


def factors(sim: Simulator, state: State, grid: int) -> list[tuple[float, float]]:
    """kW per unit of the demand and the generation column of every prosumer in this episode."""
    profiles, plan, out = sim.table.profiles, _plan(sim, state), []
    for i, agent in enumerate(sim.config.agents):
        annual, solar = agent.annual_demand_kwh or (1.0, 1.0), agent.solar.capacity_kwp if agent.solar else (1.0, 1.0)
        d = float(profiles.demand_scale[i]) * agent.demand_scale[0]
        g = float(profiles.generation_scale[i])
        if annual[0] != annual[1] or agent.demand_scale[0] != agent.demand_scale[1]:
            d = float(sim.params.demand_scale[i, grid])
        if solar[0] != solar[1]:
            g = float(sim.params.generation_scale[i, grid])
        out.append((d * float(plan.demand_jitter[i, grid]), g * float(plan.generation_jitter[i, grid])))
    return out


def price(sim: Simulator, row: int, grid: int) -> tuple[float, float]:
    """Prices of a time row without events."""
    config, profiles = sim.config, sim.table.profiles
    low, high = config.tariff.level
    level = low if low == high else float(sim.params.price_level[grid])
    if profiles.import_price is not None and profiles.export_price is not None:
        return level * float(profiles.import_price[row]), level * float(profiles.export_price[row])
    hour = 24 * (row % config.steps_per_day) / config.steps_per_day
    buy, sell = config.tariff.import_eur_per_kwh, config.tariff.export_eur_per_kwh
    for band in config.tariff.bands:
        span = (band.to_hour - band.from_hour) % 24 or 24
        if (hour - band.from_hour) % 24 < span:
            buy = buy if band.import_eur_per_kwh is None else band.import_eur_per_kwh
            sell = sell if band.export_eur_per_kwh is None else band.export_eur_per_kwh
    return level * buy, level * sell


def observation(
    sim: Simulator, c: Community, state: State, grid: int, stability: float, voltage: list[float],
    energised: list[bool],
) -> list[dict[str, float]]:  # fmt: skip
    """What each prosumer sees before the step that `state` is about to take, by entry name."""
    config, now = sim.config, moment(sim, state, grid)
    n, row = config.num_agents, int(state.row[grid])
    scale = [max(p.trade_kw, 1.0) for p in c.prosumers]
    soc = [
        float(state.soc_kwh[grid, i]) / p.capacity_kwh if p.capacity_kwh > 0 else 0.0 for i, p in enumerate(c.prosumers)
    ]
    edges = (0, *config.window_edges_steps)
    hours = (0.0, *config.forecast.window_edges_h)
    names = [f"{a:g}-{b:g}h" for a, b in pairwise(hours)]
    windows = [(name, _ahead(sim, row, a, b)) for name, (a, b) in zip(names, pairwise(edges), strict=True)]
    factor = factors(sim, state, grid)
    plan = _plan(sim, state)
    columns = [(int(plan.demand_column[i, grid]), int(plan.generation_column[i, grid])) for i in range(n)]
    expected = {kind: sim.table.forecast(kind, config.forecast.kind) for kind in ("demand", "generation")}
    forecast = {
        w: [
            factor[i][1] * float(expected["generation"][columns[i][1], rows].mean(dtype=np.float64))
            - factor[i][0] * float(expected["demand"][columns[i][0], rows].mean(dtype=np.float64))
            for i in range(n)
        ]
        for w, rows in windows
    }
    ahead = {w: np.mean([price(sim, int(r), grid) for r in rows], axis=0) for w, rows in windows}
    stamp = sim.table.profiles.start + np.timedelta64(row * config.step_minutes, "m")
    day = (stamp - stamp.astype("datetime64[D]")) / np.timedelta64(1, "D")
    year = (stamp - stamp.astype("datetime64[Y]")) / np.timedelta64(1, "D") / 365.25
    top, band = sim.table.price_scale, config.network.voltage_band_pu
    shared = {
        "stability": stability, "connected": float(not now.islanded), "import_price": now.import_price / top,
        "export_price": now.export_price / top,
        "sin_day": math.sin(2 * math.pi * day), "cos_day": math.cos(2 * math.pi * day),
        "sin_year": math.sin(2 * math.pi * year), "cos_year": math.cos(2 * math.pi * year),
    }  # fmt: skip
    for w, _ in windows:
        shared[f"import_price_{w}"], shared[f"export_price_{w}"] = ahead[w] / top
        shared[f"community_forecast_{w}"] = sum(forecast[w]) / sum(scale)
    out = []
    for i in range(n):
        own = {
            "soc": soc[i], "demand": now.demand_kw[i] / scale[i], "generation": now.generation_kw[i] / scale[i],
            "energised": float(energised[i]), "voltage": (voltage[i] - 1) / band,
            **{f"net_forecast_{w}": forecast[w][i] / scale[i] for w, _ in windows},
        }  # fmt: skip
        for k, j in enumerate(c.prosumers[i].neighbours):
            net = 0.0 if j is None else (now.generation_kw[j] - now.demand_kw[j]) / scale[j]
            own[f"neighbour_{k}_soc"], own[f"neighbour_{k}_net"] = 0.0 if j is None else soc[j], net
        for name, size in (
            ("capacity", "capacity_kwh"),
            ("charge_limit", "charge_kw"),
            ("discharge_limit", "discharge_kw"),
        ):
            ranges = [getattr(p.battery, size) for p in config.prosumers]
            if any(low != high for low, high in ranges):  # drawn per grid: nothing else tells of it
                own[name] = getattr(c.prosumers[i], size) / scale[i]
        out.append({name: min(max(v, -10.0), 10.0) for name, v in (shared | own).items()})
    return out


def _ahead(sim: Simulator, row: int, first: int, last: int) -> np.ndarray:
    """Rows (row + first, row + last]; beyond the block the same time of its last day."""
    block = sim.table.profiles.block
    end = int(np.flatnonzero(block == block[row])[-1]) + 1
    day = sim.config.steps_per_day
    return np.array([r if r < end else end - day + (r - end) % day for r in range(row + first + 1, row + last + 1)])
