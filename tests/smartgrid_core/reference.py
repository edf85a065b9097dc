"""The whole step for one community, one prosumer and one link at a time, in plain float64.

Written from the description of the step (transfers, trade, battery, imbalance, network, stability, settlement,
rewards, observations), not from the simulator. Powers in kW, energies in kWh, money in EUR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from smartgrid_core.config import GridConfig
from smartgrid_core.power_flow import Feeder
from tests.smartgrid_core.reference_network import Flow, solve

EPSILON = 1e-6


@dataclass
class Prosumer:
    """What does not change during an episode."""

    capacity_kwh: float
    charge_kw: float
    discharge_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    soc_min_kwh: float
    soc_max_kwh: float
    trade_kw: float
    bus: int
    neighbours: list[int | None]  # per slot, None where unused


@dataclass
class Community:
    config: GridConfig
    feeder: Feeder
    prosumers: list[Prosumer]
    impedance_scale: float = 1.0


@dataclass
class Moment:
    """What the world says of a step."""

    demand_kw: list[float]
    generation_kw: list[float]
    import_price: float
    export_price: float
    islanded: bool = False
    open_branches: frozenset[int] = frozenset()


@dataclass
class Outcome:
    ledger: dict[str, list[float]]
    transfers_kw: list[list[float]]  # [N][K]
    imbalance_kw: list[float]
    injection_kw: list[float]
    soc_kwh: list[float]
    flow: Flow
    loss_kw: float
    loss_share_kw: list[float]
    stability: float
    stability_parts: dict[str, float]
    cost_eur: list[float]
    transfer_cost_eur: list[float]
    rewards: dict[str, list[float]]
    reward: list[float]
    energised: list[bool]


def clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def limits(p: Prosumer, soc_kwh: float, h: float) -> tuple[float, float]:
    """Most power the battery can take and give at the meter, kW."""
    room = max(p.soc_max_kwh - soc_kwh, 0.0) / (p.charge_efficiency * h)
    content = max(soc_kwh - p.soc_min_kwh, 0.0) * p.discharge_efficiency / h
    if p.capacity_kwh == 0.0:
        return 0.0, 0.0
    return min(p.charge_kw, room), min(p.discharge_kw, content)


def wishes(c: Community, action: np.ndarray) -> list[list[float]]:
    """Link actions in kW, what cannot be read as a number counted as 0."""
    return [[clip(a, -1.0, 1.0) * c.config.links.rating_kw if math.isfinite(a) else 0.0 for a in row] for row in action]


def transfers(c: Community, x: list[list[float]], energised: list[bool]) -> list[list[float]]:
    """Flow into i from the neighbour in slot k."""
    n, slots = len(c.prosumers), len(c.prosumers[0].neighbours)
    y = [[0.0] * slots for _ in range(n)]
    for i in range(n):
        for k, j in enumerate(c.prosumers[i].neighbours):
            if j is None or not (energised[i] and energised[j]):
                continue
            mine, theirs = x[i][k], x[j][c.prosumers[j].neighbours.index(i)]
            if c.config.transfer_rule == "average":
                y[i][k] = (mine - theirs) / 2
            elif mine > 0 and theirs < 0:
                y[i][k] = min(mine, -theirs)
            elif mine < 0 and theirs > 0:
                y[i][k] = -min(-mine, theirs)
    return y


def island_caps(c: Community, y: list[list[float]], m: Moment, bounds: list[tuple[float, float]]) -> list[list[float]]:
    """Nobody sends what it cannot make, nobody accepts what it cannot use."""
    n = len(y)
    give, take = [1.0] * n, [1.0] * n
    for i in range(n):
        offered, accepted = -sum(v for v in y[i] if v < 0), sum(v for v in y[i] if v > 0)
        if offered > 0:
            give[i] = min(1.0, (m.generation_kw[i] + bounds[i][1]) / offered)
        if accepted > 0:
            take[i] = min(1.0, (m.demand_kw[i] + bounds[i][0]) / accepted)
    scaled = [list(row) for row in y]
    for i in range(n):
        for k, j in enumerate(c.prosumers[i].neighbours):
            if j is not None:
                sender, receiver = (j, i) if y[i][k] > 0 else (i, j)
                scaled[i][k] = y[i][k] * min(give[sender], take[receiver])
    return scaled


def order(c: Community, p: Prosumer, residual: float, a: float, bounds: tuple[float, float]) -> float:
    """What is ordered from (> 0) or to (< 0) the utility."""
    a = clip(a, -1.0, 1.0) if math.isfinite(a) else 0.0
    if c.config.trade_mode == "absolute":
        return a * p.trade_kw
    charge, discharge = bounds
    follow = clip(residual, -discharge, charge)
    largest = max(p.charge_kw, p.discharge_kw) if p.capacity_kwh > 0 else 0.0
    target = clip(follow + a * largest, -discharge, charge)
    return clip(target - residual, -p.trade_kw, p.trade_kw)


def step(c: Community, soc: list[float], action: np.ndarray, m: Moment) -> Outcome:
    """One step; action [N, K + 1]."""
    n, h = len(c.prosumers), c.config.step_h
    bounds = [limits(p, s, h) for p, s in zip(c.prosumers, soc, strict=True)]
    dead = _dead_buses(c, m)
    energised = [not dead[p.bus] for p in c.prosumers]
    y = transfers(c, wishes(c, action[:, :-1]), energised)
    if m.islanded:
        y = island_caps(c, y, m, bounds)
    names = (
        "generation",
        "demand",
        "bought",
        "sold",
        "received",
        "sent",
        "charge",
        "discharge",
        "unserved",
        "curtailed",
    )
    ledger: dict[str, list[float]] = {name: [0.0] * n for name in names}
    soc_after, imbalance, injection = [0.0] * n, [0.0] * n, [0.0] * n
    for i, p in enumerate(c.prosumers):
        d, g = m.demand_kw[i], m.generation_kw[i]
        residual = g - d + sum(y[i])
        connected = energised[i] and not m.islanded
        u = order(c, p, residual, float(action[i, -1]), bounds[i]) if connected else 0.0
        wanted = residual + u
        battery = clip(wanted, -bounds[i][1], bounds[i][0])
        left = wanted - battery
        short, long = max(-left, 0.0), max(left, 0.0)
        imbalance[i] = left
        soc_after[i] = soc[i] + h * (battery * p.charge_efficiency if battery > 0 else battery / p.discharge_efficiency)
        row = {
            "generation": g, "demand": d, "charge": max(battery, 0.0), "discharge": max(-battery, 0.0),
            "received": sum(v for v in y[i] if v > 0), "sent": -sum(v for v in y[i] if v < 0),
            "bought": max(u, 0.0) + short if connected else 0.0, "sold": max(-u, 0.0) + long if connected else 0.0,
            "unserved": 0.0 if connected else short, "curtailed": 0.0 if connected else long,
        }  # fmt: skip
        for name, value in row.items():
            ledger[name][i] = value
        injection[i] = row["sent"] + row["sold"] - row["received"] - row["bought"]  # what passes the meter
    flow, loss = _network(c, m, injection, ledger)
    total = sum(abs(v) for v in injection)
    share = [loss * abs(v) / total if total > 0 else loss / n for v in injection]
    parts, stability = _stability(c, m, flow, soc_after, imbalance)
    cost, transfer_cost = _bill(c, m, ledger, y, imbalance, energised, share)
    rewards = _rewards(c, m, ledger, bounds, share, cost, stability)
    w = c.config.rewards
    reward = [
        w.stability * rewards["stability"][i] + w.efficiency * rewards["efficiency"][i]
        + w.cost * rewards["cost"][i] + w.cooperation * rewards["cooperation"][i]
        for i in range(n)
    ]  # fmt: skip
    return Outcome(
        ledger, y, imbalance, injection, soc_after, flow, loss, share, stability, parts, cost, transfer_cost, rewards,
        reward, energised,
    )  # fmt: skip


def _dead_buses(c: Community, m: Moment) -> list[bool]:
    """Buses that an open branch cuts off (islanding itself leaves prosumers on the island's busbar)."""
    alive = [False] * c.feeder.num_buses
    alive[c.feeder.slack] = True
    for _ in range(c.feeder.num_buses):
        for e in range(c.feeder.num_branches):
            if e not in m.open_branches and alive[int(c.feeder.from_bus[e])]:
                alive[int(c.feeder.to_bus[e])] = True
    return [not a for a in alive]


def _network(c: Community, m: Moment, injection: list[float], ledger: dict[str, list[float]]) -> tuple[Flow, float]:
    feeder = c.feeder
    if not c.config.network.power_flow:
        ones = np.ones(feeder.num_buses)
        total = -sum(injection)
        flow = Flow(ones, np.zeros(feeder.num_branches), 0.0, total, total, [True] * feeder.num_buses, True)
        return flow, 0.0
    ratio = math.tan(math.acos(c.config.network.power_factor))
    p: dict[int, float] = {}
    q: dict[int, float] = {}
    for i, prosumer in enumerate(c.prosumers):
        served = ledger["demand"][i] - ledger["unserved"][i]
        p[prosumer.bus] = p.get(prosumer.bus, 0.0) - injection[i]
        q[prosumer.bus] = q.get(prosumer.bus, 0.0) + served * ratio
    flow = solve(feeder, p, q, c.impedance_scale, m.open_branches, m.islanded)
    healthy = flow.solved and all(v > 0.7 for v, on in zip(flow.voltage_pu, flow.energised, strict=True) if on)
    flow.solved = healthy
    return flow, flow.loss_kw if healthy else min(flow.loss_kw, sum(abs(v) for v in injection))


def _stability(
    c: Community, m: Moment, flow: Flow, soc: list[float], imbalance: list[float]
) -> tuple[dict[str, float], float]:
    band = c.config.network.voltage_band_pu
    seen = [clip(abs(v - 1) / band, 0, 1) for v, on in zip(flow.voltage_pu, flow.energised, strict=True) if on]
    voltage = 1 - sum(seen) / len(seen) if flow.solved else 0.0
    loading = 1 - clip((max(flow.loading) - 0.8) / 0.4, 0, 1) if flow.solved else 0.0
    turned_over = sum(m.demand_kw) + sum(m.generation_kw) + EPSILON
    balance = 1 - clip(sum(abs(v) for v in imbalance) / turned_over, 0, 1)
    fractions = [s / p.capacity_kwh for s, p in zip(soc, c.prosumers, strict=True) if p.capacity_kwh > 0]
    reserve = sum(clip(min(f, 1 - f) / 0.1, 0, 1) for f in fractions) / len(fractions) if fractions else 1.0
    parts = {"voltage": voltage, "loading": loading, "balance": balance, "reserve": reserve}
    weights = {name: getattr(c.config.stability, name) for name in parts}
    return parts, sum(weights[k] * parts[k] for k in parts) / sum(weights.values())


def _bill(
    c: Community, m: Moment, ledger: dict[str, list[float]], y: list[list[float]], imbalance: list[float],
    energised: list[bool], share: list[float],
) -> tuple[list[float], list[float]]:  # fmt: skip
    tariff, h = c.config.tariff, c.config.step_h
    middle = (m.import_price + m.export_price) / 2
    dear = max(m.import_price, m.export_price) + tariff.imbalance_penalty_eur_per_kwh
    cheap = min(m.import_price, m.export_price) - tariff.imbalance_penalty_eur_per_kwh
    cost, between = [], []
    for i in range(len(y)):
        connected = energised[i] and not m.islanded
        short, long = max(-imbalance[i], 0.0), max(imbalance[i], 0.0)
        eur = 0.0
        if connected:
            eur += (ledger["bought"][i] - short) * m.import_price - (ledger["sold"][i] - long) * m.export_price
            eur += short * dear - long * cheap
        else:
            eur += short * tariff.lost_load_eur_per_kwh
        eur += share[i] * max(m.import_price, 0.0)
        between.append(h * sum(y[i]) * middle)
        cost.append(h * eur + between[-1])
    return cost, between


def _rewards(
    c: Community, m: Moment, ledger: dict[str, list[float]], bounds: list[tuple[float, float]], share: list[float],
    cost: list[float], stability: float,
) -> dict[str, list[float]]:  # fmt: skip
    n, h = len(cost), c.config.step_h
    value = max(m.import_price, 0.0)
    given, helped, forwarded, efficiency = [], 0.0, 0.0, []
    for i, p in enumerate(c.prosumers):
        net = ledger["sent"][i] - ledger["received"][i]
        given.append(max(net - ledger["bought"][i] - ledger["unserved"][i], 0.0))
        forwarded += max(net, 0.0) - given[-1]
        need = max(m.demand_kw[i] - m.generation_kw[i] - bounds[i][1], 0.0)
        helped += min(max(-net, 0.0), need)
        conversion = ledger["charge"][i] * (1 - p.charge_efficiency)
        conversion += ledger["discharge"][i] * (1 / p.discharge_efficiency - 1)
        efficiency.append(-h * value * (share[i] + conversion + ledger["curtailed"][i]))
    # forwarded purchases count as what helped first, gifts after them
    part = clip((helped - forwarded) / sum(given), 0.0, 1.0) if sum(given) > 0 else 0.0
    return {
        "stability": [stability - 1] * n, "efficiency": efficiency, "cost": [-v for v in cost],
        "cooperation": [v * part * value * h for v in given],
    }  # fmt: skip
