"""Decision makers that are not trained: rules, model predictive control on forecasts, the optimum.

Each is a `Controller`; `make_controller` makes one by name. The solver (HiGHS) is imported when a controller that
needs it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smartgrid_core.controllers.episode import EpisodeRecord, EpisodeSeries, cost_j, run_episode
from smartgrid_core.controllers.mpc import MpcController
from smartgrid_core.controllers.optimum import OptimumController
from smartgrid_core.controllers.protocol import Controller, action_from_setpoints
from smartgrid_core.controllers.rules import (
    IdleController,
    RandomController,
    SelfConsumptionController,
    TimeOfUseController,
    grid_only_config,
)
from smartgrid_core.faults import nearest

CONTROLLERS: dict[str, Callable[..., Controller]] = {
    "random": RandomController,
    "idle": IdleController,
    "self-consumption": SelfConsumptionController,
    "time-of-use": TimeOfUseController,
    "mpc-persistence": lambda **options: MpcController("persistence", **options),
    "mpc-noisy": lambda **options: MpcController("noisy", **options),
    "mpc-perfect": lambda **options: MpcController("perfect", **options),
    "optimum": OptimumController,
}


def make_controller(name: str, **options: Any) -> Controller:
    """A new controller by its name in `CONTROLLERS`; options go to its constructor.

    Raises:
        ValueError: there is no such name; the message offers the nearest.
    """
    if name not in CONTROLLERS:
        near = nearest(name, CONTROLLERS)
        hint = f"did you mean {near!r}? " if near else ""
        raise ValueError(f"unknown controller {name!r}: {hint}known are {', '.join(CONTROLLERS)}")
    return CONTROLLERS[name](**options)


__all__ = [
    "CONTROLLERS",
    "Controller",
    "EpisodeRecord",
    "EpisodeSeries",
    "IdleController",
    "MpcController",
    "OptimumController",
    "RandomController",
    "SelfConsumptionController",
    "TimeOfUseController",
    "action_from_setpoints",
    "cost_j",
    "grid_only_config",
    "make_controller",
    "run_episode",
]
