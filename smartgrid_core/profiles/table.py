"""Profiles on the device: one resident table per kind, read by one row gather per prosumer and step.

A row holds everything an observation needs of one column at one time — the value now and the forecast's
window means — in at most one cache line, because the gather, not the arithmetic, bounds a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.config import ForecastConfig, GridConfig
from smartgrid_core.profiles.forecast import forecast_series, window_means
from smartgrid_core.profiles.splits import episode_starts
from smartgrid_core.profiles.types import Profiles, split_code

_ALIGNMENT = 8  # float32 values, half a cache line


# An operator of its own, because the compiler would otherwise fuse the gather into its consumers and fetch every
# row once per feature, recomputing the index each time; as whole rows it runs at memory speed.
@torch.library.custom_op("smartgrid::gather_rows", mutates_args=())
def gather_rows(rows: Tensor, index: Tensor, width: int) -> Tensor:
    """The first `width` entries of rows [R, F] at index [..., B], feature-major [width, ..., B]."""
    found = rows.index_select(0, index.reshape(-1))[:, :width]
    return found.T.contiguous().view(width, *index.shape)


@gather_rows.register_fake
def _(rows: Tensor, index: Tensor, width: int) -> Tensor:
    return rows.new_empty(width, *index.shape)


class TableRows(NamedTuple):
    """What the table says of one time step, feature-major and contiguous."""

    demand: Tensor  # [1 + W, N, B] per unit of scale: now, forecast window means
    generation: Tensor  # [1 + W, N, B] likewise
    time: Tensor  # [2 (1 + W) + 5, B] import and export price now, ahead; calendar; CO₂


class ProfileTable(nn.Module):
    """Device-resident profiles, prices and calendar of a scenario."""

    demand_rows: Tensor
    generation_rows: Tensor
    time_rows: Tensor
    starts: Tensor
    demand_pool: Tensor
    generation_pool: Tensor

    def __init__(self, config: GridConfig, profiles: Profiles, split: str):
        super().__init__()
        split = split if config.profiles.hold_out else "all"
        self.config, self.profiles, self.split = config, profiles, split
        self.edges = config.window_edges_steps
        self.windows = len(self.edges)
        self.length = profiles.demand.shape[1]
        self._series: dict[tuple[str, str], np.ndarray] = {}
        starts = episode_starts(
            profiles.block, profiles.split_of_step, split, episode_steps=config.episode_steps,
            lookback_steps=config.steps_per_day, lookahead_steps=self.edges[-1], steps_per_day=config.steps_per_day,
        )  # fmt: skip
        self.register_buffer("starts", torch.from_numpy(starts.astype(np.int32)))
        self.register_buffer("demand_pool", torch.from_numpy(profiles.demand_pool[split].astype(np.int32)))
        self.register_buffer("generation_pool", torch.from_numpy(profiles.generation_pool[split].astype(np.int32)))
        self.register_buffer("demand_rows", self._pack("demand"))
        self.register_buffer("generation_rows", self._pack("generation"))
        imports, exports = self._prices()
        training = profiles.split_of_step == split_code("train")  # no scale may tell what held-out weeks cost
        seen = imports[training] if training.any() else imports
        self.price_scale = max(float(np.abs(seen).max()), 1e-3)
        self.register_buffer("time_rows", self._pack_time(imports, exports))

    def actual(self, kind: str) -> np.ndarray:
        """The true series of "demand" or "generation", [C, T] per unit of scale."""
        return self.profiles.demand if kind == "demand" else self.profiles.generation

    def forecast(self, kind: str, forecast_kind: str) -> np.ndarray:
        """The series expected under a forecast kind, [C, T]; what learners and MPC both read."""
        key = (kind, forecast_kind)
        if key not in self._series:
            fc: ForecastConfig = self.config.forecast
            self._series[key] = forecast_series(
                self.actual(kind), forecast_kind, sigma=fc.sigma, correlation=fc.correlation,
                seed=self.config.profiles.seed + (0 if kind == "demand" else 1),
                steps_per_day=self.config.steps_per_day, block=self.profiles.block,
                split_of_step=self.profiles.split_of_step,
            )  # fmt: skip
        return self._series[key]

    def _pack(self, kind: str) -> Tensor:
        """[C·T, ≥ 1 + W] float32: value now, forecast window means, padding so that no row straddles a cache line."""
        means = window_means(
            self.forecast(kind, self.config.forecast.kind),
            self.edges,
            self.profiles.block,
            steps_per_day=self.config.steps_per_day,
        )
        columns, steps = self.actual(kind).shape
        width = -(-(1 + self.windows) // _ALIGNMENT) * _ALIGNMENT
        rows = np.zeros((columns, steps, width), dtype=np.float32)
        rows[..., 0], rows[..., 1 : 1 + self.windows] = self.actual(kind), means
        return torch.from_numpy(rows).reshape(-1, width)

    def _prices(self) -> tuple[np.ndarray, np.ndarray]:
        """Import and export price of every step, [T] EUR/kWh."""
        if self.profiles.import_price is not None and self.profiles.export_price is not None:
            return self.profiles.import_price, self.profiles.export_price
        daily = np.array(self.config.tariff.daily_prices(self.config.steps_per_day))
        at = np.arange(self.length) % self.config.steps_per_day
        return daily[0, at], daily[1, at]

    def _pack_time(self, imports: np.ndarray, exports: np.ndarray) -> Tensor:
        """[T, 2 (1 + W) + 5] float32: prices now and ahead, calendar, CO₂ intensity."""
        spd = self.config.steps_per_day
        prices = np.stack([imports, exports]).astype(np.float32)
        ahead = window_means(prices, self.edges, self.profiles.block, steps_per_day=spd)
        step = np.arange(self.length)
        day = 2 * np.pi * (step % spd) / spd
        stamps = self.profiles.start + np.arange(self.length) * np.timedelta64(self.config.step_minutes, "m")
        since_new_year = (stamps - stamps.astype("datetime64[Y]")) / np.timedelta64(1, "D")
        year = 2 * np.pi * since_new_year / 365.25
        calendar = np.stack([np.sin(day), np.cos(day), np.sin(year), np.cos(year)], axis=1)
        co2 = np.array(self.config.tariff.co2_g_per_kwh)[(step % spd) * 24 // spd]
        rows = np.concatenate([prices.T, ahead[0], ahead[1], calendar, co2[:, None]], axis=1)
        return torch.from_numpy(rows.astype(np.float32))

    def lookup(
        self, row: Tensor, demand_column: Tensor, generation_column: Tensor, only: Tensor | None = None
    ) -> TableRows:
        """Rows of one time step for every grid.

        Args:
            row: [B] int32 time row; demand_column, generation_column: [N, B] int32.
            only: [B] bool, grids whose rows matter; the others all read row 0, which the cache then holds.
        """
        row = row.clamp(0, self.length - 1)
        demand_at, generation_at = demand_column * self.length + row, generation_column * self.length + row
        if only is not None:
            row, demand_at, generation_at = (torch.where(only, i, 0) for i in (row, demand_at, generation_at))
        width = 1 + self.windows
        return TableRows(
            gather_rows(self.demand_rows, demand_at, width),
            gather_rows(self.generation_rows, generation_at, width),
            gather_rows(self.time_rows, row, self.time_rows.shape[1]),
        )
