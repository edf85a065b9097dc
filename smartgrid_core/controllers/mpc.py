"""Model predictive control: the community's linear program on a forecast, solved again every hour."""

from __future__ import annotations

import time

import numpy as np
from torch import Tensor

from smartgrid_core.config import ForecastKind, GridConfig
from smartgrid_core.controllers.lp import CommunityProgram, communities, horizons
from smartgrid_core.controllers.outlook import Outlook, forecast, foresight
from smartgrid_core.controllers.protocol import action_from_setpoints
from smartgrid_core.controllers.setpoints import Schedule, absorb_deviation, value_of_energy, within_reach_kw
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State


def day_blocks(config: GridConfig) -> tuple[int, ...]:
    """Blocks of a day in steps: the first hour step by step, the second in halves, 22 hours."""
    hour = round(1 / config.step_h)
    halves = tuple(steps for steps in (hour // 2, hour - hour // 2) if steps)
    return (1,) * hour + halves + (hour,) * 22


class MpcController:
    """Plans every community anew each hour and follows the plan's set-points in between.

    A grid's plan is also made anew as soon as an outage or an unannounced price begins or ends. Between plans
    the links do as planned, the trade closes every meter, and what demand and generation are beside the forecast
    goes to battery or utility, whichever the plan's marginal value of stored energy makes cheaper.
    Stored energy counts at the lowest import price seen so far or ahead; the horizon ends with the episode. What is
    planned for a battery is what an action can ask of it (`within_reach_kw`).

    Args:
        forecast_kind: none, persistence, noisy or perfect (`profiles.forecast`).
        replan_steps: steps between plans; None: an hour.
        block_steps: lengths of the horizon's blocks in steps, the first `replan_steps` of them single steps;
            None: `day_blocks`.

    Attributes:
        plans, plan_s: plans made since `start` and the seconds they took, forecasts included.
    """

    kind = "mpc"

    def __init__(
        self, forecast_kind: ForecastKind, replan_steps: int | None = None, block_steps: tuple[int, ...] | None = None
    ):
        self.name = f"mpc-{forecast_kind}"
        self.forecast_kind: ForecastKind = forecast_kind
        self.replan_steps, self.block_steps = replan_steps, block_steps

    def start(self, sim: Simulator, state: State) -> None:
        self.sim = sim
        self._blocks = self.block_steps or day_blocks(sim.config)
        self._every = self.replan_steps or round(1 / sim.config.step_h)
        if set(self._blocks[: self._every]) != {1} or len(self._blocks) < self._every:
            raise ValueError(
                f"block_steps begins {self._blocks[: self._every]}: expected {self._every} single steps, one for each "
                "step until the next plan"
            )
        if self.forecast_kind == "persistence" and sum(self._blocks) > sim.config.steps_per_day:
            raise ValueError(
                f"block_steps reaches {sum(self._blocks)} steps ahead: persistence knows a day, "
                f"{sim.config.steps_per_day} steps"
            )
        # One model a grid, not one for all: a warm start carries over from plan to plan, and a grid's plans must
        # not depend on its neighbours in the batch.
        self._programs = [CommunityProgram(community, len(self._blocks)) for community in communities(sim)]
        self._schedule = Schedule(sim, self._every)
        self._age = np.full(sim.num_grids, self._every)
        self._lowest_price = np.full(sim.num_grids, np.inf)
        self._assumed: Outlook | None = None
        self.plans, self.plan_s = 0, 0.0

    def act(self, state: State, obs: Tensor) -> Tensor:
        now = foresight(self.sim, state, 1)
        due = (self._age >= self._every) | self._surprised(now)
        if due.any():
            self._plan(state, due)
        plan = self._schedule.setpoints(self._age)
        self._age = self._age + 1
        battery_kw = absorb_deviation(self.sim, state, plan)
        return action_from_setpoints(self.sim, state, battery_kw, plan.transfers_kw)

    def _surprised(self, now: Outlook) -> np.ndarray:
        """Grids [B] whose outages or price differ from what their plan took for granted."""
        if self._assumed is None:
            return np.ones(self.sim.num_grids, dtype=bool)
        age, grids = np.minimum(self._age, self._every - 1), np.arange(self.sim.num_grids)
        price = np.abs(now.import_eur_per_kwh[0] - self._assumed.import_eur_per_kwh[age, grids]) > 1e-5
        outage = (now.on_grid[0] != self._assumed.on_grid[age, grids]).any(1)
        return price | outage | (now.energised[0] != self._assumed.energised[age, grids]).any(1)

    def _plan(self, state: State, due: np.ndarray) -> None:
        began = time.perf_counter()
        sim = self.sim
        remaining = sim.config.episode_steps - state.step.cpu().numpy()
        steps = int(min(sum(self._blocks), remaining.max()))
        outlook = forecast(sim, state, steps, self.forecast_kind)
        lowest = np.minimum(self._lowest_price, _lowest(outlook, remaining))
        self._lowest_price = np.where(due, lowest, self._lowest_price)
        ahead = horizons(
            outlook, within_reach_kw(sim, state, outlook), self._blocks, remaining, sim.config.step_h,
            state.soc_kwh.double().cpu().numpy(), value_of_energy(sim, self._lowest_price),
        )  # fmt: skip
        for grid in np.flatnonzero(due).tolist():
            self._schedule.store(grid, self._programs[grid].solve(ahead[grid]))
        self._assume(outlook, due)
        self._age = np.where(due, 0, self._age)
        self.plans += int(due.sum())
        self.plan_s += time.perf_counter() - began

    def _assume(self, outlook: Outlook, due: np.ndarray) -> None:
        """Remember what the new plans take for granted until the next ones."""
        kept = Outlook(*(np.resize(series[: self._every], (self._every, *series.shape[1:])) for series in outlook))
        if self._assumed is None:
            self._assumed = kept
            return
        for old, new in zip(self._assumed, kept, strict=True):
            old[:, due] = new[:, due]


def _lowest(outlook: Outlook, remaining: np.ndarray) -> np.ndarray:
    """Lowest import price of the outlook within the episode, [B] EUR/kWh."""
    within = np.arange(outlook.import_eur_per_kwh.shape[0])[:, None] < remaining
    return np.where(within, outlook.import_eur_per_kwh, np.inf).min(0)
