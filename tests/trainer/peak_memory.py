"""What training takes of memory, in a process of its own: nobody else's heap has a say.

`python -m tests.trainer.peak_memory ALGORITHM` prints the estimate of a learner and the peak after each iteration, in
bytes; with `SCENARIO FOLDER OPTIONS` behind it, those of a run with its preset, checkpoints and validations.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from smartgrid_core import GridConfig
from tests.smartgrid_core.communities import profiles, simulator_module
from tests.trainer.learners_small import learner_of
from trainer.config import load_train_config, overridden, scaled_to
from trainer.memory import estimate
from trainer.train import Training

ITERATIONS = 8
FIELDS = {
    "share_parameters": True,
    "horizon": 5,
    "hidden": (64, 64),
    "shac": {"critic_batch": 8192},
    "ppo": {"minibatches": 2, "epochs": 1},
    "qmix": {"replay": 50_000, "batch": 4096, "updates": 2},
}


def status(field: str) -> int:
    """A size of this process in bytes, as the kernel has it."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(field))


def forget_peak() -> None:
    """Give back what is free, so that using it again counts, and let VmHWM begin anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def measured(algorithm: str) -> dict[str, int | list[int]]:
    """The estimate, the peak beyond the beginning after each iteration and after a checkpoint."""
    learner_of(algorithm)  # what is loaded once is not the run's
    forget_peak()
    before = status("VmRSS")
    learner, sim = learner_of(algorithm, 600, **FIELDS)
    state, obs = sim.reset()
    peaks = []
    for _ in range(ITERATIONS):
        collected = learner.collect(state, obs, 0.0)
        state, obs = collected.state, collected.obs
        learner.update(0.0)
        peaks.append(status("VmHWM") - before)
    torch.save(learner.state_dict(), io.BytesIO())  # as a checkpoint is put together
    highest = status("VmHWM") - before
    expected = sum(estimate(learner, [sim]).values())
    return {"expected": expected, "peaks": peaks, "highest": highest}


def measured_run(algorithm: str, scenario: str, folder: str, options: dict[str, Any]) -> dict[str, int | list[int]]:
    """The same of a run as the command trains it, of a few iterations."""
    fields = {"algorithm": algorithm, "threads": 1, "iterations": ITERATIONS, "validations": 2, "max_minutes": None}
    given = fields | {"validation_episodes": 2, "checkpoint_minutes": 1e-4} | options  # `last` after every iteration
    community = GridConfig.load(scenario)
    config = scaled_to(load_train_config("cpu", given), community.num_agents, given)
    Training(overridden(config, {"num_grids": 1}), community, Path(folder) / "small", resume=False).run()  # libraries
    forget_peak()
    before = status("VmRSS")
    training = Training(config, community, Path(folder) / "run", resume=False)
    parts = estimate(training.learner, (training.sim, training.validation.sim))
    parts["references"] = training.validation.reference_bytes
    peaks: list[int] = []
    iterate = training._iterate

    def watched(*given: Any) -> None:
        iterate(*given)
        peaks.append(status("VmHWM") - before)

    training._iterate = watched
    training.run()
    return parts | {"expected": sum(parts.values()), "peaks": peaks, "highest": status("VmHWM") - before}


if __name__ == "__main__":
    torch.set_num_threads(1)
    ctypes.CDLL(None).mallopt(-3, 64 * 1024)  # M_MMAP_THRESHOLD: tensors get pages of their own
    if len(sys.argv) > 2:
        algorithm, scenario, folder, options = sys.argv[1:]
        with contextlib.redirect_stdout(sys.stderr):
            found = measured_run(algorithm, scenario, folder, json.loads(options))
        print(json.dumps(found))
        sys.exit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator_module, "load_profiles", lambda config: profiles(config.num_agents))
        print(json.dumps(measured(sys.argv[1])))
