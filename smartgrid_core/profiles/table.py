"""Profiles on the device: one resident table per kind, read as windows of consecutive steps.

A row holds everything an observation needs of one column at one time: the value now and the forecast's window
means. The reading, not the arithmetic, bounds a step on a CPU, and rows of one prosumer lie one after the other,
so several steps are read at once: 32 steps cost little more than one.

Nothing here is ever changed, so that a process holds the large parts once, however many simulators and copies of them
read there.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.config import ForecastConfig, GridConfig
from smartgrid_core.fused import layout
from smartgrid_core.profiles.forecast import forecast_series, window_means
from smartgrid_core.profiles.splits import episode_starts
from smartgrid_core.profiles.types import UNUSED, Profiles, split_code

_KINDS = ("demand", "generation")
MAX_WINDOW = 32  # steps read at once; a column's last row is repeated so often behind its end
_SHARED: WeakValueDictionary[str, Any] = WeakValueDictionary()  # while a table holds it
_BLOCK = 1024  # windows turned to feature-major at once: they stay within a core's cache


# An operator of its own, because the compiler would fuse the reads into their consumers and fetch every row once per
# feature and step, recomputing its index each time.
@torch.library.custom_op("smartgrid::read_windows", mutates_args=("out",), device_types="cpu")
def read_windows(
    out: Tensor, table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor
) -> None:
    """Scaled windows of consecutive rows, each of which may go on elsewhere.

    Args:
        out: [S, F, N, B], filled feature-major with windows of S rows.
        table: [R, F].
        first: [N, B] int32, row of the first step.
        then: [N, B] int32, row at which reading goes on from step `switch` on.
        switch: [B] int32 in [0, S]; S where the window does not go on elsewhere.
        scale, scale_then: [N, B] factors on the rows before and after.
    """
    _read(out, table, first, then, switch, scale, scale_then)


def _read(
    out: Tensor, table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor
) -> None:
    """`read_windows` on a CPU, beneath torch's dispatch."""
    native = layout.reader() if table.dtype == torch.float32 and out.is_contiguous() else None
    (native or _read_in_blocks)(out, table, first, then, switch, scale, scale_then)


def _read_in_blocks(
    out: Tensor, table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor
) -> None:
    """`read_windows` by torch, where there is no compiler."""
    steps, width, at, factor = out.shape[0], table.shape[1], first.reshape(-1), scale.reshape(-1)
    windows = table.as_strided((table.shape[0] - steps + 1, steps * width), (width, 1))
    columns, starts = out.view(steps * width, -1), range(0, at.shape[0], _BLOCK)
    (ending,) = (switch < steps).nonzero(as_tuple=True)  # a CPU op may look at values: nothing waits for a device
    bounds, where, pieced = [0] * (len(starts) + 1), at, table  # the latter two unused where none goes on elsewhere
    if ending.shape[0]:  # windows that go on elsewhere are read row by row and put among the others
        first_, then_, switch_, scale_, scale_then_ = (
            x.index_select(-1, ending) for x in (first, then, switch, scale, scale_then)
        )
        pieced = row_by_row(table, first_, then_, switch_, scale_, scale_then_, steps).reshape(-1, steps * width)
        where = (torch.arange(first.shape[0])[:, None] * first.shape[1] + ending).reshape(-1)
        factor = factor.index_fill(0, where, 1.0)
        bounds = torch.searchsorted(where, torch.tensor([*starts, at.shape[0]])).tolist()
    for i, low, high in zip(starts, bounds, bounds[1:], strict=False):
        block = windows.index_select(0, at[i : i + _BLOCK])
        if high > low:
            block.index_copy_(0, where[low:high] - i, pieced[low:high])
        torch.mul(block.T, factor[i : i + _BLOCK], out=columns[:, i : i + _BLOCK])


def row_by_row(
    table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor, steps: int
) -> Tensor:
    """What `read_windows` reads, a row at a time, [N, B, S, F]; arguments as there.

    For devices that hide the latency of scattered reads, as plain operations that a compiler fuses with others.
    """
    s = torch.arange(steps, device=first.device, dtype=first.dtype)
    before = s < switch[:, None]
    rows = torch.where(before, first[..., None] + s, then[..., None] + (s - switch[:, None]))
    found = table.index_select(0, rows.reshape(-1)).view(*rows.shape, table.shape[1])
    return found * torch.where(before, scale[..., None], scale_then[..., None])[..., None]


