"""Whether a run still learns numbers.

Rewards and losses need not tell: the simulator counts an action that is not a number as 0, so that a policy of NaN has
a finite return. Gradient norms are looked at after every iteration, weights before every checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.learner import Learner


def broken_number(record: Mapping[str, Any]) -> str | None:
    """A loss or gradient norm of an iteration that is not finite, in words; None where all are."""
    for key, value in record.items():
        if key.startswith("loss") or key == "gradient_norm":
            for x in value if isinstance(value, list) else [value]:
                if not math.isfinite(x):
                    return f"{key} became {x}"
    return None


@torch.no_grad()
def broken_weights(learner: Learner, obs: Tensor) -> str | None:
    """What of a learner is not finite, in words: anything it trains or keeps, or what its actor makes of obs [B, N, O].

    Weights may be finite and so large that no output is.
    """
    state = {name: part for name, part in learner.state_dict().items() if name != "replay"}
    for name, x in _tensors(state):
        if x.is_floating_point() and not torch.isfinite(x).all():
            return f"{name} is not finite"
    return None if torch.isfinite(learner.actor.network(obs)).all() else "the actor's output is not finite"


def _tensors(nest: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors of a nest with their paths."""
    if isinstance(nest, Tensor):
        yield path, nest
    elif isinstance(nest, Mapping | list | tuple):
        for name, part in nest.items() if isinstance(nest, Mapping) else enumerate(nest):
            yield from _tensors(part, f"{path}.{name}" if path else str(name))
