"""What a controller may look at: the series ahead, as forecast or (for the optimum alone) as they will be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.controllers.host import array
from smartgrid_core.profiles.table import MAX_WINDOW
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State


class Outlook(NamedTuple):
    """Series over the next H steps, host-side float64; entry 0 is the step about to be taken."""

    demand_kw: np.ndarray  # [H, B, N]
    generation_kw: np.ndarray  # [H, B, N]
    import_eur_per_kwh: np.ndarray  # [H, B]
    export_eur_per_kwh: np.ndarray  # [H, B]
    on_grid: np.ndarray  # [H, B, N] bool, the utility stands behind the prosumer
    energised: np.ndarray  # [H, B, N] bool, its links work


def foresight(sim: Simulator, state: State, steps: int) -> Outlook:
    """The truth, events included."""
    parts: list[Outlook] = []
    for h in range(0, steps, MAX_WINDOW):
        now = sim.episodes.present(sim.params, state, min(MAX_WINDOW, steps - h), later=h)
        energised = torch.ones_like(now.demand_kw, dtype=torch.bool) if now.energised is None else now.energised
        on_grid = energised if now.islanded is None else energised & ~now.islanded[:, None]
        prices = now.prices(sim.params.price_level)
        parts.append(
            Outlook(
                array(now.demand_kw.mT), array(now.generation_kw.mT), array(prices[:, 0]), array(prices[:, 1]),
                array(on_grid.mT), array(energised.mT),
            )
        )  # fmt: skip
    return Outlook(*(np.concatenate(series) for series in zip(*parts, strict=True)))


def forecast(sim: Simulator, state: State, steps: int, kind: str) -> Outlook:
    """What is known at the step about to be taken: its own values, then the forecast series of a kind.

    Events that have started are taken to last through the horizon's first hour; others are not foreseen.
    The same series feed the window means that learners observe.
    """
    first = foresight(sim, state, 1)
    table, row = sim.table, rows_ahead(sim, state, steps).cpu().numpy().astype(np.int64)
    prices = array(known_prices(sim, state, steps))
    series, plan = [], sim.episodes.plan(sim.params, state.key, state.episode)
    for name, column, jitter, scale in (
        ("demand", plan.demand_column, plan.demand_jitter, sim.params.demand_scale),
        ("generation", plan.generation_column, plan.generation_jitter, sim.params.generation_scale),
    ):
        values = table.forecast(name, kind)[column.T.cpu().numpy().astype(np.int64)[None], row[..., None]]
        series.append(values * (array(jitter) * array(scale)).T[None])
    on_grid, energised = (np.ones((steps, *first.on_grid.shape[1:]), dtype=bool) for _ in range(2))
    hour = max(1, round(1 / sim.config.step_h))
    on_grid[:hour], energised[:hour] = first.on_grid, first.energised
    prices[:hour, :, 0] += first.import_eur_per_kwh - prices[0, :, 0]
    out = Outlook(series[0], series[1], prices[..., 0], prices[..., 1], on_grid, energised)
    for target, known in zip(out[:4], first[:4], strict=True):
        target[0] = known[0]
    return out


def known_prices(sim: Simulator, state: State, steps: int) -> Tensor:
    """Import and export price of the next steps as published, events not included: [H, B, 2] EUR/kWh."""
    return sim.table.time_rows[rows_ahead(sim, state, steps)][..., :2] * sim.params.price_level[:, None]


def rows_ahead(sim: Simulator, state: State, steps: int) -> Tensor:
    """Time rows of the next steps, [H, B] int64; beyond the block's end the same time of its last day stands in."""
    block, spd = sim.table.profiles.block, sim.config.steps_per_day
    ends = torch.from_numpy(np.append(np.flatnonzero(np.diff(block)), block.size - 1)).to(state.row.device)
    first = state.row.long()
    last = ends[torch.searchsorted(ends, first)]
    row = first + torch.arange(steps, device=first.device)[:, None]
    days_over = (row - last + spd - 1).clamp_min(0) // spd
    return row - days_over * spd
