"""From a :class:`Feeder` to the constant matrices of the solver, in complex128.

Nodes are the n buses followed by one mid-impedance node for every transformer with a no-load branch (T
model). Series branches are the M branches, cut in two at such a node: rows 0 … M − 1 are the halves nearer
the slack, rows M … the other halves. Currents are in kW at 1 p.u. of voltage, impedances in p.u. per kW, so
powers need no conversion.

With V the voltages, I the consumers' currents, y the shunts, P the path matrix weighted by the buses' voltage
scale s and z the series impedances, Kirchhoff's laws of the tree are

    J = P (I + y V),    V = s v0 − Pᵀ z J = s v0 − Z₀ (I + y V),    Z₀ = Pᵀ z P.

Shunts are constant admittances, so they fold exactly into V = w − Z I with w = (1 + Z₀ y)⁻¹ s v0, Z = (1 + Z₀
y)⁻¹ Z₀, and every output is an affine function of I. Buses without consumption drop out of I: the Kron
reduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .feeder import Array, ComplexArray, Feeder, IntArray

# A line whose charging current is below this fraction of its rating has one current, not one at each end.
NEGLIGIBLE_CHARGING = 1e-5


@dataclass(frozen=True, eq=False)
class Reduction:
    """Constant matrices; N nodes, E series branches, C charging terminals, R = N + E + C + 2 outputs."""

    nodes: int  # N
    series: int  # E
    scale: Array  # [N] s
    weighted_path: Array  # [E, N] P
    open_path: Array  # [E, N] the same, 0/1
    z: ComplexArray  # [E] p.u. per kW
    y: ComplexArray  # [N] kW per p.u.²
    branch_of_series: IntArray  # [E] the feeder's branch
    terminal_series: IntArray  # [C] series branch of each line end that needs its own current
    terminal_node: IntArray  # [C]
    terminal_y: ComplexArray  # [C] added to the series current: signed charging × scale
    loading_row: IntArray  # [2, M] the two rows of currents whose larger loading is the branch's
    per_rating: Array  # [E + C] loading per kW of current
    behind: np.ndarray  # [N] bool, nodes fed through the far end of branch 0
    inside: np.ndarray  # [E] bool, series branches between such nodes
    busbar: int  # the far end of branch 0
    w_out: ComplexArray  # [R] no-load outputs: V, J, terminal currents, current of the slack, of an island
    z_out: ComplexArray  # [R, N] minus their change per node current
    h_out: ComplexArray  # [R] their change per p.u. forced at the busbar


def reduce_feeder(feeder: Feeder) -> Reduction:
    """All matrices of one feeder; O(n³) once."""
    mids = np.flatnonzero((feeder.magnetising_g_pu != 0) | (feeder.magnetising_b_pu != 0))
    n, M, T = feeder.num_buses, feeder.num_branches, len(mids)
    N, E = n + T, M + T
    path = _series_path(feeder, mids)
    scale = np.concatenate([feeder.voltage_scale, np.ones(T)])
    weighted = path * scale
    half = np.ones(M)
    half[mids] = 0.5
    z_branch = (feeder.r_pu + 1j * feeder.x_pu) * half / feeder.s_base_kva
    branch_of_series = np.concatenate([np.arange(M), mids])
    z = z_branch[branch_of_series]
    y = _node_shunts(feeder, mids)
    folded = np.linalg.inv(np.eye(N) + (weighted.T @ (z[:, None] * weighted)) * y)
    z_nodes = folded @ (weighted.T @ (z[:, None] * weighted))
    w_nodes = folded @ (scale * feeder.v0_pu)
    terminal_series, terminal_node, terminal_y = _charging_terminals(feeder)
    busbar = int(feeder.to_bus[0])
    behind = path[branch_of_series == 0][-1] > 0
    inside = (path[:, busbar] == 0) & (path @ behind > 0)
    # currents at the slack, and at the busbar of an island, of consumption and shunts alike
    at_slack, at_busbar = scale, scale * behind / scale[busbar]
    total = np.eye(N) - y[:, None] * z_nodes
    z_series = -weighted @ total
    rows_z = [z_nodes, z_series, z_series[terminal_series] + terminal_y[:, None] * z_nodes[terminal_node]]
    rows_z += [-(at_slack @ total)[None], -(at_busbar @ total)[None]]
    w_series = weighted @ (y * w_nodes)
    rows_w = [w_nodes, w_series, w_series[terminal_series] + terminal_y * w_nodes[terminal_node]]
    rows_w += [np.array([at_slack @ (y * w_nodes), at_busbar @ (y * w_nodes)])]
    z_out = np.concatenate(rows_z)
    # An ideal source at the busbar is a negative consumption there: the rank-one change of all outputs.
    pivot = z_nodes[busbar, busbar]
    h_out = z_out[:, busbar] / pivot if pivot != 0 else np.zeros(len(z_out), dtype=complex)
    if pivot != 0:  # the source itself is not part of what the island draws
        h_out[-1] = at_busbar @ (y * z_nodes[:, busbar]) / pivot
    loading_row, per_rating = _loading_rows(feeder, mids, terminal_series)
    return Reduction(
        nodes=N, series=E, scale=scale, weighted_path=weighted, open_path=path, z=z, y=y,
        branch_of_series=branch_of_series, terminal_series=terminal_series, terminal_node=terminal_node,
        terminal_y=terminal_y, loading_row=loading_row, per_rating=per_rating, behind=behind,
        inside=inside, busbar=busbar, w_out=np.concatenate(rows_w), z_out=z_out, h_out=h_out,
    )  # fmt: skip


def _series_path(feeder: Feeder, mids: IntArray) -> Array:
    """[E, N] 1 where the series branch lies on the way slack → node."""
    n, M, T = feeder.num_buses, feeder.num_branches, len(mids)
    path = np.zeros((M + T, n + T))
    path[:M, :n] = feeder.path
    path[M:, :n] = feeder.path[mids]
    for t, e in enumerate(mids):
        path[:, n + t] = path[:, feeder.from_bus[e]]
        path[e, n + t] = 1.0
    return path


def _node_shunts(feeder: Feeder, mids: IntArray) -> ComplexArray:
    """[N] kW per p.u.² of the node's own nominal voltage."""
    bus = feeder.bus_shunt_g_pu + 1j * feeder.bus_shunt_b_pu
    charging = feeder.charging_g_pu + 1j * feeder.charging_b_pu
    np.add.at(bus, feeder.from_bus, charging)
    np.add.at(bus, feeder.to_bus, charging)
    magnetising = feeder.magnetising_g_pu[mids] + 1j * feeder.magnetising_b_pu[mids]
    return np.concatenate([bus / feeder.voltage_scale**2, magnetising]) * feeder.s_base_kva


