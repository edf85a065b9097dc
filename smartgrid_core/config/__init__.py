"""What a community is: every number the simulator reads, validated, with its unit in its name.

A configuration is a tree of frozen pydantic models. A quantity typed `Quantity` may be one number or a
two-element range `[low, high]`; a range is drawn once per grid and prosumer (domain randomisation).
"""

from smartgrid_core.config.base import Quantity, middle
from smartgrid_core.config.grid import EvaluationConfig, GridConfig, RewardWeights, StabilityWeights
from smartgrid_core.config.network import LinksConfig, NetworkConfig
from smartgrid_core.config.profiles import ForecastConfig, ForecastKind, ProfilesConfig
from smartgrid_core.config.prosumer import Archetype, BatteryConfig, ProsumerConfig, SolarConfig
from smartgrid_core.config.utility import EventConfig, TariffBand, TariffConfig

__all__ = [
    "Archetype",
    "BatteryConfig",
    "EvaluationConfig",
    "EventConfig",
    "ForecastConfig",
    "ForecastKind",
    "GridConfig",
    "LinksConfig",
    "NetworkConfig",
    "ProfilesConfig",
    "ProsumerConfig",
    "Quantity",
    "RewardWeights",
    "SolarConfig",
    "StabilityWeights",
    "TariffBand",
    "TariffConfig",
    "middle",
]
