"""What callers give to a simulator that cannot be is answered in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community


def test_arguments_of_other_types_are_refused_in_words() -> None:
    sim = Simulator(community(2), 2)
    state, _ = sim.reset()
    for mask in ([True, False], np.array([True, False]), torch.tensor([1, 0])):
        with pytest.raises(ValueError, match=r"mask is a .*: expected a tensor of bool"):
            sim.reset(mask=mask, state=state)  # type: ignore[arg-type]
    for seed in (1.7, [1.0, 2.0], "one", torch.tensor([0.5, 1.5])):
        with pytest.raises(ConfigError, match=r"seed = .*: expected a whole number"):
            sim.reset(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="weight cost = '1': expected a number"):
        sim.set_reward_weights(cost="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [np.int64(2), np.uint8(2), np.array(2)])
def test_whole_numbers_of_any_type_count_grids(count: Any) -> None:
    sim = Simulator(community(2), count, hold_steps=count)
    assert type(sim.num_grids) is int
    state, obs = sim.reset()
    assert obs.shape[0] == 2
    assert sim.step(state, torch.zeros(2, 2, sim.action_dim))[1].obs.shape == obs.shape


@pytest.mark.parametrize("count", [0, -1, np.int64(0), True, np.True_, 2.0, np.float64(2), "2", None, [2]])
def test_what_is_no_count_is_refused(count: Any) -> None:
    for name in ("num_grids", "hold_steps"):
        with pytest.raises(ConfigError, match=rf"{name} = .*: expected a whole number ≥ 1"):
            Simulator(community(2), **{name: count})
