"""Trains in one folder until it is killed, again and again: one forked child a line on standard input.

Forking saves every life the seconds of importing torch. What a child does is what `--resume` does, or a first start
where a killed run left nothing to resume.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import smartgrid_core.simulator as simulator_module
import trainer.train as train_module
from smartgrid_core import GridConfig
from tests.smartgrid_core.communities import profiles
from trainer.config import TrainConfig
from trainer.runs import RunFolder
from trainer.train import Training
from trainer.validation import References

SETTINGS: dict[str, Any] = {
    "num_grids": 4, "horizon": 2, "hold_h": 0.25, "ppo": {"minibatches": 2, "epochs": 2}, "hidden": (16,),
    "device": "cpu", "threads": 1, "keep_checkpoints": 2,
}  # fmt: skip


class Unvalidated:
    """Stands in where scores do not matter."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def prepare(self) -> References:
        return References(np.zeros((1, 1)), 1.0, {})

    def run(self, _: object) -> dict[str, float]:
        return {"score": 0.0, "cost_eur": 0.0}


def train(folder: Path, iterations: int, compile: bool = False) -> Training:
    """Train to the end, from where an earlier life left it; every iteration is a checkpoint."""
    resume = RunFolder(folder).can_resume()
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    scenario = GridConfig.load("community-5", episode_days=1, network={"power_flow": False})
    config = TrainConfig.model_validate(
        SETTINGS | {"iterations": iterations, "validations": iterations, "compile": compile}
    )
    with patch.object(train_module, "Validation", Unvalidated), patch.object(
        simulator_module, "load_profiles", lambda config: profiles(config.num_agents)
    ):  # fmt: skip
        training = Training(config, scenario, folder, resume)
        training.run()
    return training


def main() -> None:
    torch.set_num_threads(1)  # before the first fork: a pool of threads does not survive one
    folder, iterations, compile = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
    os.write(1, b"ready\n")
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)  # the progress goes elsewhere
            train(folder, iterations, compile)
            os._exit(0)
        os.write(1, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
