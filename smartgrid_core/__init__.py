"""Batched simulation of prosumer communities on a low-voltage feeder, as pure PyTorch tensor operations."""

from smartgrid_core.config import GridConfig
from smartgrid_core.errors import ConfigError, UserError
from smartgrid_core.registry import list_scenarios
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, StepResult

__all__ = ["ConfigError", "GridConfig", "Simulator", "State", "StepResult", "UserError", "list_scenarios"]
