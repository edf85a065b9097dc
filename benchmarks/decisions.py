"""What a decision costs: a trained policy beside model predictive control, each for a batch of communities.

Both in CPU time of one thread a community. Model predictive control solves a linear program for each; a batch of 64
shares the rest of its work, a larger one saves nothing more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers import make_controller
from trainer.policy import load_policy

GRIDS = 4096  # communities decided for at once
PLANNED = 64  # communities that are planned for at once
PLANS = 4  # hours that are planned in
MPC = "mpc-noisy"  # with the forecast that policies see


def decision_us(scenario: GridConfig, run: Path) -> dict[str, Any]:
    """Microseconds of one thread for a step's decision of one community, its mean over the steps of a decision.

    Args:
        run: of the policy; an action held for h steps counts 1/h each.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        policy_us, mpc_us = _policy_us(scenario, run), _mpc_us(scenario)
    finally:
        torch.set_num_threads(threads)
    ratio = mpc_us / policy_us
    return {"grids": GRIDS, "policy_us": policy_us, "mpc": MPC, "mpc_us": mpc_us, "planned": PLANNED, "ratio": ratio}


def times_a_plan(case: dict[str, Any]) -> float:
    """How many of the policy's decisions, each for as long as it holds an action, one plan of an hour costs.

    Args:
        case: a record of `benchmarks learning` with its decision and settings.
    """
    held_h, planned_h = case["settings"]["train"]["hold_h"], 1.0
    return case["decision"]["ratio"] * planned_h / held_h


@torch.no_grad()
def _policy_us(scenario: GridConfig, run: Path) -> float:
    policy, sim = load_policy(run), Simulator(scenario, 32)
    _, obs = sim.reset(seed=1)
    obs = obs.repeat(GRIDS // 32, 1, 1)
    hold = max(1, round(policy.about["hold_h"] / scenario.step_h))
    policy.actor.decide(obs)
    return 1e6 * statistics.median(_seconds(lambda: policy.actor.decide(obs), 20) for _ in range(5)) / GRIDS / hold


@torch.no_grad()
def _mpc_us(scenario: GridConfig) -> float:
    """The mean, as it plans in some steps and looks its plan up in the others; the median hour of them."""
    controller, sim = make_controller(MPC), Simulator(scenario, PLANNED)
    state, obs = sim.reset(seed=1)
    controller.start(sim, state)
    an_hour = max(1, round(1 / scenario.step_h))
    hours = []
    for _ in range(1 + PLANS):
        spent = 0.0
        for _ in range(an_hour):
            start = time.process_time()
            action = controller.act(state, obs)
            spent += time.process_time() - start
            state, out = sim.step(state, action)
            obs = out.obs
        hours.append(spent / an_hour)
    return 1e6 * statistics.median(hours[1:]) / PLANNED  # the first also sets its solver up


def _seconds(call: Callable[[], object], times: int) -> float:
    """CPU time of one call of some."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times
