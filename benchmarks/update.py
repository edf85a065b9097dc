"""The update of the default learner against what the machine can multiply: matrix products of it, over its whole time.

The operations are those of its matrix products, forward and backward, as torch counts them; activations, losses,
gathering of minibatches and the optimiser take time and count for nothing. Rounds alternate with products of large
matrices. On a CPU the time is CPU time, which other work on the machine does not stretch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.limits import GEMM_SIDE
from benchmarks.stacks.stack import SCENARIO
from smartgrid_core import Simulator
from trainer.config import TrainConfig, load_train_config
from trainer.learner import Learner, make_learner


def run(quick: bool, threads: int, device: str) -> dict[str, Any]:
    """Both rates, in GFLOP a second of CPU time (on a GPU, of the clock); prints them and returns the record."""
    where = torch.device(device)
    config = load_train_config(device, {"threads": threads})
    learner = filled(config, where)
    operations = flop(learner)
    a, b = (torch.rand(GEMM_SIDE, GEMM_SIDE, device=where) for _ in range(2))
    rates: list[tuple[float, float]] = []
    for _ in range(3 if quick else 9):
        update = _seconds(lambda: learner.update(0.5), 1, where)
        calls = max(1, round(update / 2 / _seconds(lambda: a @ b, 3, where)))
        rates.append((operations / update / 1e9, 2 * GEMM_SIDE**3 / _seconds(lambda: a @ b, calls, where) / 1e9))
    fractions = [reached / possible for reached, possible in rates]
    record = {
        "case": "update", "name": f"update of {config.algorithm}, default settings", "flop": operations,
        "gflop_per_s": statistics.median(r for r, _ in rates),
        "gemm_gflop_per_s": statistics.median(g for _, g in rates), "fraction": statistics.median(fractions),
        "fraction_low": min(fractions), "fraction_high": max(fractions),
    }  # fmt: skip
    Console().print(
        f"{record['name']}: {record['gflop_per_s']:.0f} of {record['gemm_gflop_per_s']:.0f} GFLOP/s, "
        f"{record['fraction']:.0%} ({record['fraction_low']:.0%}–{record['fraction_high']:.0%})"
    )
    return record


def filled(config: TrainConfig, device: torch.device) -> Learner:
    """A learner of community-5 with a batch to learn from, that takes all its epochs whatever the divergence."""
    config = config.model_copy(update={"ppo": config.ppo.model_copy(update={"target_kl": 1e9}), "compile": False})
    torch.manual_seed(0)
    sim = Simulator(SCENARIO, config.num_grids, device, auto_reset=True, stagger=True)
    learner = make_learner(config, sim)
    state, obs = sim.reset()
    learner.collect(state, obs, 0.0)
    return learner


def flop(learner: Learner) -> int:
    """Operations of the matrix products of an update: two a product within them."""
    with FlopCounterMode(display=False) as counted:
        learner.update(0.5)
    return counted.get_total_flops()


def _seconds(call: Callable[[], object], calls: int, device: torch.device) -> float:
    """A call takes; one goes uncounted."""
    call()
    begin = _now(device)
    for _ in range(calls):
        call()
    return (_now(device) - begin) / calls


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