class TableRows(NamedTuple):
    """What the table says of S consecutive steps, feature-major."""

    demand_kw: Tensor  # [S, 1 + W, N, B] now, forecast window means
    generation_kw: Tensor  # [S, 1 + W, N, B] likewise
    time: Tensor  # [S, 2 (1 + W) + 5, 1, B] import and export price now, ahead; calendar; CO₂


def empty_rows(table: ProfileTable, steps: int, agents: int, grids: int) -> TableRows:
    """Room for what `ProfileTable.read` reads."""
    demand, generation = (table.demand_rows.new_empty(steps, 1 + table.windows, agents, grids) for _ in range(2))
    return TableRows(demand, generation, table.time_rows.new_empty(steps, table.time_rows.shape[1], 1, grids))


class Position(NamedTuple):
    """Where in the table a window begins."""

    row: Tensor  # [B] int32 time row
    demand_column: Tensor  # [N, B] int32
    generation_column: Tensor  # [N, B] int32
    demand_scale: Tensor  # [N, B] kW per unit of the column
    generation_scale: Tensor  # [N, B] kW per unit of the column


class Leg(NamedTuple):
    """Windows in one table, the arguments of `read_windows`."""

    first: Tensor  # [N, B] int32 row
    then: Tensor  # [N, B] int32 row where it goes on
    scale: Tensor  # [N, B]
    scale_then: Tensor  # [N, B]


class Route(NamedTuple):
    """What to read for some consecutive steps."""

    demand: Leg
    generation: Leg
    time: Leg  # [1, B]
    switch: Tensor  # [B] int32, step at which windows go on elsewhere


class _Once:
    """Something that is never changed on its way into a copy, which shares it where its process has it already."""

    def __init__(self, name: str, thing: Any):
        self.name, self.thing = name, thing

    def __deepcopy__(self, memo: dict[int, Any]) -> _Once:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.name, self.thing)


