"""What callers give to a simulator that cannot be is answered in words."""

from __future__ import annotations

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
