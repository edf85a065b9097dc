"""What a grid takes: growth of a fresh process's memory while many grids step; on a GPU what torch allocates at most.

`python -m benchmarks.memory --agents N --buses M --num_grids B [--compiled] [--device cuda]` prints bytes a grid.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.communities import community
from smartgrid_core import Simulator

STEPS = 80  # more than two windows of profiles
FEW = 16  # grids that step first: libraries, kernels and their constants then are there


def bytes_per_grid(agents: int, buses: int, num_grids: int, compiled: bool, device: torch.device) -> float | None:
    """Measured in a process of its own; None where the system does not tell a process's memory."""
    if device.type != "cuda" and not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", "benchmarks.memory", "--agents", str(agents), "--buses", str(buses)]
    command += ["--num_grids", str(num_grids), "--device", str(device), *(["--compiled"] if compiled else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    return float(done.stdout)


def _grown(sim: Simulator) -> int:
    """Bytes taken at most while it resets and steps; profiles and kernels, which all grids share, are there before."""
    if sim.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(sim.device)
        before = torch.cuda.memory_allocated(sim.device)
    else:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # free memory goes back, so that using it again counts
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # VmHWM begins anew
        before = _resident_bytes("VmRSS")
    state, _ = sim.reset()
    action = torch.zeros(sim.num_grids, sim.num_agents, sim.action_dim, device=sim.device)
    out = None
    with torch.no_grad():
        for _ in range(STEPS):
            state, out = sim.step(state, action)  # the last results are held while the next are made, as learners do
    del out
    most = torch.cuda.max_memory_allocated(sim.device) if sim.device.type == "cuda" else _resident_bytes("VmHWM")
    return most - before


def _resident_bytes(field: str) -> int:
    """VmRSS, memory now, or VmHWM, the highest."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def main() -> int:
    """Step few grids, then many; print how much more the many took."""
    parser = argparse.ArgumentParser()
    for name in ("agents", "buses", "num_grids"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    o = parser.parse_args()
    config = community(o.agents, o.buses)
    options = {"device": o.device, "auto_reset": True, "stagger": True, "compile": o.compiled}
    _grown(Simulator(config, FEW, **options))
    print(_grown(Simulator(config, o.num_grids, **options)) / o.num_grids)
    return 0


if __name__ == "__main__":
    sys.exit(main())
