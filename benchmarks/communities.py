"""Communities of any size for measurements: the five prosumers of community-5 over and over."""

from __future__ import annotations

from typing import Any

from smartgrid_core import GridConfig

SCENARIO = "community-5"
_LARGEST_FEEDER = 252  # buses beyond which prosumers share buses, as in town-1000


def community(agents: int, buses: int | None = None, **overrides: Any) -> GridConfig:
    """community-5 with so many prosumers in a ring.

    Args:
        agents: N; 5 is community-5 itself.
        buses: of the feeder; by default 15, or as many as give every prosumer one, up to those of a small town.
    """
    base = GridConfig.load(SCENARIO)
    kinds = [prosumer.model_dump(mode="json") for prosumer in base.prosumers]
    if agents != len(kinds):
        repeated = (kinds[k % len(kinds)] | {"name": f"{kinds[k % len(kinds)]['name']} {k + 1}"} for k in range(agents))
        overrides["prosumers"] = list(repeated)
    if buses is None:
        buses = min(max(15, agents + 2), _LARGEST_FEEDER)
    return GridConfig.load(SCENARIO, **{"network.buses": buses, **overrides})
