"""What a prosumer sees: named, scaled entries, assembled feature-major."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from smartgrid_core.config import GridConfig
from smartgrid_core.types import Exogenous

LIMIT = 10.0  # every entry is clamped to [-LIMIT, LIMIT]; scaled values are of order 1


class ObservationEntry(NamedTuple):
    """One entry of the observation vector."""

    name: str
    unit: str  # unit of the physical quantity
    scale: str  # what the quantity is divided by
    low: float
    high: float


def entries(config: GridConfig, slots: int) -> list[ObservationEntry]:
    """Entries in order; power is divided by the prosumer's own `trade_kw`, prices by the highest import price."""

    def power(name: str) -> ObservationEntry:
        return ObservationEntry(name, "kW", "own trade_kw, at least 1 kW", -LIMIT, LIMIT)

    def price(name: str) -> ObservationEntry:
        return ObservationEntry(name, "EUR/kWh", "highest import price", -LIMIT, LIMIT)

    def fraction(name: str) -> ObservationEntry:
        return ObservationEntry(name, "1", "1", 0.0, 1.0)

    edges = (0.0, *config.forecast.window_edges_h)
    windows = [f"{a:g}-{b:g}h" for a, b in pairwise(edges)]
    out = [fraction("soc"), power("demand"), power("generation"), fraction("stability")]
    out += [fraction("connected"), fraction("energised"), price("import_price"), price("export_price")]
    out += [price(f"import_price_{w}") for w in windows] + [price(f"export_price_{w}") for w in windows]
    out += [
        ObservationEntry(f"{wave}_{cycle}", "1", "1", -1.0, 1.0) for cycle in ("day", "year") for wave in ("sin", "cos")
    ]
    out += [ObservationEntry("voltage", "p.u.", "deviation from 1 over the allowed band", -LIMIT, LIMIT)]
    out += [fraction(f"neighbour_{k}_soc") for k in range(slots)]
    out += [
        ObservationEntry(f"neighbour_{k}_net", "kW", "the neighbour's trade_kw", -LIMIT, LIMIT) for k in range(slots)
    ]
    out += [power(f"net_forecast_{w}") for w in windows]
    out += [ObservationEntry(f"community_forecast_{w}", "kW", "sum of trade_kw", -LIMIT, LIMIT) for w in windows]
    out += [SIZES[name] for name in drawn_sizes(config)]
    return out


SIZES = {
    "capacity_kwh": ObservationEntry("capacity", "kWh", "an hour of own trade_kw, at least 1 kW", 0.0, LIMIT),
    "charge_kw": ObservationEntry("charge_limit", "kW", "own trade_kw, at least 1 kW", 0.0, LIMIT),
    "discharge_kw": ObservationEntry("discharge_limit", "kW", "own trade_kw, at least 1 kW", 0.0, LIMIT),
}


def drawn_sizes(config: GridConfig) -> tuple[str, ...]:
    """What of batteries differs from grid to grid: a prosumer knows its own, as plans do."""
    batteries = [agent.battery for agent in config.prosumers]
    ranges = {name: [getattr(battery, name) for battery in batteries] for name in SIZES}
    return tuple(name for name, pairs in ranges.items() if any(low != high for low, high in pairs))


def assemble(
    soc_fraction: Tensor, exogenous: Exogenous, prices: Tensor, stability: Tensor, connected: Tensor, energised: Tensor,
    voltage_pu: Tensor, neighbour: Tensor, slot_used: Tensor, trade_kw: Tensor, price_scale: float, band_pu: float,
    sizes: Sequence[Tensor] = (),
) -> Tensor:  # fmt: skip
    """Observations of all prosumers.

    Args:
        prices: [2 + 2 W, B] EUR/kWh, as `Exogenous.prices` gives them.
        soc_fraction, voltage_pu, energised: [N, B]; stability, connected: [B].
        neighbour: [K·N] agent at the other end of each slot; slot_used: [K, N, 1] bool.
        trade_kw: [N, 1|B] scale of powers.
        sizes: of batteries, those of `drawn_sizes`, [N, B].

    Returns:
        [O, N, B].
    """
    n, b = soc_fraction.shape
    scale = 1.0 / trade_kw.clamp_min(1.0)
    net = (exogenous.generation_kw - exogenous.demand_kw) * scale

    def shared(x: Tensor) -> Tensor:
        return x.reshape(-1, 1, b).expand(-1, n, b)

    def neighbours(x: Tensor) -> Tensor:
        slots = slot_used.shape[0]
        return torch.where(slot_used, x.index_select(0, neighbour).view(slots, n, b), 0.0)

    net_ahead = exogenous.generation_ahead_kw - exogenous.demand_ahead_kw
    community = net_ahead.sum(1) * (1.0 / trade_kw.clamp_min(1.0).sum(0))
    return torch.cat(  # bounded piece by piece: a clamp of the whole would cost one more pass over memory
        [
            soc_fraction[None],
            _bounded(exogenous.demand_kw * scale)[None],
            _bounded(exogenous.generation_kw * scale)[None],
            shared(stability),
            shared(connected),
            energised[None],
            shared(_bounded(prices * (1.0 / price_scale))),
            shared(exogenous.calendar),
            _bounded((voltage_pu - 1.0) * (1.0 / band_pu))[None],
            neighbours(soc_fraction),
            neighbours(_bounded(net)),
            _bounded(net_ahead * scale),
            shared(_bounded(community)),
            *(_bounded(size * scale)[None] for size in sizes),
        ]
    )


def _bounded(x: Tensor) -> Tensor:
    return x.clamp(-LIMIT, LIMIT)
