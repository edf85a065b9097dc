"""Profiles on the device: one resident table per kind, read by one row gather per prosumer and step.

A row holds everything an observation needs of one column at one time — the value now and the forecast's
window means — in at most one cache line, because the gather, not the arithmetic, bounds a step.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.config import ForecastConfig, GridConfig
from smartgrid_core.profiles.forecast import forecast_series, window_means
from smartgrid_core.profiles.splits import episode_starts
from smartgrid_core.profiles.types import Profiles


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
        self.price_scale = max(float(np.abs(imports).max()), 1e-3)
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
        """[C·T, 1 + W] float32: value now, forecast window means."""
        means = window_means(
            self.forecast(kind, self.config.forecast.kind),
            self.edges,
            self.profiles.block,
            steps_per_day=self.config.steps_per_day,
        )
        rows = np.concatenate([self.actual(kind)[..., None], means], axis=-1)
        return torch.from_numpy(rows.astype(np.float32)).reshape(-1, 1 + self.windows)

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

    def lookup(self, row: Tensor, demand_column: Tensor, generation_column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of one time step for every grid.

        Args:
            row: [B] int32 time row; demand_column, generation_column: [N, B] int32.

        Returns:
            demand [1 + W, N, B], generation [1 + W, N, B], time [2 (1 + W) + 5, B], all contiguous.
        """
        row = row.clamp(0, self.length - 1)
        return (
            self._gather(self.demand_rows, demand_column * self.length + row),
            self._gather(self.generation_rows, generation_column * self.length + row),
            self.time_rows.index_select(0, row).T.contiguous(),
        )

    @staticmethod
    def _gather(rows: Tensor, index: Tensor) -> Tensor:
        found = rows.index_select(0, index.reshape(-1)).view(*index.shape, rows.shape[1])
        return found.permute(2, 0, 1).contiguous()
