"""Windows of profile rows: what is read at once is what would be read row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smartgrid_core.profiles.table import MAX_WINDOW, read_windows, row_by_row


def slow(
    table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor, steps: int
) -> Tensor:
    """One element after the other."""
    n, b = first.shape
    out = torch.empty(steps, table.shape[1], n, b)
    for s in range(steps):
        for i in range(n):
            for k in range(b):
                if s < int(switch[k]):
                    out[s, :, i, k] = table[int(first[i, k]) + s] * scale[i, k]
                else:
                    out[s, :, i, k] = table[int(then[i, k]) + s - int(switch[k])] * scale_then[i, k]
    return out


@pytest.mark.parametrize("steps", [1, 3, MAX_WINDOW])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 700)])
@pytest.mark.parametrize("ending", ["none", "some", "all"])
def test_windows_go_on_elsewhere_where_they_should(steps: int, shape: tuple[int, int], ending: str) -> None:
    generator = torch.Generator().manual_seed(steps + shape[1])
    table = torch.rand(500, 4, generator=generator)
    first, then = (torch.randint(0, 500 - MAX_WINDOW, shape, generator=generator).int() for _ in range(2))
    switch = torch.full(shape[1:], steps, dtype=torch.int32)
    if ending != "none":
        drawn = torch.randint(0, steps, shape[1:], generator=generator).int()
        chosen = torch.rand(shape[1:], generator=generator) < (1.0 if ending == "all" else 0.3)
        switch = torch.where(chosen, drawn, switch)
    scale, scale_then = (torch.rand(shape, generator=generator) for _ in range(2))
    fast = torch.empty(steps, 4, *shape)
    read_windows(fast, table, first, then, switch, scale, scale_then)
    rows = row_by_row(table, first, then, switch, scale, scale_then, steps)
    assert torch.equal(fast, rows.permute(2, 3, 0, 1)), "the form for other devices reads the same"
    part = slice(0, 40)
    few = (table, first[:, part], then[:, part], switch[part], scale[:, part], scale_then[:, part], steps)
    assert torch.equal(fast[..., part], slow(*few))
