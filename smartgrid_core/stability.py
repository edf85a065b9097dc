"""The stability index S in [0, 1] and its four parts (feature-major)."""

from __future__ import annotations

import torch
from torch import Tensor

from smartgrid_core.types import Params, StabilityParts

OVERLOAD_START, OVERLOAD_SPAN = 0.8, 0.4  # loading part falls from 1 at 80 % to 0 at 120 % of rating
RESERVE_SOC = 0.1  # a battery counts as reserve in both directions between 10 % and 90 %


def parts(
    voltage_pu: Tensor, energised: Tensor | None, loading: Tensor, converged: Tensor, imbalance_kw: Tensor,
    demand_kw: Tensor, generation_kw: Tensor, soc_kwh: Tensor, params: Params, voltage_band_pu: float,
) -> StabilityParts:  # fmt: skip
    """The four parts, each [B].

    Args:
        voltage_pu: [n, B] of every bus; `energised` [n, B] bool or None (all).
        loading: [M, B] fraction of rating; converged [B] bool.
        imbalance_kw: [N, B], unserved and curtailed power included.
        voltage_band_pu: allowed deviation (EN 50160: 0.1).
    """
    deviation = ((voltage_pu - 1.0).abs() / voltage_band_pu).clamp(0, 1)
    if energised is None:
        voltage = 1 - deviation.mean(0)
    else:
        live = energised.to(deviation.dtype)
        voltage = 1 - (deviation * live).sum(0) / live.sum(0).clamp_min(1)
    load = 1 - ((loading.amax(0) - OVERLOAD_START) / OVERLOAD_SPAN).clamp(0, 1)
    turnover = demand_kw.sum(0) + generation_kw.sum(0) + 1e-6
    balance = 1 - (imbalance_kw.abs().sum(0) / turnover).clamp(0, 1)
    fraction = soc_kwh / params.capacity_kwh.clamp_min(1e-6)
    reserve = torch.minimum(fraction, 1 - fraction).div(RESERVE_SOC).clamp(0, 1)
    count = params.has_battery.sum(0)
    reserve = torch.where(count > 0, (reserve * params.has_battery).sum(0) / count.clamp_min(1), 1.0)
    solved = converged.to(voltage.dtype)
    return StabilityParts(voltage * solved, load * solved, balance, reserve)


def index(p: StabilityParts, weights: Tensor) -> Tensor:
    """Weighted sum of the parts, [B]; weights [4] sum to 1."""
    total = weights[0] * p.voltage + weights[1] * p.loading + weights[2] * p.balance + weights[3] * p.reserve
    return total.clamp_max(1.0)  # weights that sum to 1 only up to rounding
