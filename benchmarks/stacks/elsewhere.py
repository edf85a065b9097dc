"""Stacks in a process of their own with their own virtual environment, as what they want excludes what we have.

BenchMARL wants an older TorchRL; RLlib brings Ray. What the processes say is told in peers/training.py.
"""

from __future__ import annotations

import base64
import json
import os
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.conversation import Conversation
from benchmarks.peer_environments import FOLDER, interpreter, is_installed
from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import GridConfig


def benchmarl(threads: int, equal: Equal = EQUAL) -> Stack:
    """BenchMARL's experiment on SmartGridEnv.

    Raises:
        ModuleNotFoundError: its environment is not installed.
    """
    return _stack("benchmarl", threads, equal, {"compile": True})


def rllib(threads: int, equal: Equal = EQUAL, copies: int = 1) -> Stack:
    """RLlib's PPO on `parallel_env`, one community, its step compiled.

    Args:
        copies: of the environment, stepped one after the other and decided for together; RLlib's default is 1.

    Raises:
        ModuleNotFoundError: its environment is not installed.
    """
    return _stack("rllib", threads, equal, {"copies": copies, "compile": True})


def _stack(name: str, threads: int, equal: Equal, differs: dict[str, Any]) -> Stack:
    """The stack of peers/run_NAME.py, one iteration at a time, on the CPU.

    Args:
        differs: from `equal`, to be told with the results.
    """
    if not is_installed(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    told = json.dumps(equal._asdict() | differs | {"threads": threads, "scenario": SCENARIO})
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": str(threads)}
    talk = Conversation([str(interpreter(name)), str(FOLDER / f"run_{name}.py"), told], environment)
    weakref.finalize(talk, talk.process.kill)
    cpu_s = 0.0

    def iterate(progress: float) -> int:
        nonlocal cpu_s
        done = talk.ask({"iterate": progress})
        cpu_s = done["cpu_s"]
        return done["steps"]

    def decide(obs: Tensor) -> Tensor:
        asked = base64.b64encode(obs.cpu().contiguous().numpy().tobytes()).decode()
        given = bytearray(base64.b64decode(talk.ask({"decide": asked, "shape": list(obs.shape)})["action"]))
        return torch.frombuffer(given, dtype=torch.float32).view(*obs.shape[:2], -1).to(obs.device)

    settings = equal._asdict() | differs | {"device": "cpu"} | talk.opening["versions"]
    return Stack(True, settings, GridConfig.load(SCENARIO).step_h, iterate, decide, lambda: cpu_s)
