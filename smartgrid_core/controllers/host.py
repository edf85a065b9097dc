"""Tensors as the arrays that plans are made of: on the CPU, in double precision."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.simulator import Simulator


def array(x: Tensor) -> np.ndarray:
    """Of its shape: numbers as float64, truth values as they are."""
    return x.detach().cpu().numpy().astype(bool if x.dtype == torch.bool else np.float64)


def by_prosumer(sim: Simulator, x: Tensor) -> np.ndarray:
    """[B, N] of [N, 1 or B]: what all grids share, for each of them."""
    return array(x.expand(sim.num_agents, sim.num_grids)).T
