"""Who pays what for a step (feature-major; EUR, positive = paid)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Bill(NamedTuple):
    """Cost of the step to each prosumer."""

    total_eur: Tensor  # [N, B]
    transfers_eur: Tensor  # [N, B] paid to neighbours; sums to 0 over the community
    loss_share_kw: Tensor  # [N, B] network losses attributed to each prosumer


def share_losses(loss_kw: Tensor, injection_kw: Tensor) -> Tensor:
    """Losses [B] shared by |injection| [N, B]; equally where nothing flows. [N, B] kW."""
    size = injection_kw.abs()
    total = size.sum(0)
    flowing = total > 0
    share = torch.where(flowing, size / torch.where(flowing, total, 1.0), 1.0 / size.shape[0])
    return loss_kw * share


def settle(
    order_kw: Tensor, imbalance_kw: Tensor, net_received_kw: Tensor, unserved_kw: Tensor, loss_share_kw: Tensor,
    on_grid: Tensor | None, import_price: Tensor, export_price: Tensor, penalty: float, lost_load: float, step_h: float,
) -> Bill:  # fmt: skip
    """Settle one step.

    Args:
        order_kw: [N, B] trade ordered with the utility, positive buys.
        imbalance_kw: [N, B] negative is short, positive is long; settled by the utility where on_grid.
        net_received_kw: [N, B] from neighbours, paid at the mid-market price (Long et al. 2017,
            doi:10.1109/PESGM.2017.8274546), the same at both ends.
        unserved_kw: [N, B] demand not met; loss_share_kw: [N, B].
        on_grid: [N, B] 0/1 or None (all).
        import_price, export_price: [B] EUR/kWh.
        penalty: EUR/kWh on imbalance; lost_load: EUR/kWh of unserved demand; step_h: hours.
    """
    short_price = torch.maximum(import_price, export_price) + penalty
    long_price = torch.minimum(import_price, export_price) - penalty
    utility = order_kw.clamp_min(0) * import_price - (-order_kw).clamp_min(0) * export_price
    imbalance = (-imbalance_kw).clamp_min(0) * short_price - imbalance_kw.clamp_min(0) * long_price
    if on_grid is not None:
        imbalance = imbalance * on_grid
    transfers = net_received_kw * (0.5 * (import_price + export_price))
    losses = loss_share_kw * import_price.clamp_min(0)
    total = utility + imbalance + transfers + losses + unserved_kw * lost_load
    return Bill(total * step_h, transfers * step_h, loss_share_kw)
