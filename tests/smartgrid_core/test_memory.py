"""What a step returned stays what it was, however it is held, and memory nobody holds is written again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from smartgrid_core import Simulator
from smartgrid_core.fused import build
from smartgrid_core.fused.kernel import Fused
from smartgrid_core.fused.memory import SETS

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")

GRIDS, STEPS = 48, 3 * SETS


def squares() -> Callable[[int], tuple[Tensor, Tensor]]:
    """Step t returns t² + row in [3, B], and the same for all rows, t, in an expanded [3, B]."""
    x = torch.arange(3.0)[:, None].expand(3, GRIDS).contiguous()
    fused = Fused(lambda x, t: (x + t * t, (t + 0 * x[:1]).expand(3, -1)), (x, torch.ones(1, 1)), [-1, None])
    return lambda t: tuple(fused([x, torch.full((1, 1), float(t))], GRIDS))


class Saved(torch.autograd.Function):
    """Keeps a tensor in the graph alone."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return weight.expand_as(x).clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return ctx.saved_tensors[0].sum().reshape(1), None


HOLD: dict[str, Callable[[Tensor], Any]] = {
    "itself": lambda x: x,
    "a row": lambda x: x[2:],
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "an array": lambda x: x.numpy(),
    "an array's row": lambda x: x.numpy()[2:],
    "by dlpack": lambda x: torch.from_dlpack(x),
    "its storage": lambda x: x.untyped_storage(),
    "a graph": lambda x: Saved.apply(torch.ones(1, requires_grad=True), x),
}


def last_row(held: Any) -> float:
    """What the last row of a result holds, whatever holds it."""
    if isinstance(held, torch.UntypedStorage):
        return torch.empty(0).set_(held)[-1].item()
    if isinstance(held, Tensor) and held.grad_fn is not None and "Saved" in str(held.grad_fn):
        return held.grad_fn.saved_tensors[0][-1, 0].item()  # type: ignore[attr-defined]
    return float(held[-1, 0])


@pytest.mark.parametrize("how", HOLD)
def test_what_is_held_stays(how: str) -> None:
    step = squares()
    held = [HOLD[how](step(t)[0]) for t in range(STEPS)]
    assert [last_row(x) for x in held] == [t * t + 2.0 for t in range(STEPS)]


def test_a_row_that_stands_for_many_stays() -> None:
    step = squares()
    held = [step(t)[1][1] for t in range(STEPS)]
    assert [x[0].item() for x in held] == list(range(STEPS))


def test_what_nobody_holds_is_written_again() -> None:
    step = squares()
    places = {step(t)[0].data_ptr() for t in range(STEPS)}
    assert len(places) == SETS


def test_small_things_do_not_hold_large_ones() -> None:
    """Every result has memory of its own: a list of rewards does not keep observations."""
    sim = Simulator("community-5", GRIDS, auto_reset=True, compile=True)
    state, _ = sim.reset()
    with torch.no_grad():
        _, out = sim.step(state, torch.zeros(GRIDS, 5, sim.action_dim))
    assert out.reward.untyped_storage().nbytes() == out.reward.numel() * 4


def test_memory_that_was_moved_or_given_back_is_left_alone() -> None:
    step = squares()
    for t in range(STEPS):
        x, y = step(t)
        if t % 2:
            x.share_memory_()
        else:
            y.untyped_storage().resize_(0)
        del x, y
        assert step(t)[0][2, 0].item() == t * t + 2


def test_what_was_made_in_inference_mode_can_be_learned_from() -> None:
    step = squares()
    with torch.inference_mode():
        for t in range(SETS):
            step(t)
    weight = torch.ones(1, requires_grad=True)
    x, _ = step(1)
    (weight * x).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == x.sum().item()


def test_marks_on_a_result_do_not_come_back() -> None:
    step = squares()
    for t in range(STEPS):
        x, _ = step(t)
        assert not x.requires_grad
        assert x._version == 0
        x.requires_grad_()
        x.data.add_(1)


def test_a_kept_observation_is_the_same_after_the_episode() -> None:
    """The simulator's own results, against one that computes operation by operation."""
    eager, fast = (Simulator("community-5", 5, auto_reset=True, compile=c) for c in (False, True))
    kept: list[list[Tensor]] = [[], []]
    for sim, seen in zip((eager, fast), kept, strict=True):
        state, _ = sim.reset()
        with torch.no_grad():
            for _ in range(20):
                state, out = sim.step(state, torch.full((5, 5, sim.action_dim), 0.4))
                seen += [out.obs[0], out.ledger.bought_kw, state.demand_kw, out.network.voltage_pu.T]
    for a, b in zip(*kept, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's memory from /proc")
@pytest.mark.parametrize("compile", [pytest.param(False, marks=pytest.mark.slow), True], ids=["eager", "compiled"])
def test_a_grid_takes_the_memory_it_says(compile: bool) -> None:
    """Growth of a process of its own over some steps of many grids, beside `bytes_per_grid`."""
    done = subprocess.run([sys.executable, "-c", GROWTH, str(compile)], capture_output=True, text=True, check=True)
    grew, said = map(float, done.stdout.split())
    assert 0.6 * said < grew < 1.3 * said
    assert said * 65_536 < 2 << 30


GROWTH = """
import sys
import torch
from smartgrid_core import Simulator

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def run(grids):
    sim = Simulator("community-5", grids, auto_reset=True, stagger=True, compile=sys.argv[1] == "True")
    state, _ = sim.reset()
    highest = 0
    for _ in range(20):
        state, out = sim.step(state, torch.zeros(grids, 5, sim.action_dim))
        highest = max(highest, resident())
    return highest, sim.bytes_per_grid

with torch.no_grad():
    before, _ = run(4_096)  # libraries and profiles too
    after, said = run(32_768)
print((after - before) / 28_672, said)
"""
