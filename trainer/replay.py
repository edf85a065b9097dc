"""Memory of past decisions for learners that learn from others' than the present policy's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Transitions(NamedTuple):
    """M decisions of whole communities."""

    obs: Tensor  # [M, N, O]
    choice: Tensor  # [M, N, A] uint8 level of every entry of the action
    reward: Tensor  # [M] of the team
    next_obs: Tensor  # [M, N, O] before any reset: the time limit is no end


class Replay:
    """Ring of the newest decisions, preallocated and written B at a time.

    Args:
        capacity: decisions kept, rounded up to a multiple of num_grids.
        num_grids, num_agents, inputs, actions: B, N, O, A.
    """

    def __init__(self, capacity: int, num_grids: int, num_agents: int, inputs: int, actions: int, device: torch.device):
        self.num_grids = num_grids
        self.capacity = -(-capacity // num_grids) * num_grids
        self.data = Transitions(
            torch.zeros(self.capacity, num_agents, inputs, device=device),
            torch.zeros(self.capacity, num_agents, actions, dtype=torch.uint8, device=device),
            torch.zeros(self.capacity, device=device),
            torch.zeros(self.capacity, num_agents, inputs, device=device),
        )
        self.written = 0  # decisions ever stored

    @property
    def nbytes(self) -> int:
        """Memory of the buffers."""
        return sum(x.nbytes for x in self.data)

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def add(self, new: Transitions) -> None:
        """Store one decision of every grid, over the oldest once full."""
        if len(new.reward) != self.num_grids:
            raise ValueError(f"{len(new.reward)} decisions given: expected one for each of {self.num_grids} grids")
        at = self.written % self.capacity
        for kept, given in zip(self.data, new, strict=True):
            kept[at : at + self.num_grids] = given
        self.written += self.num_grids

    def amend(self, age: int, ended: Tensor, last_obs: Tensor) -> None:
        """Say what followed decisions that ended an episode; nothing is done where they are no longer kept.

        Args:
            age: of the decisions, 0 those stored last, 1 those before.
            ended: [B] bool; last_obs: [B, N, O], used where ended.
        """
        if (age + 1) * self.num_grids > len(self):
            return
        at = (self.written - (age + 1) * self.num_grids) % self.capacity
        kept = self.data.next_obs[at : at + self.num_grids]
        kept.copy_(torch.where(ended[:, None, None], last_obs, kept))

    def sample(self, size: int, generator: torch.Generator) -> Transitions:
        """Decisions drawn with replacement."""
        rows = torch.randint(len(self), (size,), generator=generator).to(self.data.reward.device)
        return Transitions(*(kept.index_select(0, rows) for kept in self.data))

    def state_dict(self) -> dict[str, Any]:
        """What was stored, and where the ring stands."""
        return {"written": self.written, **{k: v[: len(self)] for k, v in self.data._asdict().items()}}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.written = saved["written"]
        for name, kept in self.data._asdict().items():
            kept[: len(self)] = saved[name].to(kept.device)
