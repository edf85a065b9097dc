"""What a policy reads and what its actions mean: a scenario it runs on must have the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from smartgrid_core import GridConfig, Simulator, observations
from smartgrid_core.links import action_names
from smartgrid_core.params import trade_limits_kw
from smartgrid_core.profiles.load import load_profiles

Limits = list[tuple[float, float]]


@dataclass(frozen=True)
class Interface:
    """Between a community and a policy."""

    num_agents: int
    observation_names: list[str]
    action_names: list[str]
    trade_mode: str
    transfer_rule: str
    find_limits_kw: Callable[[], Limits]

    @cached_property
    def trade_limits_kw(self) -> Limits:
        """Lowest and highest `trade_kw` of each prosumer: the unit of powers read and ordered. Takes its profiles."""
        return self.find_limits_kw()

    def named(self) -> dict[str, Any]:
        """All but the limits, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "find_limits_kw"}

    def plain(self) -> dict[str, Any]:
        """As a checkpoint's about.json keeps it."""
        return self.named() | {"trade_limits_kw": [list(pair) for pair in self.trade_limits_kw]}


def interface_of(sim: Simulator) -> Interface:
    """That of a simulated community."""
    return _interface(sim.config, sim.num_slots, lambda: trade_limits_kw(sim.config, sim.table.profiles))


def interface_from(config: GridConfig, slots: int) -> Interface:
    """That of a scenario whose prosumers have so many link slots, before it is simulated."""
    return _interface(config, slots, lambda: trade_limits_kw(config, load_profiles(config).profiles))


def _interface(config: GridConfig, slots: int, find_limits_kw: Callable[[], Limits]) -> Interface:
    seen = [entry.name for entry in observations.entries(config, slots)]
    actions = action_names(slots)
    return Interface(config.num_agents, seen, actions, config.trade_mode, config.transfer_rule, find_limits_kw)


def misfit(about: Mapping[str, Any], scenario: str, there: Interface) -> str | None:
    """In what a policy and a scenario differ, in a clause that goes on from the policy's name; None where they fit.

    Args:
        about: what the policy's checkpoint says. What one of an older version does not say is taken to agree.
        scenario: its name; there: its interface.
    """
    for field, actual in there.named().items():
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
    trained = about.get("trade_limits_kw")
    if trained is not None and (units := other_units(trained, there.trade_limits_kw)):
        return f"was trained on {about['scenario']} with {units[0]}, the unit of its powers; {scenario} has {units[1]}"
    return None


def other_units(trained: Sequence[Sequence[float]], now: Limits) -> tuple[str, str] | None:
    """Whose powers a policy would read and order in a unit it did not meet: as trained, and as now; None if nobody's.

    Where `trade_kw` was drawn from a range, units within it are known.
    """
    for i, ((low, high), limits) in enumerate(zip(trained, now, strict=True)):
        if limits[0] < low or limits[1] > high:
            return f"prosumers.{i}.trade_kw = {_range(low, high)}", _range(*limits)
    return None


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
