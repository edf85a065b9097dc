"""One step of every community, as a pure function: (params, state, action) → (state, result).

Reads like the physics: actions → transfers and trade → battery → network → stability → settlement →
rewards. Everything inside is feature-major ([N, B], batch last) and free of host synchronisation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from smartgrid_core import battery, market, rewards, settlement, stability
from smartgrid_core.config import GridConfig
from smartgrid_core.events import Events
from smartgrid_core.links import Links
from smartgrid_core.network import Network, NetworkState
from smartgrid_core.types import Ledger, Params, RewardParts, StabilityParts, State, kernel


class Physics(NamedTuple):
    """Everything a step computes before time moves on, feature-major."""

    soc_kwh: Tensor  # [N, B] after the step
    ledger: Ledger  # fields [N, B]
    transfers_kw: Tensor  # [K, N, B]
    imbalance_kw: Tensor  # [N, B]
    network: NetworkState
    stability: Tensor  # [B]
    stability_parts: StabilityParts
    bill: settlement.Bill
    reward: Tensor  # [N, B]
    reward_parts: RewardParts
    clamped: Tensor  # [B] int32
    nonfinite: Tensor  # [B] int32


class Community(nn.Module):
    """The physics of a scenario: static choices, link layout and the network, with one `step`."""

    partner: Tensor
    slot_used: Tensor

    def __init__(self, config: GridConfig, links: Links, network: Network, events: Events):
        super().__init__()
        self.config, self.network, self.events = config, network, events
        self.step_h = config.step_h
        self.slots = links.used.shape[0]
        self.register_buffer("partner", torch.from_numpy(links.partner.reshape(-1)).int())
        self.register_buffer("slot_used", torch.from_numpy(links.used)[..., None])

    def step(self, params: Params, state: State, action: Tensor) -> Physics:
        """Physics of one step; action [K+1, N, B], feature-major and contiguous."""
        demand, generation, soc = kernel(state.demand_kw), kernel(state.generation_kw), kernel(state.soc_kwh)
        islanded = state.islanded if self.events.can_island else None
        branch_open, energised = None, None
        if self.events.can_open_branches:
            branch_open, energised = kernel(state.branch_open), kernel(state.energised)
        import_price, export_price = state.import_eur_per_kwh, state.export_eur_per_kwh
        a, clamped, nonfinite = clean_action(action)
        on_grid = on_grid_mask(islanded, energised, demand)
        chargeable, dischargeable = battery.limits_kw(soc, params, self.step_h)

        flow = self._transfers(a, params, energised, on_grid, demand, generation, chargeable, dischargeable)
        residual = generation - demand + flow.sum(0)
        order = self._order(a[-1], residual, chargeable, dischargeable, params, on_grid)
        wanted = residual + order
        charge, discharge = battery.split_kw(wanted, chargeable, dischargeable)
        imbalance = wanted - (charge - discharge)
        ledger = make_ledger(demand, generation, flow, order, imbalance, charge, discharge, on_grid)
        next_soc = battery.next_soc_kwh(soc, charge, discharge, params, self.step_h)

        net_received = flow.sum(0)
        injection = imbalance - order - net_received if on_grid is None else imbalance * on_grid - order - net_received
        net = self.network(
            injection, demand - ledger.unserved_kw,
            params.impedance_scale if self._scales_impedance else None, branch_open, islanded,
        )  # fmt: skip
        parts = stability.parts(
            net.result.voltage_pu, net.bus_energised, net.result.loading, net.result.converged, imbalance,
            demand, generation, next_soc, params, self.config.network.voltage_band_pu,
        )  # fmt: skip
        index = stability.index(parts, params.stability_weights)
        bill = settlement.settle(
            order, imbalance, net_received, ledger.unserved_kw,
            settlement.share_losses(net.result.loss_kw, injection), on_grid, import_price, export_price,
            self.config.tariff.imbalance_penalty_eur_per_kwh, self.config.tariff.lost_load_eur_per_kwh, self.step_h,
        )  # fmt: skip
        reward_parts = RewardParts(
            (index - 1).expand_as(demand),
            rewards.efficiency(
                bill.loss_share_kw, battery.conversion_loss_kw(charge, discharge, params), ledger.curtailed_kw,
                import_price, self.step_h,
            ),
            -bill.total_eur,
            rewards.cooperation(
                net_received, demand - generation - dischargeable, ledger.bought_kw, ledger.unserved_kw,
                import_price, self.step_h,
            ),
        )  # fmt: skip
        reward = sum_weighted(reward_parts, params.reward_weights)
        return Physics(
            next_soc,
            ledger,
            flow,
            imbalance,
            net,
            index,
            parts,
            bill,
            reward,
            reward_parts,
            clamped,
            nonfinite,
        )

    @property
    def _scales_impedance(self) -> bool:
        return self.config.network.impedance_scale != (1.0, 1.0)

    def _transfers(
        self, a: Tensor, params: Params, energised: Tensor | None, on_grid: Tensor | None,
        demand: Tensor, generation: Tensor, chargeable: Tensor, dischargeable: Tensor,
    ) -> Tensor:  # fmt: skip
        """Flow into each prosumer over each link slot, [K, N, B] kW."""
        if self.slots == 0:
            return demand.new_zeros(0, *demand.shape)
        wish = a[:-1] * params.link_kw
        if energised is not None:
            live = energised.expand(self.slots, *demand.shape).to(wish.dtype)
            wish = wish * live * market.at_partner(live.contiguous(), self.partner)
        flow = market.agreed_transfers(wish, self.partner, self.config.transfer_rule)
        if on_grid is None:
            return flow
        return market.backed_transfers(
            flow, self.partner, generation + dischargeable, demand + chargeable, on_grid == 0
        )

    def _order(
        self, a: Tensor, residual: Tensor, chargeable: Tensor, dischargeable: Tensor, params: Params,
        on_grid: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Trade ordered with the utility, [N, B] kW, positive buys."""
        if self.config.trade_mode == "absolute":
            order = a * params.trade_kw
        else:
            order = market.trade_around_balance(
                a, residual, chargeable, dischargeable, params.shift_kw, params.trade_kw
            )
        return order if on_grid is None else order * on_grid


