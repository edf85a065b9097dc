"""What the environment adapters share: configuration, agent ids, bounds, and checking of NumPy actions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smartgrid_core.config import GridConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.simulator import Simulator


def resolve(scenario: str | Path | GridConfig, overrides: Mapping[str, Any]) -> GridConfig:
    """The configuration of a scenario given by name, path or as itself.

    Raises:
        ConfigError: unknown scenario, faulty field, or overrides for a finished GridConfig.
    """
    if not isinstance(scenario, GridConfig):
        return GridConfig.load(scenario, **overrides)
    if overrides:
        raise ConfigError(
            f"overrides {sorted(overrides)} cannot change a finished GridConfig: "
            "pass the scenario's name or path, or build the GridConfig with these values"
        )
    return scenario


def agent_ids(num_agents: int) -> list[str]:
    """agent_0, agent_1, … in the order of the scenario's prosumers."""
    return [f"agent_{i}" for i in range(num_agents)]


def observation_bounds(simulator: Simulator) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of every observation entry, two float32 [O]."""
    entries = simulator.observation_entries
    return (
        np.array([entry.low for entry in entries], dtype=np.float32),
        np.array([entry.high for entry in entries], dtype=np.float32),
    )


def require_finite(action: np.ndarray, row_names: list[str], entry_names: list[str]) -> None:
    """Refuse an action [rows, entries] that holds NaN or infinity; raises ValueError naming row and entry."""
    finite = np.isfinite(action)
    if not finite.all():
        row, entry = np.argwhere(~finite)[0]
        raise ValueError(
            f"action of {row_names[row]}: entry {entry} ({entry_names[entry]}) is {action[row, entry]}, "
            "expected a finite number in [-1, 1]"
        )


def fresh_seed() -> int:
    """A random seed for a first reset without one, so that copies of an environment differ."""
    return secrets.randbits(31)
