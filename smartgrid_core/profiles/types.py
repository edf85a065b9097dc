"""What every source of profiles hands over: time series per column, and who may use which column when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smartgrid_core.errors import DataFileError

ARCHETYPES = ("residential", "commercial", "industrial", "mixed", "suburban")
SPLITS = ("train", "validation", "test", "all")  # the index is the code in `Profiles.split_of_step`
UNUSED = -1  # in `block` and `split_of_step`: a step that belongs to no split


class ProfileError(DataFileError):
    """Profile data or a request for it that cannot be used; the message says what to change."""


def split_code(split: str) -> int:
    """Code of a split's name as stored in `Profiles.split_of_step`; raises `ProfileError` for other names."""
    if split not in SPLITS:
        raise ProfileError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
    return SPLITS.index(split)


@dataclass(frozen=True)
class ProsumerProfileSpec:
    """One prosumer as the synthetic generator needs it."""

    name: str
    archetype: str  # one of ARCHETYPES
    annual_demand_kwh: float  # kWh per year of 365 days
    solar_kwp: float  # peak power of the modules at standard test conditions
    tilt_deg: float = 35.0  # 0 = flat, 90 = a facade
    azimuth_deg: float = 180.0  # clockwise from north: 90 = east, 180 = south, 270 = west

    def __post_init__(self) -> None:
        if self.archetype not in ARCHETYPES:
            raise ProfileError(
                f"prosumer {self.name!r}: archetype = {self.archetype!r}, expected one of {', '.join(ARCHETYPES)}"
            )
        limits = {
            "annual_demand_kwh": (0.0, np.inf),
            "solar_kwp": (0.0, np.inf),
            "tilt_deg": (0.0, 90.0),
            "azimuth_deg": (0.0, 360.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and low <= value <= high):
                raise ProfileError(
                    f"prosumer {self.name!r}: {name} = {value}, expected a finite number in [{low:g}, {high:g}]"
                )


@dataclass(frozen=True, eq=False)
class Profiles:
    """Demand and generation of one data set, ready to be packed on a device.

    Letters: `Cd`, `Cg` columns, `T` steps (whole days from a local midnight on), `N` agents, `P`, `Q` pool
    rows. The value of step k holds over the whole of step k. Raises `ProfileError` where the parts do not
    fit.
    """

    demand: np.ndarray  # [Cd, T] float32, kW per unit of demand_scale, >= 0
    generation: np.ndarray  # [Cg, T] float32, kW per unit of generation_scale, >= 0
    demand_scale: np.ndarray  # [N] float32: demand_kw = demand_scale * demand[column]
    generation_scale: np.ndarray  # [N] float32: generation_kw = generation_scale * generation[column]
    demand_pool: dict[str, np.ndarray]  # split -> int64 [P, N] columns; each group of agents draws its own row
    generation_pool: dict[str, np.ndarray]  # split -> int64 [Q, N] columns; one row a community (shared clouds)
    start: np.datetime64  # local standard time of step 0, a midnight, unit minutes
    step_minutes: int
    block: np.ndarray  # [T] int32: contiguous run of weeks of one split, UNUSED outside
    split_of_step: np.ndarray  # [T] int8: index into SPLITS, UNUSED outside
    import_price: np.ndarray | None = None  # [T] float64 EUR/kWh
    export_price: np.ndarray | None = None  # [T] float64 EUR/kWh
    agent_names: tuple[str, ...] = ()  # [N], or empty
    demand_group: np.ndarray | None = None  # int64 [N] in 0 … G − 1, who draws a row together; None: each its own

    def __post_init__(self) -> None:
        self._check_time()
        self._check_series()
        self._check_pools()

    @property
    def num_steps(self) -> int:
        """T, the number of steps."""
        return self.demand.shape[1]

    @property
    def num_agents(self) -> int:
        """N, the number of agents."""
        return self.demand_scale.shape[0]

    @property
    def steps_per_day(self) -> int:
        """Steps of one day."""
        return 1440 // self.step_minutes

    @property
    def groups(self) -> np.ndarray:
        """Number of the group each agent draws its row of `demand_pool` with, [N] in 0 … G − 1."""
        return np.arange(self.num_agents) if self.demand_group is None else self.demand_group

    @cached_property
    def peak_demand_kw(self) -> np.ndarray:
        """Highest demand of each agent in any column it may draw, [N]; of training weeks, where others are held out, as
        nobody knows those."""
        return self.demand_scale * self._highest(self.demand, self.demand_pool)

    @cached_property
    def peak_generation_kw(self) -> np.ndarray:
        """Highest generation of each agent, [N], likewise."""
        return self.generation_scale * self._highest(self.generation, self.generation_pool)

    def _highest(self, columns: np.ndarray, pools: dict[str, np.ndarray]) -> np.ndarray:
        """Highest known value of the columns that a pool gives each agent, [N]."""
        known = self.split_of_step == split_code("train")
        if known.any() and "train" in pools:
            return columns.max(axis=1, where=known, initial=0.0)[pools["train"]].max(axis=0)
        return columns.max(axis=1)[np.concatenate(list(pools.values()))].max(axis=0)

    def _check_time(self) -> None:
        if self.step_minutes <= 0 or 1440 % self.step_minutes:
            raise ProfileError(f"step_minutes = {self.step_minutes}: expected a positive divisor of 1440")
        if self.start != self.start.astype("datetime64[D]"):
            raise ProfileError(f"start = {self.start}: profiles start at a local midnight")
        steps = self.demand.shape[-1]
        if steps == 0 or steps % self.steps_per_day:
            raise ProfileError(
                f"{steps} steps of {self.step_minutes} min: expected whole days of {self.steps_per_day} steps"
            )
        for name in ("block", "split_of_step"):
            shape = getattr(self, name).shape
            if shape != (steps,):
                raise ProfileError(f"{name} has shape {shape}, expected ({steps},) like demand's steps")

    def _check_series(self) -> None:
        steps = self.num_steps
        for name in ("demand", "generation"):
            values = getattr(self, name)
            if values.ndim != 2 or values.shape[1] != steps:
                raise ProfileError(f"{name} has shape {values.shape}, expected [columns, {steps}]")
        for name in ("import_price", "export_price"):
            values = getattr(self, name)
            if values is not None and (values.shape != (steps,) or not np.isfinite(values).all()):
                raise ProfileError(f"{name} has shape {values.shape}: expected ({steps},), every value finite")
        if (self.import_price is None) != (self.export_price is None):
            raise ProfileError("import_price and export_price come together: give both or none")
        for name in ("demand", "generation", "demand_scale", "generation_scale"):
            values = getattr(self, name)
            if not np.isfinite(values).all() or (values < 0).any():
                raise ProfileError(f"{name} holds a negative or non-finite value; all are kW, >= 0")
        if self.demand_scale.shape != self.generation_scale.shape or self.demand_scale.ndim != 1:
            raise ProfileError(
                f"demand_scale {self.demand_scale.shape} and generation_scale {self.generation_scale.shape}: "
                "expected one entry per agent in both"
            )

    def _check_pools(self) -> None:
        if self.agent_names and len(self.agent_names) != self.num_agents:
            raise ProfileError(f"{len(self.agent_names)} agent names for {self.num_agents} agents")
        groups = self.groups
        if groups.shape != (self.num_agents,) or set(groups) != set(range(groups.max() + 1)):
            raise ProfileError(
                f"demand_group = {groups.tolist()}: expected {self.num_agents} numbers, from 0 on, none left out"
            )
        if set(self.demand_pool) != set(self.generation_pool):
            raise ProfileError(
                f"demand_pool has the splits {sorted(self.demand_pool)}, generation_pool {sorted(self.generation_pool)}"
            )
        for name, pools, columns in (
            ("demand_pool", self.demand_pool, self.demand.shape[0]),
            ("generation_pool", self.generation_pool, self.generation.shape[0]),
        ):
            for split, rows in pools.items():
                split_code(split)
                if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != self.num_agents:
                    raise ProfileError(
                        f"{name}[{split!r}] has shape {rows.shape}, expected [rows, {self.num_agents}] with rows >= 1"
                    )
                if rows.min() < 0 or rows.max() >= columns:
                    raise ProfileError(f"{name}[{split!r}] names a column outside 0 … {columns - 1}")


def with_all(pools: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The pools with a further one for the split "all": the distinct rows of all of them."""
    return {**pools, "all": np.unique(np.concatenate(list(pools.values())), axis=0)}
