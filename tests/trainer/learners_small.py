"""Learners on small communities, for the tests of what they do."""

from __future__ import annotations

from typing import Any

import torch

from smartgrid_core import Simulator
from tests.smartgrid_core.communities import community
from trainer.config import TrainConfig
from trainer.learner import Learner, make_learner


def learner_of(algorithm: str, grids: int = 4, agents: int = 3, **fields: Any) -> tuple[Learner, Simulator]:
    """A learner on a small community, with little of everything."""
    data: dict[str, Any] = {"algorithm": algorithm, "num_grids": grids, "horizon": 4, "hidden": (16,)}
    data |= {"ppo": {"minibatches": 2, "epochs": 2}, "shac": {"critic_batch": 32}}
    config = TrainConfig.model_validate(data | {"qmix": {"replay": 256, "batch": 32, "updates": 2}} | fields)
    torch.manual_seed(config.seed)
    sim = Simulator(community(agents), grids, seed=config.seed, auto_reset=True, stagger=True)
    return make_learner(config, sim), sim
