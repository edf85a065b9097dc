"""The tensors that flow through a step: parameters, state, exogenous values, results.

Public containers (State, StepResult and its parts) have the batch first: [B, N]. Their memory is
feature-major (stride 1 along the batch), because elementwise work on [N, B] rows is what CPUs and GPUs
stream best; inside the kernel the same memory is read as [N, B] by a free transpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


def public(x: Tensor) -> Tensor:
    """Feature-major [..., N, B] seen batch-first [B, N, ...]; no copy."""
    return x.permute(tuple(range(x.dim() - 1, -1, -1)))


def kernel(x: Tensor) -> Tensor:
    """Batch-first [B, N, ...] seen feature-major [..., N, B]; no copy."""
    return x.permute(tuple(range(x.dim() - 1, -1, -1)))


class Params(NamedTuple):
    """Constants of a run, feature-major; last dimension B where drawn per grid, else 1."""

    capacity_kwh: Tensor  # [N, 1|B] kWh
    charge_kw: Tensor  # [N, 1|B] kW
    discharge_kw: Tensor  # [N, 1|B] kW
    shift_kw: Tensor  # [N, 1|B] kW the trade action ±1 shifts the battery by: the larger of the two powers
    charge_efficiency: Tensor  # [N, 1|B]
    discharge_efficiency: Tensor  # [N, 1|B]
    soc_min_kwh: Tensor  # [N, 1|B] kWh
    soc_max_kwh: Tensor  # [N, 1|B] kWh
    initial_soc_low: Tensor  # [N, 1] fraction
    initial_soc_high: Tensor  # [N, 1] fraction
    has_battery: Tensor  # [N, 1|B] 0 or 1
    trade_kw: Tensor  # [N, 1|B] kW
    link_kw: Tensor  # [K, N, 1] kW, 0 in unused slots
    demand_scale: Tensor  # [N, 1|B] kW per unit of the demand column
    generation_scale: Tensor  # [N, 1|B] kW per unit of the generation column
    price_level: Tensor  # [1|B] factor on tariff prices
    impedance_scale: Tensor  # [1|B] factor on branch impedances
    reward_weights: Tensor  # [4] stability, efficiency, cost, cooperation
    stability_weights: Tensor  # [4] voltage, loading, balance, reserve; sum 1


class State(NamedTuple):
    """Everything a grid carries from one step to the next."""

    soc_kwh: Tensor  # [B, N] kWh
    demand_kw: Tensor  # [B, N] kW, of the step about to be taken
    generation_kw: Tensor  # [B, N] kW, of the step about to be taken
    import_eur_per_kwh: Tensor  # [B] of the step about to be taken
    export_eur_per_kwh: Tensor  # [B] of the step about to be taken
    co2_g_per_kwh: Tensor  # [B] of the step about to be taken
    islanded: Tensor  # [B] bool, in the step about to be taken
    energised: Tensor  # [B, N] bool, in the step about to be taken
    branch_open: Tensor  # [B, M] bool, in the step about to be taken; [B, 0] where no branch can open
    stability: Tensor  # [B] of the last step
    voltage_pu: Tensor  # [B, N] at the prosumers' buses after the last step
    step: Tensor  # [B] int32, steps taken in this episode
    episode: Tensor  # [B] int32, episodes finished
    row: Tensor  # [B] int32, time row of the profiles
    key: Tensor  # [B] int32, hash of seed and global grid id; with `episode` it determines the episode's plan
    clamped: Tensor  # [B] int32, action entries clamped to [-1, 1] so far
    nonfinite: Tensor  # [B] int32, action entries that were NaN or infinite and counted as 0


class Plan(NamedTuple):
    """What an episode draws, a function of the grid's key and the episode's number; feature-major."""

    row: Tensor  # [B] int32, time row of step 0
    step: Tensor  # [B] int32, step the episode starts at; above 0 only in a staggered first episode
    soc_kwh: Tensor  # [N, B] at the start
    demand_column: Tensor  # [N, B] int32
    generation_column: Tensor  # [N, B] int32
    demand_jitter: Tensor  # [N, B] factor on demand
    generation_jitter: Tensor  # [N, B] factor on generation
    event_start: Tensor  # [E, B] int32 step
    event_end: Tensor  # [E, B] int32 step, equal to the start where the event does not happen
    event_branch: Tensor  # [E, B] int32 branch that opens


class Conditions(NamedTuple):
    """What events do to a step, feature-major; None where no event of the scenario can."""

    islanded: Tensor | None  # [..., B] bool
    branch_open: Tensor | None  # [..., M, B] bool
    energised: Tensor | None  # [..., N, B] bool
    import_adder: Tensor | None  # [..., B] EUR/kWh
    demand_factor: Tensor | None  # [..., B]
    generation_factor: Tensor | None  # [..., B]


class Exogenous(NamedTuple):
    """What is not decided by anyone in a step, feature-major; a leading dimension [S] where it is several steps."""

    demand_kw: Tensor  # [N, B] kW
    generation_kw: Tensor  # [N, B] kW
    demand_ahead_kw: Tensor  # [W, N, B] kW, as expected, means of the look-ahead windows
    generation_ahead_kw: Tensor  # [W, N, B] kW, likewise
    tariff: Tensor  # [2 + 2 W, B] EUR/kWh: import and export now, window means of import, of export
    calendar: Tensor  # [4, B] sine and cosine of the time of day and of the year
    co2_g_per_kwh: Tensor  # [B]
    islanded: Tensor | None  # [B] bool, or None where no event can island
    branch_open: Tensor | None  # [M, B] bool, or None where no branch can open
    energised: Tensor | None  # [N, B] bool, or None likewise
    import_adder: Tensor | None  # [B] EUR/kWh, or None likewise

    def prices(self, level: Tensor) -> Tensor:
        """The tariff at the grids' price level [1|B], with what spikes add to the import price now, [2 + 2 W, B]."""
        prices = self.tariff * level
        if self.import_adder is None:
            return prices
        return torch.cat([prices[..., :1, :] + self.import_adder.unsqueeze(-2), prices[..., 1:, :]], dim=-2)

    def steps(self) -> list[Exogenous]:
        """Each of the steps, where a leading dimension holds several."""
        count = self.demand_kw.shape[0]
        series: Any = ((None,) * count if x is None else x.unbind(0) for x in self)
        return [Exogenous(*fields) for fields in zip(*series, strict=True)]