def _arrived(name: str, thing: Any) -> _Once:
    return _Once(name, _SHARED.setdefault(name, thing))


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
        if split == "all":  # forecasts go on from week to week then, like episodes
            profiles = replace(profiles, block=np.where(profiles.block == UNUSED, UNUSED, 0))
        self.config, self.profiles, self.split = config, profiles, split
        self.edges = config.window_edges_steps
        self.windows = len(self.edges)
        self.length = profiles.demand.shape[1]
        self._series: dict[tuple[str, str], np.ndarray] = {}
        self._names = {"profiles": uuid4().hex, **{f"{kind}_rows": self._name(kind) for kind in _KINDS}}  # if shared
        _SHARED[self._names["profiles"]] = profiles
        self.register_buffer("starts", torch.from_numpy(self.starts_of(split).astype(np.int32)))
        self.register_buffer("demand_pool", torch.from_numpy(profiles.demand_pool[split].astype(np.int32)))
        self.register_buffer("generation_pool", torch.from_numpy(profiles.generation_pool[split].astype(np.int32)))
        for kind in _KINDS:
            self.register_buffer(f"{kind}_rows", self._packed(kind))
        imports, exports = self._prices()
        training = profiles.split_of_step == split_code("train")  # no scale may tell what held-out weeks cost
        seen = imports[training] if training.any() else imports
        self.price_scale = max(float(np.abs(seen).max()), 1e-3)
        self.register_buffer("time_rows", self._pack_time(imports, exports))

    def starts_of(self, split: str) -> np.ndarray:
        """Time rows at which an episode of a split may start, [S]; raises `ProfileError` where none fits."""
        config, profiles = self.config, self.profiles
        return episode_starts(
            profiles.block, profiles.split_of_step, split, episode_steps=config.episode_steps,
            lookback_steps=config.steps_per_day, lookahead_steps=self.edges[-1], steps_per_day=config.steps_per_day,
        )  # fmt: skip

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

    def _name(self, kind: str) -> str:
        """What tells the packed rows of a kind from all others: a digest of what they are made from."""
        profiles, config = self.profiles, self.config
        made_from = (kind, config.forecast.model_dump_json(), config.profiles.seed, self.edges, config.steps_per_day)
        digest = blake2b(repr((made_from, self.actual(kind).shape)).encode())
        for part in (self.actual(kind), profiles.block, profiles.split_of_step):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def _packed(self, kind: str) -> Tensor:
        """`_pack`, or what another table has of the same."""
        name = self._names[f"{kind}_rows"]
        rows = _SHARED.get(name)
        if rows is None:
            with torch.inference_mode(False):  # as it outlives one that may be under way
                rows = _SHARED[name] = self._pack(kind)
        return rows

    def __getstate__(self) -> dict[str, Any]:
        def shared(x: dict[str, Any]) -> dict[str, Any]:
            names = {key: name for key, name in self._names.items() if key in x and _SHARED.get(name) is x[key]}
            return x | {key: _Once(name, x[key]) for key, name in names.items()}

        return shared(self.__dict__) | {"_buffers": shared(self._buffers), "_series": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for x in (state, state["_buffers"]):
            x |= {key: value.thing for key, value in x.items() if isinstance(value, _Once)}
        super().__setstate__(state)

    def _pack(self, kind: str) -> Tensor:
        """[C · (T + MAX_WINDOW), 1 + W] float32: value now, forecast window means."""
        means = window_means(
            self.forecast(kind, self.config.forecast.kind),
            self.edges,
            self.profiles.block,
            steps_per_day=self.config.steps_per_day,
        )
        columns, steps = self.actual(kind).shape
        rows = np.empty((columns, steps + MAX_WINDOW, 1 + self.windows), dtype=np.float32)
        rows[:, :steps, 0], rows[:, :steps, 1:] = self.actual(kind), means
        rows[:, steps:] = rows[:, steps - 1 : steps]
        return torch.from_numpy(rows).reshape(-1, rows.shape[2])

    def _prices(self) -> tuple[np.ndarray, np.ndarray]:
        """Import and export price of every step, [T] EUR/kWh."""
        if self.profiles.import_price is not None and self.profiles.export_price is not None:
            return self.profiles.import_price, self.profiles.export_price
        daily = np.array(self.config.tariff.daily_prices(self.config.steps_per_day))
        at = np.arange(self.length) % self.config.steps_per_day
        return daily[0, at], daily[1, at]

    def _pack_time(self, imports: np.ndarray, exports: np.ndarray) -> Tensor:
        """[T + MAX_WINDOW, 2 (1 + W) + 5] float32: prices now and ahead, calendar, CO₂ intensity."""
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
        return torch.from_numpy(np.concatenate([rows, rows[-1:].repeat(MAX_WINDOW, 0)]).astype(np.float32))

    def route(self, at: Position, steps: int, then: Position | None = None, switch: Tensor | None = None) -> Route:
        """What to read of S consecutive steps for every grid.

        Args:
            at: where the window begins; beyond the table's end its last row is repeated.
            steps: S ≤ MAX_WINDOW.
            then: where it goes on from step `switch` [B] int32 on; None where it does not.
        """
        if not 1 <= steps <= MAX_WINDOW:
            raise ValueError(f"steps = {steps}: expected 1 to {MAX_WINDOW}")
        stride, last = self.length + MAX_WINDOW, self.length - 1
        row = at.row.clamp(0, last)
        onward, then = (row, at) if then is None else (then.row.clamp(0, last), then)
        one = torch.ones_like(row[None], dtype=self.time_rows.dtype)
        return Route(
            Leg(
                at.demand_column * stride + row, then.demand_column * stride + onward,
                at.demand_scale, then.demand_scale,
            ),
            Leg(
                at.generation_column * stride + row, then.generation_column * stride + onward,
                at.generation_scale, then.generation_scale,
            ),
            Leg(row[None], onward[None], one, one), torch.full_like(row, steps) if switch is None else switch,
        )  # fmt: skip

    def follow(self, route: Route, steps: int, out: TableRows | None = None, direct: bool = False) -> TableRows:
        """Rows of S consecutive steps; on a CPU `out`, from `empty_rows`, is filled, None takes new memory.

        `direct`: past torch's dispatch, which takes longer than the reading of a few windows; on a CPU, where nothing
        is traced or recorded.
        """
        tables = (self.demand_rows, self.generation_rows, self.time_rows)
        if self.time_rows.device.type != "cpu":
            legs = zip(tables, route[:3], strict=True)
            found = (row_by_row(table, *leg[:2], route.switch, *leg[2:], steps) for table, leg in legs)
            return TableRows(*(rows.permute(2, 3, 0, 1).contiguous() for rows in found))
        out = empty_rows(self, steps, *route.demand.first.shape) if out is None else out
        for to, table, leg in zip(out, tables, route[:3], strict=True):
            (_read if direct else read_windows)(to, table, *leg[:2], route.switch, *leg[2:])
        return out
