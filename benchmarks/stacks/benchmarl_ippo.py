"""BenchMARL's IPPO, in a process of its own with its own virtual environment, as it wants an older TorchRL."""

from __future__ import annotations

import base64
import json
import os
import weakref
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.conversation import Conversation
from benchmarks.peer_environments import FOLDER, interpreter, is_installed
from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import GridConfig

NAME = "benchmarl"


def benchmarl(threads: int, equal: Equal = EQUAL) -> Stack:
    """BenchMARL's experiment on SmartGridEnv, one iteration at a time.

    Raises:
        ModuleNotFoundError: its environment is not installed.
    """
    if not is_installed(NAME):
        raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)
    told = json.dumps(equal._asdict() | {"threads": threads, "scenario": SCENARIO})
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    talk = Conversation([str(interpreter(NAME)), str(FOLDER / "run_benchmarl.py"), told], environment)
    weakref.finalize(talk, talk.process.kill)
    cpu_s = 0.0

    def iterate(progress: float) -> int:
        nonlocal cpu_s
        done = talk.ask({"iterate": progress})
        cpu_s = done["cpu_s"]
        return done["steps"]

    def decide(obs: Tensor) -> Tensor:
        asked = base64.b64encode(obs.contiguous().numpy().tobytes()).decode()
        given = bytearray(base64.b64decode(talk.ask({"decide": asked, "shape": list(obs.shape)})["action"]))
        return torch.frombuffer(given, dtype=torch.float32).view(*obs.shape[:2], -1)

    settings = equal._asdict() | talk.opening["versions"]
    return Stack(True, settings, GridConfig.load(SCENARIO).step_h, iterate, decide, lambda: cpu_s)