class Ledger(NamedTuple):
    """Energy balance of every prosumer, mean power over the step, all [B, N] kW ≥ 0.

    generation + bought + received + discharge + unserved = demand + sold + sent + charge + curtailed.
    """

    generation_kw: Tensor
    demand_kw: Tensor
    bought_kw: Tensor  # ordered from the utility, shortfall included
    sold_kw: Tensor  # ordered to the utility, excess included
    received_kw: Tensor
    sent_kw: Tensor
    charge_kw: Tensor
    discharge_kw: Tensor
    unserved_kw: Tensor
    curtailed_kw: Tensor


class RewardParts(NamedTuple):
    """The four reward components before weighting, [B, N] EUR-equivalents per step."""

    stability: Tensor
    efficiency: Tensor
    cost: Tensor
    cooperation: Tensor


class StabilityParts(NamedTuple):
    """The four parts of the stability index, [B] in [0, 1]."""

    voltage: Tensor
    loading: Tensor
    balance: Tensor
    reserve: Tensor


class NetworkResult(NamedTuple):
    """AC power flow of the step."""

    voltage_pu: Tensor  # [B, n]
    loading: Tensor  # [B, M] fraction of rating
    loss_kw: Tensor  # [B]
    slack_kw: Tensor  # [B] power drawn at the reference bus
    converged: Tensor  # [B] bool


class StepResult(NamedTuple):
    """What a step did; see the ledger for the energy balance."""

    obs: Tensor  # [B, N, O] after the step (of the new episode where auto-reset)
    reward: Tensor  # [B, N] weighted sum of reward_parts
    reward_parts: RewardParts
    terminated: Tensor  # [B] bool
    truncated: Tensor  # [B] bool
    ledger: Ledger
    transfers_kw: Tensor  # [B, N, K] from the neighbour in each slot
    imbalance_kw: Tensor  # [B, N] wanted minus possible battery power
    soc_kwh: Tensor  # [B, N] after the step, before any reset
    cost_eur: Tensor  # [B, N]
    transfer_cost_eur: Tensor  # [B, N] part of cost_eur paid to neighbours; sums to 0
    loss_share_kw: Tensor  # [B, N] network losses charged to each prosumer
    stability: Tensor  # [B]
    stability_parts: StabilityParts
    network: NetworkResult
    islanded: Tensor  # [B] bool
    energised: Tensor  # [B, N] bool
    import_eur_per_kwh: Tensor  # [B]
    export_eur_per_kwh: Tensor  # [B]
    co2_g_per_kwh: Tensor  # [B]
    final: Callable[[], Tensor]  # assembles final_obs

    @property
    def final_obs(self) -> Tensor:
        """[B, N, O] after the step, before any reset: the same as `obs` but where an episode ended.

        Assembled when asked for, as an observation is the largest thing a step writes.
        """
        return self.final()
