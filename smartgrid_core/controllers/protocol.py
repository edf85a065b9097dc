"""What every decision maker is: rules, model predictive control, the optimum, and trained policies alike."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from smartgrid_core import battery
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, kernel, public


class Controller(Protocol):
    """Decides for every prosumer of every grid of one simulator."""

    name: str  # shown in the scoreboard
    kind: str  # "rule", "mpc", "optimum" or "policy"

    def start(self, sim: Simulator, state: State) -> None:
        """Called once, before the first action of the episodes that begin in `state`."""
        ...

    def act(self, state: State, obs: Tensor) -> Tensor:
        """Action [B, N, K + 1] in [-1, 1] for the step about to be taken."""
        ...


def action_from_setpoints(
    sim: Simulator, state: State, battery_kw: Tensor, transfers_kw: Tensor | None = None
) -> Tensor:
    """The action that makes the batteries do `battery_kw` and the links carry `transfers_kw`.

    The trade closes the meter, whichever `trade_mode` the scenario has. Set-points beyond what battery, link
    or connection can do end at their limits.

    Args:
        battery_kw: [B, N], positive charges.
        transfers_kw: [B, N, K], positive receives, antisymmetric between ends; None: nothing is exchanged.

    Returns:
        [B, N, K + 1].
    """
    params, config = sim.params, sim.config
    chargeable, dischargeable = battery.limits_kw(kernel(state.soc_kwh), params, config.step_h)
    wanted = torch.minimum(torch.maximum(kernel(battery_kw), -dischargeable), chargeable)
    n, b = wanted.shape
    flow = wanted.new_zeros(sim.num_slots, n, b) if transfers_kw is None else kernel(transfers_kw)
    flow = torch.minimum(torch.maximum(flow, -params.link_kw), params.link_kw)
    links = flow / params.link_kw.clamp_min(1e-9)
    residual = kernel(state.generation_kw) - kernel(state.demand_kw) + flow.sum(0)
    if config.trade_mode == "absolute":
        trade = (wanted - residual) / params.trade_kw.clamp_min(1e-9)
    else:
        follow = torch.minimum(torch.maximum(residual, -dischargeable), chargeable)
        trade = (wanted - follow) / params.shift_kw.clamp_min(1e-9)
    return public(torch.cat([links, trade[None]]).clamp(-1, 1))
