"""AC power flow of one loading in complex128: backward and forward sweeps over the feeder's branch list.

Independent of the simulator's solver: no path matrix, no reduction, one node and one branch at a time, iterated until
nothing moves. Voltages and currents are referred to the slack side (see `Feeder`), in p.u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smartgrid_core.power_flow import Feeder

V_FLOOR = 0.7  # p.u.; below it a consumer is the impedance that draws its power at the floor


@dataclass
class Flow:
    voltage_pu: np.ndarray  # [n], 0 where dead
    loading: np.ndarray  # [M] fraction
    loss_kw: float
    slack_kw: float  # v0 · Re ΣI at the reference
    sum_kw: float  # consumption and losses added up; equals slack_kw when converged
    energised: list[bool]  # [n]
    solved: bool


def solve(
    feeder: Feeder, p_kw: dict[int, float], q_kvar: dict[int, float], impedance_scale: float = 1.0,
    open_branches: frozenset[int] = frozenset(), islanded: bool = False,
) -> Flow:  # fmt: skip
    """Consumption by bus index; an island hangs on the far bus of branch 0."""
    n, M, base = feeder.num_buses, feeder.num_branches, feeder.s_base_kva
    root = int(feeder.to_bus[0]) if islanded else feeder.slack
    scale = [float(s) for s in feeder.voltage_scale]
    order, energised = _walk(feeder, root, open_branches, islanded)
    z = [complex(feeder.r_pu[e], feeder.x_pu[e]) * impedance_scale for e in range(M)]
    charging = [complex(feeder.charging_g_pu[e], feeder.charging_b_pu[e]) for e in range(M)]
    core = [complex(feeder.magnetising_g_pu[e], feeder.magnetising_b_pu[e]) for e in range(M)]
    shunt = [complex(feeder.bus_shunt_g_pu[i], feeder.bus_shunt_b_pu[i]) for i in range(n)]
    for e in range(M):
        for end in (int(feeder.from_bus[e]), int(feeder.to_bus[e])):
            shunt[end] += charging[e]
    source = complex(feeder.v0_pu / scale[root])
    v = [source] * n
    mid = [source] * M
    into, out = [0j] * M, [0j] * M  # series current at the near and the far end of a branch
    solved, current = False, [0j] * n
    for _ in range(1000):
        current = [0j] * n
        for i in range(n):
            if energised[i]:
                s = complex(p_kw.get(i, 0.0), q_kvar.get(i, 0.0)) / base
                size = abs(v[i] * scale[i])
                drawn = (s / v[i]).conjugate() if size >= V_FLOOR else s.conjugate() * v[i] * scale[i] ** 2 / V_FLOOR**2
                current[i] = drawn + shunt[i] * v[i]
        for e in reversed(order):
            out[e] = current[int(feeder.to_bus[e])]
            into[e] = out[e] + core[e] * mid[e]
            current[int(feeder.from_bus[e])] += into[e]
        moved = 0.0
        for e in order:
            near, far = int(feeder.from_bus[e]), int(feeder.to_bus[e])
            mid[e] = v[near] - 0.5 * z[e] * into[e]
            new = mid[e] - 0.5 * z[e] * out[e]
            moved = max(moved, abs(new - v[far]))
            v[far] = new
        if moved < 1e-12:
            solved = True
            break
    loading, loss = np.zeros(M), 0.0
    for e in order:
        near, far = int(feeder.from_bus[e]), int(feeder.to_bus[e])
        i_near, i_far = into[e] + charging[e] * v[near], out[e] - charging[e] * v[far]
        loading[e] = max(
            abs(i_near) / scale[near] * base / float(feeder.rating_from_kva[e]),
            abs(i_far) / scale[far] * base / float(feeder.rating_to_kva[e]),
        )
        loss += 0.5 * z[e].real * (abs(into[e]) ** 2 + abs(out[e]) ** 2) + core[e].real * abs(mid[e]) ** 2
    loss += sum(shunt[i].real * abs(v[i]) ** 2 for i in range(n) if energised[i])
    voltage = np.array([abs(v[i]) * scale[i] if energised[i] else 0.0 for i in range(n)])
    slack_kw = float((source * current[root].conjugate()).real * base)
    demand = sum(p for i, p in p_kw.items() if energised[i])
    return Flow(voltage, loading, loss * base, slack_kw, demand + loss * base, energised, solved)


def _walk(feeder: Feeder, root: int, open_branches: frozenset[int], islanded: bool) -> tuple[list[int], list[bool]]:
    """Closed branches from the root outwards, and which buses they reach."""
    energised = [i == root for i in range(feeder.num_buses)]
    order: list[int] = []
    found = True
    while found:
        found = False
        for e in range(feeder.num_branches):
            closed = e not in open_branches and not (islanded and e == 0)
            if closed and energised[int(feeder.from_bus[e])] and not energised[int(feeder.to_bus[e])]:
                energised[int(feeder.to_bus[e])] = True
                order.append(e)
                found = True
    return order, energised
