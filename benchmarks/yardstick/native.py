"""The step in C (step.c): compiled when it is made, with the system's compiler, for the machine it runs on."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.yardstick import world
from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State

SOURCE = Path(__file__).with_name("step.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
WORLD = (
    "capacity", "charge", "discharge", "shift", "charge_efficiency", "discharge_efficiency", "soc_min", "soc_max",
    "soc_low", "soc_high", "trade", "link", "demand_scale", "generation_scale", "partner", "neighbour", "used", "bus",
    "demand_rows", "generation_rows", "time_rows", "starts", "demand_pool", "generation_pool", "group", "w_re", "w_im",
    "z_re", "z_im", "w_out_re", "w_out_im", "z_out_re", "z_out_im", "loss_weight", "per_rating", "first_row",
    "second_row", "reward_weights", "stability_weights", "scalars", "counts",
)  # fmt: skip
STATE = (
    "soc", "demand", "generation", "import_price", "export_price", "co2", "stability", "voltage", "step", "episode",
    "row", "key", "clamped", "nonfinite", "demand_column", "generation_column", "demand_factor", "generation_factor",
)  # fmt: skip
PER_AGENT = (
    "reward", "reward_stability", "efficiency", "minus_cost", "cooperation", "bought", "sold", "received", "sent",
    "charge", "discharge", "transfers", "imbalance", "soc", "cost", "transfer_cost", "loss_share",
)  # fmt: skip
LINE = 64  # bytes of a cache line
LEARNER = ("obs", "reward", "truncated")


def compiler() -> str | None:
    """The system's C compiler."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


class NativeStep:
    """B communities stepped by C, in memory of its own.

    Args:
        sim: the simulator whose scenario, draws and start it takes.
        state: from the simulator's reset.
        learner_only: leave all results out that a learner does not need: observations, rewards, ends of episodes stay.

    Raises:
        ConfigError: no compiler, a scenario the yardstick does not cover, or a batch that does not fit its vectors.
    """

    def __init__(self, sim: Simulator, state: State, learner_only: bool = False):
        self.sizes, self.num_grids, self._learner_only = world.sizes(sim), sim.num_grids, learner_only
        self._library = _built(self.sizes)
        lanes = self._library.lanes()
        if sim.num_grids % lanes:
            raise ConfigError(f"num_grids = {sim.num_grids}: expected a multiple of {lanes}, the lanes of a vector")
        self.world, self.state = world.constants(sim), world.begin(sim, state)
        self.results = self._room(sim.observation_dim)
        self._pointers = [_struct(self.world, WORLD), _struct(self.state, STATE), _struct(self.results, self.results)]

    def step(self, action: np.ndarray) -> dict[str, np.ndarray]:
        """One step; action [B, N, K + 1] float32, contiguous. The results [rows, B] are overwritten by the next."""
        n, k = self.sizes["N"], self.sizes["K"]
        if action.shape != (self.num_grids, n, k + 1) or action.dtype != np.float32 or not action.flags.c_contiguous:
            raise ValueError(f"action {action.dtype} {action.shape}: expected float32 [{self.num_grids}, {n}, {k + 1}]")
        constants, state, results = (ctypes.byref(p) for p in self._pointers)
        self._library.step(constants, state, ctypes.c_void_p(action.ctypes.data), results,
                           ctypes.c_int64(self.num_grids), ctypes.c_int32(self._learner_only))  # fmt: skip
        return self.results

    def _room(self, observed: int) -> dict[str, np.ndarray]:
        """Memory of all results, in the order the C structure has them."""
        s, rows = self.sizes, {"obs": observed * self.sizes["N"]}
        rows |= dict.fromkeys(PER_AGENT, s["N"]) | {"transfers": s["K"] * s["N"], "stability": 1, "parts": 4}
        rows |= {"voltage": s["BUSES"], "loading": s["BRANCHES"], "loss": 1, "slack": 1, "truncated": 1, "converged": 1}
        flags = ("truncated", "converged")
        return {
            name: _aligned(count, self.num_grids, np.dtype(np.uint8 if name in flags else np.float32))
            for name, count in rows.items()
        }


def _aligned(rows: int, columns: int, dtype: np.dtype) -> np.ndarray:
    """Zeros [rows, columns] that begin at a multiple of a cache line."""
    raw = np.zeros(rows * columns * dtype.itemsize + LINE, np.uint8)
    begin = -raw.ctypes.data % LINE
    return raw[begin : begin + rows * columns * dtype.itemsize].view(dtype).reshape(rows, columns)


def _struct(arrays: dict[str, np.ndarray], names: tuple[str, ...] | dict[str, np.ndarray]) -> ctypes.Array:
    """Addresses in the order of the C structure, whose members are all pointers."""
    addresses = [arrays[name].ctypes.data for name in names]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _built(sizes: dict[str, int]) -> ctypes.CDLL:
    cc = compiler()
    if cc is None:
        raise ConfigError("no C compiler found: install gcc or clang, or set CC")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "step.so"
        defined = [f"-D{name}={value}" for name, value in sizes.items()]
        done = subprocess.run([cc, *FLAGS, *defined, str(SOURCE), "-o", str(target), "-lm"], capture_output=True)
        if done.returncode:
            raise ConfigError(f"{cc} could not compile {SOURCE.name}: {done.stderr.decode(errors='replace')[-2000:]}")
        return ctypes.CDLL(str(target))
