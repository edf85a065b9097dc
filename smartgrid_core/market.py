"""Transfers between neighbours and trade with the utility (all tensors feature-major)."""

from __future__ import annotations

import torch
from torch import Tensor


def at_partner(x: Tensor, partner: Tensor) -> Tensor:
    """x [K, N, B] read at the other end of every link; partner is [K·N] flat slot indices."""
    return x.reshape(partner.shape[0], x.shape[-1]).index_select(0, partner).view_as(x)


def agreed_transfers(wish_kw: Tensor, partner: Tensor, rule: str) -> Tensor:
    """Flow into each agent over each slot, antisymmetric between the two ends.

    Args:
        wish_kw: [K, N, B] what each agent wants, positive to receive, already 0 on unusable links.
        partner: [K·N] flat slot index of the other end.
        rule: "consent" takes what both want, "average" splits the difference.

    Returns:
        [K, N, B] kW.
    """
    other = at_partner(wish_kw, partner)
    if rule == "average":
        return 0.5 * (wish_kw - other)
    receive = torch.minimum(wish_kw.clamp_min(0), (-other).clamp_min(0))
    send = torch.minimum((-wish_kw).clamp_min(0), other.clamp_min(0))
    return receive - send


def backed_transfers(
    flow_kw: Tensor, partner: Tensor, available_kw: Tensor, absorbable_kw: Tensor, applies: Tensor
) -> Tensor:
    """Scale transfers to what senders have and receivers can take, where no utility stands behind them.

    Args:
        flow_kw: [K, N, B] agreed transfers.
        partner: [K·N].
        available_kw: [N, B] generation plus what the battery can discharge.
        absorbable_kw: [N, B] demand plus what the battery can charge.
        applies: [B] or [N, B] bool, where the caps hold.

    Returns:
        [K, N, B] kW, still antisymmetric: each flow takes the smaller of its two ends' factors.
    """
    tiny = torch.finfo(flow_kw.dtype).tiny
    offered, accepted = (-flow_kw).clamp_min(0).sum(0), flow_kw.clamp_min(0).sum(0)
    can_send = (available_kw / offered.clamp_min(tiny)).clamp_max(1.0).expand_as(flow_kw)
    can_receive = (absorbable_kw / accepted.clamp_min(tiny)).clamp_max(1.0).expand_as(flow_kw)
    receiving = torch.minimum(can_receive, at_partner(can_send.contiguous(), partner))
    sending = torch.minimum(can_send, at_partner(can_receive.contiguous(), partner))
    return torch.where(applies, flow_kw * torch.where(flow_kw > 0, receiving, sending), flow_kw)


def trade_around_balance(
    action: Tensor, residual_kw: Tensor, chargeable_kw: Tensor, dischargeable_kw: Tensor, shift_kw: Tensor,
    trade_kw: Tensor,
) -> Tensor:  # fmt: skip
    """Order to the utility that closes the meter around a battery shifted by action · shift_kw, [N, B] kW.

    With action 0 the battery follows the residual (self-consumption) and the order is what it cannot cover.
    """
    follow = torch.minimum(torch.maximum(residual_kw, -dischargeable_kw), chargeable_kw)
    battery = torch.minimum(torch.maximum(follow + action * shift_kw, -dischargeable_kw), chargeable_kw)
    return torch.minimum(torch.maximum(battery - residual_kw, -trade_kw), trade_kw)
