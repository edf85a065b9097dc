"""What callers give to a simulator, checked in words before anything is computed from it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State


def check_count(name: str, value: Any) -> int:
    """A whole number of at least 1, of whatever integer type, as an int.

    Raises:
        ConfigError: with the name and the value.
    """
    fault = f"{name} = {value!r}: expected a whole number ≥ 1"
    try:
        count = operator.index(value)
    except TypeError:
        raise ConfigError(fault) from None
    if isinstance(value, bool) or count < 1:
        raise ConfigError(fault)
    return count


def seeds_of(seed: int | Sequence[int] | Tensor, num_grids: int, device: torch.device) -> Tensor:
    """One seed for all grids, int64 [], or one for each, [B].

    Raises:
        ConfigError: not a whole number, or another count of them.
    """
    fault = f"seed = {seed!r}: expected a whole number, or a list of one for every grid"
    try:
        as_given = torch.as_tensor(seed, device=device)
        seeds = as_given.to(torch.int64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ConfigError(fault) from None
    if as_given.is_floating_point() or as_given.is_complex():
        raise ConfigError(fault)
    if seeds.dim() and seeds.shape != (num_grids,):
        raise ConfigError(f"seed holds {seeds.shape[0]} values for num_grids = {num_grids}: give one or as many")
    return seeds


def check_mask(mask: Tensor | None, state: State | None, num_grids: int) -> None:
    """Refuse a mask that says too little of the grids to reset.

    Raises:
        ValueError: no state of the others, or not one entry a grid.
    """
    if mask is not None and state is None:
        raise ValueError("reset(mask=…) resets a part of the grids and needs the state of the others: give state=…")
    if mask is not None and not (isinstance(mask, Tensor) and mask.dtype is torch.bool):
        kind = str(mask.dtype) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask is a {kind}: expected a tensor of bool, one entry a grid")
    if mask is not None and mask.shape != (num_grids,):
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected [{num_grids}], one entry a grid")


def check_state(state: State, num_grids: int, num_agents: int) -> None:
    """Refuse what is no state, or one of another batch.

    Raises:
        ValueError: which it is.
    """
    if not isinstance(state, State):
        raise ValueError(f"state is a {type(state).__name__}: expected the State that reset or step returned")
    if state.soc_kwh.shape != (num_grids, num_agents):
        grids, agents = state.soc_kwh.shape[0], state.soc_kwh.shape[-1]
        raise ValueError(
            f"state holds {grids} grids of {agents} agents, this simulator {num_grids} of {num_agents}: "
            "give the one that its own reset or step returned"
        )


def check_action(action: Tensor, state: State, action_dim: int) -> None:
    """Refuse an action that is none for these grids.

    Args:
        state: checked already.

    Raises:
        ValueError: no tensor, of another shape or on another device.
    """
    if not isinstance(action, Tensor):
        raise ValueError(f"action is a {type(action).__name__}: expected a tensor; torch.as_tensor(…) makes one")
    grids, agents = state.soc_kwh.shape
    if action.shape != (grids, agents, action_dim):
        raise ValueError(
            f"action has shape {tuple(action.shape)}: expected [{grids} grids, {agents} agents, "
            f"{action_dim} = {action_dim - 1} link slots + 1 trade]"
        )
    if action.device != state.soc_kwh.device:
        raise ValueError(f"action is on {action.device}, the state on {state.soc_kwh.device}: move one of them")
