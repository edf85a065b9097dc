"""The profiles a configuration asks for, built once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from smartgrid_core.config import GridConfig, ProsumerConfig
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
        MissingExtraError: simbench is asked for and not installed.
    """
    key = config.model_dump_json(include={"prosumers", "profiles", "step_minutes"})
    return _load(key, _Holder(config))


class _Holder:
    """Carries the configuration past the cache, whose key is its JSON."""

    def __init__(self, config: GridConfig):
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4)
def _load(_key: str, holder: _Holder) -> LoadedProfiles:
    config = holder.config
    nowhere = (None,) * config.num_agents
    if config.profiles.source == "synthetic":
        from smartgrid_core.profiles.synthetic import synthetic_profiles

        profiles = synthetic_profiles(
            [_spec(agent) for agent in config.agents], step_minutes=config.step_minutes,
            latitude_deg=config.profiles.latitude_deg, seed=config.profiles.seed,
        )  # fmt: skip
        return LoadedProfiles(profiles, nowhere)
    raise NotImplementedError(config.profiles.source)


def _spec(agent: ProsumerConfig) -> ProsumerProfileSpec:
    annual = agent.annual_demand_kwh
    solar = agent.solar
    return ProsumerProfileSpec(
        name=agent.name, archetype=agent.archetype,
        annual_demand_kwh=TYPICAL_ANNUAL_KWH[agent.archetype] if annual is None else 0.5 * sum(annual),
        solar_kwp=0.5 * sum(solar.capacity_kwp) if solar else 0.0,
        tilt_deg=solar.tilt_deg if solar else 35.0, azimuth_deg=solar.azimuth_deg if solar else 180.0,
    )  # fmt: skip
