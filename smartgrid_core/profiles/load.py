"""The profiles a configuration asks for, built once per process, and again where a file of theirs has changed."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smartgrid_core.config import GridConfig, ProsumerConfig, middle
from smartgrid_core.profiles.types import Profiles, ProsumerProfileSpec

TYPICAL_ANNUAL_KWH = {  # order of magnitude of one connection on a European low-voltage feeder
    "residential": 3500.0,  # BDEW: average German household, about 3,500 kWh
    "suburban": 5000.0,  # detached house with heat pump share or electric car
    "mixed": 8000.0,  # dwelling above a shop
    "commercial": 12000.0,  # small shop or office
    "industrial": 25000.0,  # workshop with machines
}


class LoadedProfiles(NamedTuple):
    """Profiles and where the data says its prosumers are connected."""

    profiles: Profiles
    buses: tuple[str | None, ...]  # bus name per agent, None where the data names none


def load_profiles(config: GridConfig) -> LoadedProfiles:
    """Build or read the profiles of a scenario.

    Raises:
        ProfileError: faulty data, with file, row and column.
    """
    key = config.model_dump_json(include={"prosumers", "profiles", "step_minutes", "network"})
    key += str(config.profiles.clock)
    files = (config.profiles.path, config.profiles.price_path)
    return _load(key, tuple(_version(path) for path in files if path), _Holder(config))


def _version(path: Path) -> tuple[int, ...]:
    """What changes when a file is written anew; nothing for one that is not there, which its reader tells."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Holder:
    """Carries the configuration past the cache, whose key is its JSON."""

    def __init__(self, config: GridConfig):
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4)
def _load(_key: str, _versions: tuple[tuple[int, ...], ...], holder: _Holder) -> LoadedProfiles:
    config = holder.config
    loaded = {"synthetic": _synthetic, "simbench": _simbench, "csv": _csv}[config.profiles.source](config)
    if config.profiles.price_path is None:
        return loaded
    from smartgrid_core.profiles.csv_prices import with_prices

    zone = config.profiles.clock
    return loaded._replace(profiles=with_prices(loaded.profiles, config.profiles.price_path, time_zone=zone))


def _synthetic(config: GridConfig) -> LoadedProfiles:
    from smartgrid_core.profiles.synthetic import synthetic_profiles

    profiles = synthetic_profiles(
        [_spec(agent) for agent in config.agents], step_minutes=config.step_minutes,
        latitude_deg=config.profiles.latitude_deg, seed=config.profiles.seed,
    )  # fmt: skip
    return LoadedProfiles(profiles, (None,) * config.num_agents)


def _simbench(config: GridConfig) -> LoadedProfiles:
    from smartgrid_core.profiles.simbench import simbench_profiles

    agents = config.agents
    solar = [None if a.solar is None else middle(a.solar.capacity_kwp) for a in agents]
    code = config.profiles.code or ""
    profiles, people = simbench_profiles(code, prosumers=len(agents), solar_kwp=solar, step_minutes=config.step_minutes)
    wanted = [None if a.annual_demand_kwh is None else middle(a.annual_demand_kwh) for a in agents]
    factors = [1.0 if w is None else w / max(p.annual_demand_kwh, 1e-9) for w, p in zip(wanted, people, strict=True)]
    scaled = replace(profiles, demand_scale=profiles.demand_scale * np.array(factors, dtype=np.float32))
    same_grid = config.network.feeder == f"simbench:{code}"
    return LoadedProfiles(scaled, tuple(p.bus if same_grid else None for p in people))


def _csv(config: GridConfig) -> LoadedProfiles:
    from smartgrid_core.profiles.csv_source import csv_profiles

    profiles = csv_profiles(
        str(config.profiles.path), time_zone=config.profiles.clock, step_minutes=config.step_minutes,
        agents=[agent.name for agent in config.agents],
        split="weeks" if config.profiles.hold_out else "all",
        margin_steps=config.steps_per_day + config.window_edges_steps[-1],
    )  # fmt: skip
    return LoadedProfiles(profiles, (None,) * config.num_agents)


def _spec(agent: ProsumerConfig) -> ProsumerProfileSpec:
    annual = agent.annual_demand_kwh
    solar = agent.solar
    return ProsumerProfileSpec(
        name=agent.name, archetype=agent.archetype,
        annual_demand_kwh=TYPICAL_ANNUAL_KWH[agent.archetype] if annual is None else middle(annual),
        solar_kwp=middle(solar.capacity_kwp) if solar else 0.0,
        tilt_deg=solar.tilt_deg if solar else 35.0, azimuth_deg=solar.azimuth_deg if solar else 180.0,
    )  # fmt: skip
