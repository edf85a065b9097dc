"""What a policy reads and what its actions mean: a scenario it runs on must have the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from smartgrid_core import GridConfig, observations
from smartgrid_core.links import action_names


class Interface(NamedTuple):
    """Between a community and a policy."""

    num_agents: int
    observation_names: list[str]
    action_names: list[str]
    trade_mode: str
    transfer_rule: str


def interface_of(config: GridConfig, slots: int) -> Interface:
    """That of a scenario whose prosumers have so many link slots."""
    seen = [entry.name for entry in observations.entries(config, slots)]
    return Interface(config.num_agents, seen, action_names(slots), config.trade_mode, config.transfer_rule)


def misfit(about: Mapping[str, Any], scenario: str, there: Interface) -> str | None:
    """In what a policy and a scenario differ, in a clause that goes on from the policy's name; None where they fit.

    Args:
        about: what the policy's checkpoint says. What one of an older version does not say is taken to agree.
        scenario: its name; there: its interface.
    """
    for field, actual in there._asdict().items():
        trained = about.get(field)
        if isinstance(actual, list):
            dim = field.replace("_names", "_dim")
            if about[dim] != len(actual):
                field, trained, actual = dim, about[dim], len(actual)
            elif trained is not None:
                pairs = enumerate(zip(trained, actual, strict=False))
                k, (trained, actual) = next(((k, (a, b)) for k, (a, b) in pairs if a != b), (0, (None, None)))
                field = f"{field}[{k}]"
        if trained not in (None, actual):
            return f"was trained on {about['scenario']} with {field} = {trained}; {scenario} has {actual}"
    return None
