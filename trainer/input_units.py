"""What is known of the units of inputs before any data: the ranges of what hardly changes within a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smartgrid_core.observations import ObservationEntry

SLOW = ("connected", "energised", "sin_day", "cos_day", "sin_year", "cos_year")
PART = 0.2  # of their range: inputs are cut off at five spreads, and all of the range lies within


def least_spread(entries: Sequence[ObservationEntry]) -> Tensor:
    """Spread [O] that an input's unit stands for at least; 0 where data alone decides.

    Units are taken from the first batch. A few grids see hours of one season in it, and no outage: with their spread as
    the unit, the rest of the year would lie far beyond where inputs are cut off, and a connection that was never lost
    would be read as 0 for ever. Batches of many grids know better, and take their own.
    """
    return torch.tensor([PART * (entry.high - entry.low) if entry.name in SLOW else 0.0 for entry in entries])
