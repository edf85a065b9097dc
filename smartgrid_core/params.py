"""Configuration turned into tensors; ranges drawn once per grid by its key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from smartgrid_core import rng
from smartgrid_core.config import GridConfig, ProsumerConfig, middle
from smartgrid_core.config.prosumer import LEAST_TRADE_KW
from smartgrid_core.errors import ConfigError
from smartgrid_core.links import Links
from smartgrid_core.profiles.types import Profiles
from smartgrid_core.types import Params


def build_params(config: GridConfig, profiles: Profiles, links: Links, key: Tensor) -> Params:
    """Parameters of every grid; a field is [N, 1] unless some prosumer gives a range, then [N, B].

    Args:
        key: [B] int32 grid keys; their device is the parameters' device.
    """
    agents, device = config.agents, key.device
    drawer = _Drawer(key, len(agents))

    def each(pick: Callable[[ProsumerConfig], tuple[float, float]]) -> Tensor:
        return drawer.draw([pick(a) for a in agents])

    capacity = each(lambda a: a.battery.capacity_kwh)
    soc_min, soc_max = (_column([getattr(a.battery, f) for a in agents], device) for f in ("soc_min", "soc_max"))
    demand_scale = torch.from_numpy(profiles.demand_scale).to(device, torch.float32)[:, None]
    generation_scale = torch.from_numpy(profiles.generation_scale).to(device, torch.float32)[:, None]
    weights = config.stability
    stability = torch.tensor([weights.voltage, weights.loading, weights.balance, weights.reserve], device=device)
    rewards = config.rewards
    exists = (capacity > 0).float()
    charge, discharge = (
        exists * each(lambda a: a.battery.charge_kw),
        exists * each(lambda a: a.battery.discharge_kw),
    )
    return Params(
        capacity_kwh=capacity,
        charge_kw=charge,
        discharge_kw=discharge,
        shift_kw=torch.maximum(charge, discharge),
        charge_efficiency=each(lambda a: a.battery.charge_efficiency),
        discharge_efficiency=each(lambda a: a.battery.discharge_efficiency),
        soc_min_kwh=capacity * soc_min,
        soc_max_kwh=capacity * soc_max,
        initial_soc_low=_column([a.battery.initial_soc[0] for a in agents], device),
        initial_soc_high=_column([a.battery.initial_soc[1] for a in agents], device),
        has_battery=exists,
        trade_kw=drawer.draw(trade_limits_kw(config, profiles)),
        link_kw=torch.from_numpy(links.rating_kw).to(device, torch.float32)[..., None],
        demand_scale=demand_scale * each(_demand_factor),
        generation_scale=generation_scale * each(_solar_factor),
        price_level=drawer.draw([config.tariff.level])[0],
        impedance_scale=drawer.draw([config.network.impedance_scale])[0],
        reward_weights=torch.tensor(
            [rewards.stability, rewards.efficiency, rewards.cost, rewards.cooperation], device=device
        ),
        stability_weights=stability / stability.sum(),
    )


def trade_limits_kw(config: GridConfig, profiles: Profiles) -> list[tuple[float, float]]:
    """What each prosumer may order from or to the utility: without a limit of its own, what stands behind the meter.

    The peak of a synthetic demand is left out: it is chance, and the unit of powers observed must not follow a seed.
    """

    def follows(i: int, agent: ProsumerConfig) -> tuple[float, float]:
        peak_kw = profiles.peak_generation_kw[i] * _solar_factor(agent)[1]
        if config.profiles.source != "synthetic":
            peak_kw = max(peak_kw, profiles.peak_demand_kw[i] * _demand_factor(agent)[1])
        limit_kw = max(LEAST_TRADE_KW, float(math.ceil(peak_kw)))
        return limit_kw, limit_kw

    return [follows(i, a) if a.trade_kw is None else a.trade_kw for i, a in enumerate(config.agents)]


def _relative(value: tuple[float, float] | None) -> tuple[float, float]:
    """A range as factors on its own middle."""
    if value is None or middle(value) == 0:
        return (1.0, 1.0)
    return (value[0] / middle(value), value[1] / middle(value))


def _demand_factor(agent: ProsumerConfig) -> tuple[float, float]:
    low, high = _relative(agent.annual_demand_kwh)
    return (low * agent.demand_scale[0], high * agent.demand_scale[1])


def _solar_factor(agent: ProsumerConfig) -> tuple[float, float]:
    return _relative(agent.solar.capacity_kwp if agent.solar else None)


def _column(values: list[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]


def change_weights(target: Tensor, names: Sequence[str], weights: dict[str, float], normalise: bool) -> None:
    """Set some of the weights in place, where a captured step reads them.

    Args:
        target: [len(names)]; weights: by name; normalise: to the sum 1.

    Raises:
        ConfigError: an unknown name, a weight that is no number ≥ 0, or nothing left to normalise.
    """
    values = dict(zip(names, target.tolist(), strict=True))
    for name, value in weights.items():
        if name not in values or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ConfigError(f"weight {name} = {value!r}: expected a number ≥ 0 for one of {', '.join(names)}")
        values[name] = float(value)
    total = sum(values.values()) if normalise else 1.0
    if total <= 0:
        raise ConfigError("all weights are 0: at least one must be positive")
    target.copy_(torch.tensor([values[n] / total for n in names], device=target.device))


class _Drawer:
    """Draws one quantity after another; the quantity's position is its counter."""

    def __init__(self, key: Tensor, num_agents: int):
        self.key, self.rows, self.position = (
            key,
            rng.rows(rng.Stream.PARAMETERS, num_agents).to(key.device),
            0,
        )

    def draw(self, ranges: list[tuple[float, float]]) -> Tensor:
        """[len(ranges), 1] where all are single numbers, else [len(ranges), B]."""
        self.position += 1
        low, high = (_column([r[i] for r in ranges], self.key.device) for i in (0, 1))
        if all(a == b for a, b in ranges):
            return low
        key = rng.combine(self.key, self.position)
        return rng.between(rng.uniform(key, self.rows[: len(ranges)]), low, high)
