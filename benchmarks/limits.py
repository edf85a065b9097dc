"""What bounds a step: the bytes it must move, the operations it does, and how fast this machine can do either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.machine import seconds_per_call
from smartgrid_core import Simulator
from smartgrid_core.types import State, StepResult

COPY_BYTES, GEMM_SIDE, COUNTED_GRIDS = 256 << 20, 1024, 64
ARITHMETIC = frozenset(
    ("add", "sub", "mul", "div", "neg", "abs", "sqrt", "reciprocal", "minimum", "maximum", "clamp", "clamp_min",
     "clamp_max", "where", "addcmul", "sum", "mean", "amax", "amin", "add_", "rsub", "lerp")
)  # fmt: skip


class _Operations(TorchDispatchMode):
    """Counts the arithmetic of float operators: one a value made or summed, two a product within a matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        if name in ("mm", "addmm"):
            a, b = args[-2:]
            self.count += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        elif name in ARITHMETIC and isinstance(out, Tensor) and out.is_floating_point():
            reduces = name in ("sum", "mean", "amax", "amin")
            self.count += args[0].numel() if reduces else out.numel() * (2 if name == "addcmul" else 1)
        return out


def needs(scenario: str) -> dict[str, int]:
    """Bytes read and written and float operations of one community's step, eager, profiles included."""
    sim = Simulator(scenario, COUNTED_GRIDS, auto_reset=True)
    state, _ = sim.reset()
    action = torch.zeros(COUNTED_GRIDS, sim.num_agents, sim.action_dim)
    state, _ = sim.step(state, action)  # profiles of the next steps are read within this one
    with _Operations() as operations:
        moved, out = sim.step(state, action)
    values = sim.num_agents * 2 * (1 + sim.table.windows) + sim.table.time_rows.shape[1]
    before = list(_tensors(state))
    read = sum(x.numel() * x.element_size() for x in before) + action.numel() * 4 + values * 4 * COUNTED_GRIDS
    written = _fresh_bytes([*_tensors(moved), *_tensors(out)], before)
    return {
        "bytes_read": read // COUNTED_GRIDS, "bytes_written": written // COUNTED_GRIDS,
        "bytes_per_env_step": (read + written) // COUNTED_GRIDS, "flop_per_env_step": operations.count // COUNTED_GRIDS,
    }  # fmt: skip


def _tensors(of: State | StepResult) -> Iterator[Tensor]:
    for field in of:
        if isinstance(field, Tensor):
            yield field
        elif isinstance(field, tuple):
            yield from (x for x in field if isinstance(x, Tensor))


def _fresh_bytes(tensors: list[Tensor], before: list[Tensor]) -> int:
    """Bytes of the memory behind tensors, what several share counted once, what was there before not."""
    seen, total = {x.untyped_storage().data_ptr() for x in before}, 0
    for x in tensors:
        storage = x.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += min(storage.nbytes(), x.numel() * x.element_size())
    return total


def copy_gb_per_s(device: torch.device, min_seconds: float) -> float:
    """Copying memory that no cache holds; bytes read and bytes written both count."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / seconds_per_call(lambda: target.copy_(source), min_seconds, device)[0] / 1e9


def gemm_gflop_per_s(device: torch.device, min_seconds: float) -> float:
    """A product of square float32 matrices."""
    a, b = (torch.rand(GEMM_SIDE, GEMM_SIDE, device=device) for _ in range(2))
    return 2 * GEMM_SIDE**3 / seconds_per_call(lambda: a @ b, min_seconds, device)[0] / 1e9


def run(steps: list[dict[str, Any]], scenario: str, device: torch.device, min_seconds: float) -> dict[str, Any]:
    """The limits, with the threads torch has now, and the fraction of them that measured steps reach.

    Args:
        steps: records of steps with power flow: name, num_grids, compiled, us_per_call.
    """
    needed = needs(scenario)
    copied, multiplied = copy_gb_per_s(device, min_seconds), gemm_gflop_per_s(device, min_seconds)
    achieved = []
    for case in steps:
        seconds = case["us_per_call"] / case["num_grids"] * 1e-6
        moved, done = (needed[key] / seconds / 1e9 for key in ("bytes_per_env_step", "flop_per_env_step"))
        achieved.append({
            "name": f"{case['name']}, {'compiled' if case['compiled'] else 'eager'}", "num_grids": case["num_grids"],
            "ns_per_env_step": seconds * 1e9, "gb_per_s": moved, "fraction": moved / copied, "gflop_per_s": done,
            "fraction_of_gemm": done / multiplied,
        })  # fmt: skip
    return {"case": "limits", "threads": torch.get_num_threads(), "copy_gb_per_s": copied,
            "gemm_gflop_per_s": multiplied, **needed, "achieved": achieved}  # fmt: skip