def clean_action(action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Action [A, N, B] in [-1, 1], with counts of clamped and non-finite entries, int32 [B]."""
    finite = torch.isfinite(action)
    a = torch.where(finite, action, 0.0)
    clamped = (a.abs() > 1).sum((0, 1), dtype=torch.int32)
    return a.clamp(-1, 1), clamped, (~finite).sum((0, 1), dtype=torch.int32)


def on_grid_mask(islanded: Tensor | None, energised: Tensor | None, like: Tensor) -> Tensor | None:
    """1 where the utility stands behind a prosumer, 0 where not, [N, B]; None where it always does."""
    if islanded is None and energised is None:
        return None
    on_grid = torch.ones_like(like)
    if islanded is not None:
        on_grid = on_grid * (~islanded).to(like.dtype)
    if energised is not None:
        on_grid = on_grid * energised.to(like.dtype)
    return on_grid


def make_ledger(
    demand: Tensor, generation: Tensor, flow: Tensor, order: Tensor, imbalance: Tensor, charge: Tensor,
    discharge: Tensor, on_grid: Tensor | None,
) -> Ledger:  # fmt: skip
    """Ledger of the step: imbalance is bought or sold on the grid, unserved or curtailed off it."""
    short, long = (-imbalance).clamp_min(0), imbalance.clamp_min(0)
    received, sent = flow.clamp_min(0).sum(0), (-flow).clamp_min(0).sum(0)
    bought, sold = order.clamp_min(0), (-order).clamp_min(0)
    if on_grid is None:
        nothing = torch.zeros_like(demand)
        return Ledger(
            generation,
            demand,
            bought + short,
            sold + long,
            received,
            sent,
            charge,
            discharge,
            nothing,
            nothing,
        )
    off = 1 - on_grid
    return Ledger(
        generation, demand, bought + short * on_grid, sold + long * on_grid, received, sent, charge, discharge,
        short * off, long * off,
    )  # fmt: skip


def sum_weighted(parts: RewardParts, weights: Tensor) -> Tensor:
    """Weighted sum of the reward parts, [N, B]."""
    return (
        weights[0] * parts.stability
        + weights[1] * parts.efficiency
        + weights[2] * parts.cost
        + weights[3] * parts.cooperation
    )
