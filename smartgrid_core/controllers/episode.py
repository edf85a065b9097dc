"""Run one episode under a controller and keep, on the host in float64, what indicators and plots need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from smartgrid_core.controllers.host import array
from smartgrid_core.controllers.protocol import Controller
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import StepResult


@dataclass(frozen=True)
class EpisodeSeries:
    """Every step of an episode; powers are means over the step."""

    generation_kw: np.ndarray  # [T, B, N]; the ledger, see `types.Ledger`
    demand_kw: np.ndarray  # [T, B, N]
    bought_kw: np.ndarray  # [T, B, N]
    sold_kw: np.ndarray  # [T, B, N]
    received_kw: np.ndarray  # [T, B, N]
    sent_kw: np.ndarray  # [T, B, N]
    charge_kw: np.ndarray  # [T, B, N]
    discharge_kw: np.ndarray  # [T, B, N]
    unserved_kw: np.ndarray  # [T, B, N]
    curtailed_kw: np.ndarray  # [T, B, N]
    imbalance_kw: np.ndarray  # [T, B, N] negative is short
    transfers_kw: np.ndarray  # [T, B, N, K] from the neighbour in each slot
    soc_kwh: np.ndarray  # [T, B, N] after the step
    cost_eur: np.ndarray  # [T, B, N]
    transfer_cost_eur: np.ndarray  # [T, B, N] part of the cost that is paid to neighbours
    loss_share_kw: np.ndarray  # [T, B, N]
    reward: np.ndarray  # [T, B, N]
    energised: np.ndarray  # [T, B, N] bool
    import_eur_per_kwh: np.ndarray  # [T, B]
    export_eur_per_kwh: np.ndarray  # [T, B]
    co2_g_per_kwh: np.ndarray  # [T, B]
    stability: np.ndarray  # [T, B]
    stability_parts: np.ndarray  # [T, B, 4] voltage, loading, balance, reserve
    loss_kw: np.ndarray  # [T, B]
    slack_kw: np.ndarray  # [T, B]
    max_loading: np.ndarray  # [T, B] fraction of rating
    converged: np.ndarray  # [T, B] bool
    islanded: np.ndarray  # [T, B] bool
    voltage_pu: np.ndarray  # [T, B, n] of every bus


@dataclass(frozen=True)
class EpisodeRecord:
    """An episode of every grid under one controller."""

    controller: str  # its name
    kind: str
    step_h: float
    capacity_kwh: np.ndarray  # [B, N]
    charge_efficiency: np.ndarray  # [B, N]
    soc_start_kwh: np.ndarray  # [B, N]
    soc_end_kwh: np.ndarray  # [B, N]
    cost_eur: np.ndarray  # [B, N] sum over the episode
    lowest_import_eur_per_kwh: np.ndarray  # [B] over the episode
    start_s: float  # wall time of the controller's preparation
    decision_s: np.ndarray  # [T] wall time of each decision for all B grids
    series: EpisodeSeries | None  # None where not kept


def cost_j(record: EpisodeRecord) -> np.ndarray:
    """J of every grid, [B] EUR: cost of the community less the worth of the energy its batteries gained."""
    return prosumer_cost_j(record).sum(1)


def prosumer_cost_j(record: EpisodeRecord) -> np.ndarray:
    """J of every prosumer, [B, N] EUR: its cost less the worth of the energy its battery gained.

    A stored kWh is worth what replacing it costs: the episode's lowest import price over the charge efficiency.
    """
    value = record.lowest_import_eur_per_kwh[:, None] / record.charge_efficiency
    return record.cost_eur - value * (record.soc_end_kwh - record.soc_start_kwh)


def run_episode(
    sim: Simulator, controller: Controller, *, seed: int | Sequence[int] | None = None, keep_series: bool = True
) -> EpisodeRecord:
    """Run the first episode of every grid to its end.

    Args:
        sim: B grids, auto_reset and stagger off.
        controller: decides; it is started here.
        seed: as in `Simulator.reset`; None keeps the grids' keys.
        keep_series: False keeps sums only (a week of 5 prosumers and 15 buses is 0.7 MB a grid).

    Raises:
        ValueError: the simulator starts new episodes by itself, or starts midway.
    """
    if sim.auto_reset or sim.episodes.stagger:
        raise ValueError("run_episode needs whole single episodes: build the Simulator with auto_reset and stagger off")
    with torch.no_grad():
        state, obs = sim.reset(seed=seed)
        shape = (sim.num_grids, sim.num_agents)
        capacity, efficiency = (
            array(x.T.expand(shape)) for x in (sim.params.capacity_kwh, sim.params.charge_efficiency)
        )
        soc_start, cost, lowest = array(state.soc_kwh), np.zeros(shape), np.full(sim.num_grids, np.inf)
        rows: list[dict[str, np.ndarray]] = []
        decision_s = np.zeros(sim.config.episode_steps)
        began = time.perf_counter()
        controller.start(sim, state)
        start_s = time.perf_counter() - began
        for step in range(sim.config.episode_steps):
            began = time.perf_counter()
            action = controller.act(state, obs)
            _synchronise(sim)
            decision_s[step] = time.perf_counter() - began
            state, out = sim.step(state, action)
            obs = out.obs
            cost += array(out.cost_eur)
            lowest = np.minimum(lowest, array(out.import_eur_per_kwh))
            if keep_series:
                rows.append(_row(out))
    series = EpisodeSeries(**{name: np.stack([row[name] for row in rows]) for name in rows[0]}) if rows else None
    return EpisodeRecord(
        controller.name, controller.kind, sim.config.step_h, capacity, efficiency, soc_start, array(state.soc_kwh),
        cost, lowest, start_s, decision_s, series,
    )  # fmt: skip


def _row(out: StepResult) -> dict[str, np.ndarray]:
    """One step of every series in `EpisodeSeries`."""
    same = (
        "imbalance_kw", "transfers_kw", "soc_kwh", "cost_eur", "transfer_cost_eur", "loss_share_kw", "reward",
        "energised", "import_eur_per_kwh", "export_eur_per_kwh", "co2_g_per_kwh", "stability", "islanded",
    )  # fmt: skip
    tensors = out.ledger._asdict() | {name: getattr(out, name) for name in same}
    for name in ("loss_kw", "slack_kw", "converged", "voltage_pu"):
        tensors[name] = getattr(out.network, name)
    tensors["max_loading"] = out.network.loading.amax(1)
    tensors["stability_parts"] = torch.stack(tuple(out.stability_parts), dim=1)
    return {name: array(x) for name, x in tensors.items()}


def _synchronise(sim: Simulator) -> None:
    """Wait for a GPU's decision, so that its time is counted where it belongs."""
    if sim.device.type == "cuda":
        torch.cuda.synchronize(sim.device)
