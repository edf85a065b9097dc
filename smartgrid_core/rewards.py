"""The four reward components (feature-major; EUR-equivalents per step)."""

from __future__ import annotations

import torch
from torch import Tensor


def efficiency(
    loss_share_kw: Tensor, conversion_kw: Tensor, curtailed_kw: Tensor, import_price: Tensor, step_h: float
) -> Tensor:
    """Energy wasted by each prosumer, at the import price, negative. [N, B]."""
    return -(loss_share_kw + conversion_kw + curtailed_kw) * import_price.clamp_min(0) * step_h


def cooperation(
    net_received_kw: Tensor, need_kw: Tensor, bought_kw: Tensor, unserved_kw: Tensor,
    import_price: Tensor, step_h: float,
) -> Tensor:  # fmt: skip
    """Energy that helped a neighbour in need, credited to those who really gave it. [N, B].

    Only *net* transfers count, so a circulation earns nothing; what a sender bought or was short of is
    taken off what it sent, so buying to forward earns nothing; help is capped by the receiver's need, so
    storing does not count. Help is ascribed to forwarded purchases before gifts, so that one pair's purchases cannot
    earn credit for what another pair merely stores. The credit never exceeds what was given.

    Args:
        net_received_kw: [N, B]; need_kw: [N, B] demand beyond own generation and battery.
        bought_kw, unserved_kw: [N, B] of the ledger; import_price: [B].
    """
    helped = torch.minimum(net_received_kw.clamp_min(0), need_kw.clamp_min(0)).sum(0)
    sent = (-net_received_kw).clamp_min(0)
    given = (sent - bought_kw - unserved_kw).clamp_min(0)
    total = given.sum(0)
    genuine = helped - (sent.sum(0) - total)
    share = torch.where(total > 0, (genuine / torch.where(total > 0, total, 1.0)).clamp(0.0, 1.0), 0.0)
    return given * share * import_price.clamp_min(0) * step_h
