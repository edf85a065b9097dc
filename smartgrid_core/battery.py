"""The battery behind each meter: what it can do in a step and what that does to it (feature-major)."""

from __future__ import annotations

import torch
from torch import Tensor

from smartgrid_core.types import Params


def limits_kw(soc_kwh: Tensor, params: Params, step_h: float) -> tuple[Tensor, Tensor]:
    """Largest charging and discharging power over the coming step, meter side, each [N, B] kW ≥ 0."""
    room_kw = (params.soc_max_kwh - soc_kwh).clamp_min(0) / (params.charge_efficiency * step_h)
    content_kw = (soc_kwh - params.soc_min_kwh).clamp_min(0) * params.discharge_efficiency / step_h
    return torch.minimum(room_kw, params.charge_kw), torch.minimum(content_kw, params.discharge_kw)


def split_kw(wanted_kw: Tensor, chargeable_kw: Tensor, dischargeable_kw: Tensor) -> tuple[Tensor, Tensor]:
    """Charge and discharge power that come nearest to what is wanted, each [N, B] kW ≥ 0."""
    charge = torch.minimum(wanted_kw.clamp_min(0), chargeable_kw)
    discharge = torch.minimum((-wanted_kw).clamp_min(0), dischargeable_kw)
    return charge, discharge


def next_soc_kwh(soc_kwh: Tensor, charge_kw: Tensor, discharge_kw: Tensor, params: Params, step_h: float) -> Tensor:
    """Content after the step, [N, B] kWh; the clamp only removes rounding."""
    change = charge_kw * params.charge_efficiency - discharge_kw / params.discharge_efficiency
    moved = soc_kwh + change * step_h
    return torch.minimum(torch.maximum(moved, params.soc_min_kwh), params.soc_max_kwh)


def conversion_loss_kw(charge_kw: Tensor, discharge_kw: Tensor, params: Params) -> Tensor:
    """Power turned to heat by charging and discharging, [N, B] kW."""
    return charge_kw * (1 - params.charge_efficiency) + discharge_kw * (1 / params.discharge_efficiency - 1)
