"""Measured-like load and PV of 2016 at 15 min from the SimBench data set (Meinecke et al. 2020,
doi:10.3390/en13123290).

The csv files of the installed `simbench` package are read directly: 35,136 rows of the few columns one grid
needs take about a second, where `simbench.get_simbench_net` builds a whole pandapower net first. The data are
under the Open Database License and are neither copied nor shipped; what one grid needs is kept in the user's
cache folder.

SimBench's stamps follow the German clock with summer time, its rows are uniform: row k is local standard time
k · 15 min.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs
from rich.progress import Progress

from smartgrid_core.profiles.splits import DAYS_PER_WEEK, WEEKS_PER_CYCLE, assign_splits
from smartgrid_core.profiles.types import SPLITS, ProfileError, Profiles

LV_SUBNETS = {  # grid of a code -> the subnet that `simbench` extracts for it
    "rural1": "LV1.101",
    "rural2": "LV2.101",
    "rural3": "LV3.101",
    "semiurb4": "LV4.101",
    "semiurb5": "LV5.201",
    "urban6": "LV6.201",
}
SIMBENCH_CODES = tuple(
    f"1-LV-{grid}--{scenario}-{switches}"
    for grid in LV_SUBNETS
    for scenario in (0, 1, 2)
    for switches in ("sw", "no_sw")
)
STEP_MINUTES = 15
STEPS_PER_WEEK = DAYS_PER_WEEK * 1440 // STEP_MINUTES
STEPS_OF_2016 = 366 * 1440 // STEP_MINUTES
WEEKS = STEPS_OF_2016 // STEPS_PER_WEEK  # 52, a multiple of WEEKS_PER_CYCLE: rotations keep a week's split
CACHE_FORMAT = 1
# Charging points and heat pumps of scenarios 1 and 2 belong to the customer whose bus they share.
_APPLIANCE_PROFILES = ("HLS", "APLS", "Air_", "Soil_")


@dataclass(frozen=True)
class SimbenchProsumer:
    """One load of a SimBench grid with what stands at its bus."""

    name: str  # the load's name, e.g. "LV1.101 Load 1"
    bus: str  # name of its bus, as in pandapower's net.bus.name
    load_profile: str  # e.g. "H0-A": households H0, trade G0–G6, farms L0–L2
    annual_demand_kwh: float  # kWh per 365 days
    peak_kw: float  # highest 15-min mean of the year
    power_factor: float  # of the load, inductive
    solar_kwp: float
    solar_profile: str  # e.g. "PV5"


@dataclass(frozen=True, eq=False)
class _GridData:
    """What one grid needs of the package; arrays so that it is saved and loaded as one file."""

    load_name: np.ndarray  # [L] str
    load_bus: np.ndarray  # [L] str
    load_profile: np.ndarray  # [L] str
    load_kw: np.ndarray  # [L]
    load_kvar: np.ndarray  # [L]
    solar_bus: np.ndarray  # [G] str
    solar_profile: np.ndarray  # [G] str
    solar_kwp: np.ndarray  # [G]
    load_profile_names: np.ndarray  # [K] str
    load_profile_values: np.ndarray  # [K, T] float32, fraction of load_kw
    solar_profile_names: np.ndarray  # [J] str
    solar_profile_values: np.ndarray  # [J, T] float32, fraction of solar_kwp


def simbench_profiles(
    code: str,
    *,
    prosumers: Sequence[str] | int | None = None,
    solar_kwp: Sequence[float | None] | float | None = None,
    demand_shifts_weeks: Sequence[int] = (0, 4, 8, 44, 48),
    generation_shifts_weeks: Sequence[int] = (0, 4, 48),
    step_minutes: int = STEP_MINUTES,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> tuple[Profiles, list[SimbenchProsumer]]:
    """Profiles of a SimBench low-voltage grid: every load is a prosumer, PV at its bus is its own.

    Several loads of a grid share one profile. Pool rows are therefore the profiles moved by whole multiples of four
    weeks within the 52 weeks, which keeps season (roughly), weekday and split. Agents with the same profile draw one
    row together, in which each has a move of its own, as far as there are moves: in the larger grids up to 31 loads
    share a profile. PV of a community moves together: its agents see the same clouds.

    Args:
        code: e.g. "1-LV-rural1--0-sw"; `SIMBENCH_CODES` lists all.
        prosumers: names of loads, or how many from the first on; None for all.
        solar_kwp: kWp of each prosumer, or one value for all; None, for all or for some of them, for the grid's own
            (0 where none stands).
            A prosumer without PV of its own uses one of the grid's PV profiles.
        demand_shifts_weeks, generation_shifts_weeks: multiples of 4 weeks.
        step_minutes: 15, 30 or 60; longer steps take means.
        cache_dir: folder of the extracted file; None for the user's cache folder.
        progress: show a bar while extracting.

    Returns:
        The profiles (demand_scale in kW of the load's rating, generation_scale in kWp) and who the agents
        are.

    Raises:
        ProfileError: package missing, unknown code or prosumer, or a parameter out of range.
    """
    if code not in SIMBENCH_CODES:
        near = difflib.get_close_matches(code, SIMBENCH_CODES, n=3, cutoff=0.5)
        raise ProfileError(f"unknown SimBench code {code!r}: nearest {', '.join(near or SIMBENCH_CODES[::2])}")
    if step_minutes not in (15, 30, 60):
        raise ProfileError(f"step_minutes = {step_minutes}: SimBench data allow 15, 30 or 60")
    for name, shifts in (
        ("demand_shifts_weeks", demand_shifts_weeks),
        ("generation_shifts_weeks", generation_shifts_weeks),
    ):
        if not shifts or any(shift % WEEKS_PER_CYCLE for shift in shifts):
            raise ProfileError(
                f"{name} = {tuple(shifts)}: expected multiples of {WEEKS_PER_CYCLE}, which keep the split"
            )
    data = _load_grid(code, cache_dir, progress)
    base, attached = _customers(data, prosumers)
    people, kwp, solar = _describe(data, base, attached, solar_kwp)

    demand_keys = [_demand_key(data, load, extra) for load, extra in zip(base, attached, strict=True)]
    demand_kinds = _distinct(demand_keys)
    demand = np.stack([_demand_series(data, key) for key in demand_kinds])
    generation_kinds = _distinct(solar)
    generation = data.solar_profile_values[generation_kinds]
    demand_kind = np.array([demand_kinds.index(key) for key in demand_keys])
    generation_kind = np.array([generation_kinds.index(profile) for profile in solar])
    demand_pool, generation_pool = (
        _pool(demand_kind, len(demand_shifts_weeks), spread=True),
        _pool(generation_kind, len(generation_shifts_weeks), spread=False),
    )
    num_steps = STEPS_OF_2016 * STEP_MINUTES // step_minutes
    block, split_of_step = assign_splits(num_steps, step_minutes)
    profiles = Profiles(
        demand=_coarser(_shifted(demand, demand_shifts_weeks), step_minutes),
        generation=_coarser(_shifted(generation, generation_shifts_weeks), step_minutes),
        demand_scale=data.load_kw[base].astype(np.float32),
        generation_scale=kwp.astype(np.float32),
        demand_pool=dict.fromkeys(SPLITS, demand_pool),
        generation_pool=dict.fromkeys(SPLITS, generation_pool),
        start=np.datetime64("2016-01-01T00:00", "m"),
        step_minutes=step_minutes,
        block=block,
        split_of_step=split_of_step,
        agent_names=tuple(person.name for person in people),
        demand_group=demand_kind,
    )
    return profiles, people


# ---- Agents ------------------------------------------------------------------------------------------------


def _customers(data: _GridData, prosumers: Sequence[str] | int | None) -> tuple[list[int], list[list[int]]]:
    """Loads that are customers, and for each the appliance loads at its bus; narrowed to the chosen ones."""
    appliance = [str(profile).startswith(_APPLIANCE_PROFILES) for profile in data.load_profile]
    first_at_bus: dict[str, int] = {}
    for load, bus in enumerate(data.load_bus):
        if not appliance[load]:
            first_at_bus.setdefault(str(bus), load)
    customers = [
        load for load in range(len(appliance)) if not appliance[load] or data.load_bus[load] not in first_at_bus
    ]
    attached: dict[int, list[int]] = {load: [] for load in customers}
    for load, bus in enumerate(data.load_bus):
        if load not in attached:
            attached[first_at_bus[str(bus)]].append(load)

    names = [str(data.load_name[load]) for load in customers]
    if prosumers is None:
        chosen = names
    elif isinstance(prosumers, int):
        if not 1 <= prosumers <= len(names):
            raise ProfileError(f"prosumers = {prosumers}: the grid has 1 to {len(names)}")
        chosen = names[:prosumers]
    else:
        chosen = list(prosumers)
        unknown = [name for name in chosen if name not in names]
        if unknown or len(set(chosen)) != len(chosen) or not chosen:
            near = difflib.get_close_matches(unknown[0], names, n=3) if unknown else []
            raise ProfileError(
                f"prosumers = {chosen}: expected different names of loads, like {', '.join(near or names[:3])}"
            )
    base = [customers[names.index(name)] for name in chosen]
    return base, [attached[load] for load in base]


def _describe(
    data: _GridData, base: list[int], attached: list[list[int]], solar_kwp: Sequence[float | None] | float | None
) -> tuple[list[SimbenchProsumer], np.ndarray, list[int]]:
    """Agents, their kWp [N], and the row of each one's PV profile in `solar_profile_values`."""
    rows = {str(name): row for row, name in enumerate(data.solar_profile_names)}
    kwp, solar, owners = np.zeros(len(base)), [], set()
    for agent, load in enumerate(base):
        bus = str(data.load_bus[load])
        here = np.flatnonzero(data.solar_bus == bus) if bus not in owners else np.empty(0, np.int64)
        owners.add(bus)  # where several customers share a bus, the first owns its PV
        kwp[agent] = data.solar_kwp[here].sum()
        largest = here[data.solar_kwp[here].argmax()] if here.size else None
        solar.append(rows[str(data.solar_profile[largest])] if largest is not None else agent % len(rows))
    if solar_kwp is not None:
        wanted = [solar_kwp] * len(base) if isinstance(solar_kwp, int | float) else list(solar_kwp)
        if len(wanted) != len(base) or any(w is not None and not 0 <= w < np.inf for w in wanted):
            raise ProfileError(
                f"solar_kwp = {solar_kwp}: expected one number >= 0, or one for each of {len(base)} agents"
            )
        kwp = np.array([own if w is None else w for own, w in zip(kwp, wanted, strict=True)], np.float64)
    people = []
    for agent, load in enumerate(base):
        series = _demand_series(data, _demand_key(data, load, attached[agent])) * data.load_kw[load]
        people.append(
            SimbenchProsumer(
                name=str(data.load_name[load]),
                bus=str(data.load_bus[load]),
                load_profile=str(data.load_profile[load]),
                annual_demand_kwh=float(series.mean(dtype=np.float64) * 8760),
                peak_kw=float(series.max()),
                power_factor=float(data.load_kw[load] / np.hypot(data.load_kw[load], data.load_kvar[load])),
                solar_kwp=float(kwp[agent]),
                solar_profile=str(data.solar_profile_names[solar[agent]]),
            )
        )
    return people, kwp, solar


def _demand_key(data: _GridData, load: int, appliances: list[int]) -> tuple[tuple[int, float], ...]:
    """Profile rows and weights whose sum is the demand per kW of the load's rating."""
    rows = {str(name): row for row, name in enumerate(data.load_profile_names)}
    parts = [load, *appliances]
    return tuple((rows[str(data.load_profile[part])], float(data.load_kw[part] / data.load_kw[load])) for part in parts)


def _demand_series(data: _GridData, key: tuple[tuple[int, float], ...]) -> np.ndarray:
    rows, weights = zip(*key, strict=True)
    return np.asarray(weights, np.float32) @ data.load_profile_values[list(rows)]


# ---- Columns -----------------------------------------------------------------------------------------------

_Key = TypeVar("_Key")


def _distinct(keys: Sequence[_Key]) -> list[_Key]:
    return list(dict.fromkeys(keys))


def _pool(kind: np.ndarray, shifts: int, *, spread: bool) -> np.ndarray:
    """Pool rows [shifts, N] over columns ordered by kind, then shift; `spread` starts sharers at different
    shifts."""
    rank = np.array([np.count_nonzero(kind[:agent] == kind[agent]) for agent in range(kind.size)]) if spread else 0
    return (np.arange(shifts)[:, None] + rank) % shifts + kind * shifts


def _shifted(columns: np.ndarray, shifts_weeks: Sequence[int]) -> np.ndarray:
    """[C, T] -> [C · S, T]: each column rotated by each shift within its 52 weeks; the unused last days
    stay."""
    used = WEEKS * STEPS_PER_WEEK
    out = np.repeat(columns, len(shifts_weeks), axis=0)
    for index, shift in enumerate(shifts_weeks):
        out[index :: len(shifts_weeks), :used] = np.roll(columns[:, :used], -shift * STEPS_PER_WEEK, axis=1)
    return out


def _coarser(columns: np.ndarray, step_minutes: int) -> np.ndarray:
    return columns.reshape(columns.shape[0], -1, step_minutes // STEP_MINUTES).mean(axis=-1, dtype=np.float32)


# ---- Files -------------------------------------------------------------------------------------------------


def _load_grid(code: str, cache_dir: str | Path | None, progress: bool) -> _GridData:
    spec = importlib.util.find_spec("simbench")  # found, not imported: importing it costs seconds
    if spec is None or spec.origin is None:
        raise ProfileError(f"SimBench data for {code!r} need another package: pip install 'smartgrid-marl[data]'")
    folder = Path(cache_dir) if cache_dir is not None else platformdirs.user_cache_path("smartgrid-marl")
    version = importlib.metadata.version("simbench")
    cached = folder / f"simbench-{version}-{code.removesuffix('-no_sw').removesuffix('-sw')}-v{CACHE_FORMAT}.npz"
    try:
        with np.load(cached, allow_pickle=False) as stored:
            return _GridData(**{name: stored[name] for name in _GridData.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there yet, or cut short: extract it (again)
    data = _extract(code, Path(spec.origin).parent / "networks", progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".npz.tmp")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **data.__dict__)
        os.replace(temporary, cached)
    except OSError as error:
        warnings.warn(f"SimBench data of {code} are not cached in {folder}: {error}", stacklevel=3)
    return data


def _extract(code: str, networks: Path, progress: bool) -> _GridData:
    _, _, grid, _, scenario, *_ = code.split("-")
    folder = networks / f"1-complete_data-mixed-all-{scenario}-sw"
    subnet = LV_SUBNETS[grid]
    loads = _rows_of_subnet(folder / "Load.csv", subnet)
    solar = [row for row in _rows_of_subnet(folder / "RES.csv", subnet) if row["type"] == "PV"]
    load_profiles = sorted({row["profile"] for row in loads})
    solar_profiles = sorted({row["profile"] for row in solar}) or ["PV1"]
    with Progress(disable=not progress, transient=True) as bar:
        load_values = _profile_columns(folder / "LoadProfile.csv", [f"{name}_pload" for name in load_profiles], bar)
        solar_values = _profile_columns(folder / "RESProfile.csv", solar_profiles, bar)
    return _GridData(
        load_name=np.array([row["id"] for row in loads]),
        load_bus=np.array([row["node"] for row in loads]),
        load_profile=np.array([row["profile"] for row in loads]),
        load_kw=np.array([float(row["pLoad"]) * 1e3 for row in loads]),
        load_kvar=np.array([float(row["qLoad"]) * 1e3 for row in loads]),
        solar_bus=np.array([row["node"] for row in solar], dtype=str),
        solar_profile=np.array([row["profile"] for row in solar], dtype=str),
        solar_kwp=np.array([float(row["pRES"]) * 1e3 for row in solar]),
        load_profile_names=np.array(load_profiles),
        load_profile_values=load_values,
        solar_profile_names=np.array(solar_profiles),
        solar_profile_values=solar_values,
    )


def _rows_of_subnet(path: Path, subnet: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(";")
        rows = [dict(zip(header, line.rstrip("\n").split(";"), strict=True)) for line in file if f";{subnet}" in line]
    # "LV1.101" and not "LV1.1011"; "LV1.101_eq" would be another element
    rows = [row for row in rows if row["subnet"].split("_")[0] == subnet]
    return sorted(rows, key=lambda row: int(re.findall(r"\d+", row["id"])[-1]))


def _profile_columns(path: Path, names: list[str], bar: Progress) -> np.ndarray:
    """Columns of a profile table, [C, T] float32."""
    task = bar.add_task(f"reading SimBench {path.name} (once)", total=path.stat().st_size)

    def lines(file) -> Iterator[str]:
        for number, line in enumerate(file):
            if number % 500 == 0:
                bar.update(task, completed=number * len(line))
            yield line

    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(";")
        columns = [header.index(name) for name in names]
        values = np.loadtxt(lines(file), delimiter=";", usecols=columns, ndmin=2, dtype=np.float32)
    bar.update(task, completed=path.stat().st_size)
    if values.shape[0] != STEPS_OF_2016:
        raise ProfileError(f"{path}: {values.shape[0]} rows, expected {STEPS_OF_2016}; reinstall the simbench package")
    return np.ascontiguousarray(values.T)