def _charging_terminals(feeder: Feeder) -> tuple[IntArray, IntArray, ComplexArray]:
    """Line ends whose current differs from the series current by more than a trifle of the rating."""
    charging = (feeder.charging_g_pu + 1j * feeder.charging_b_pu) * feeder.s_base_kva
    rating = np.minimum(feeder.rating_from_kva, feeder.rating_to_kva)
    lines = np.flatnonzero(np.abs(charging) > NEGLIGIBLE_CHARGING * rating)
    nodes = np.stack([feeder.from_bus[lines], feeder.to_bus[lines]], 1).reshape(-1)
    signed = np.stack([charging[lines], -charging[lines]], 1).reshape(-1)
    return np.repeat(lines, 2), nodes, signed / feeder.voltage_scale[nodes]


def _loading_rows(feeder: Feeder, mids: IntArray, terminal_series: IntArray) -> tuple[IntArray, Array]:
    """For each branch the two current rows that may limit it; for each row the loading per kW of current."""
    M, E = feeder.num_branches, feeder.num_branches + len(mids)
    per_from = 1.0 / (feeder.voltage_scale[feeder.from_bus] * feeder.rating_from_kva)
    per_to = 1.0 / (feeder.voltage_scale[feeder.to_bus] * feeder.rating_to_kva)
    rows = np.stack([np.arange(M), np.arange(M)])
    per_rating = np.concatenate([np.maximum(per_from, per_to), per_to[mids], np.zeros(len(terminal_series))])
    per_rating[mids] = per_from[mids]
    rows[1, mids] = M + np.arange(len(mids))
    for c, line in enumerate(terminal_series[::2]):
        rows[:, line] = E + 2 * c, E + 2 * c + 1
        per_rating[E + 2 * c], per_rating[E + 2 * c + 1] = per_from[line], per_to[line]
    return rows, per_rating
