"""BenchMARL's IPPO, in a process of its own with its own virtual environment, as it wants an older TorchRL."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peer_environments import FOLDER, interpreter, is_installed
from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import GridConfig

NAME = "benchmarl"


class Remote:
    """The process, and what it was last heard to say."""

    def __init__(self, settings: dict[str, Any]):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the object)
        self._process = subprocess.Popen(
            [str(interpreter(NAME)), str(FOLDER / "run_benchmarl.py"), json.dumps(settings)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment,
        )  # fmt: skip
        self.cpu_s = 0.0
        self.versions = self._answer()["versions"]

    def __del__(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; raises RuntimeError with its last words if it ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            code = self._process.wait()
            self._said.seek(0)
            lines = self._said.read().strip().splitlines()
            raise RuntimeError(f"BenchMARL ended with code {code}: {lines[-1] if lines else 'no message'}")
        return json.loads(line)


def benchmarl(threads: int, equal: Equal = EQUAL) -> Stack:
    """BenchMARL's experiment on SmartGridEnv, one iteration at a time.

    Raises:
        ModuleNotFoundError: its environment is not installed.
    """
    if not is_installed(NAME):
        raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)
    remote = Remote(equal._asdict() | {"threads": threads, "scenario": SCENARIO})

    def iterate(progress: float) -> int:
        done = remote.ask({"iterate": progress})
        remote.cpu_s = done["cpu_s"]
        return done["steps"]

    def decide(obs: Tensor) -> Tensor:
        asked = base64.b64encode(obs.contiguous().numpy().tobytes()).decode()
        given = bytearray(base64.b64decode(remote.ask({"decide": asked, "shape": list(obs.shape)})["action"]))
        return torch.frombuffer(given, dtype=torch.float32).view(*obs.shape[:2], -1)

    settings = equal._asdict() | remote.versions
    return Stack(True, settings, GridConfig.load(SCENARIO).step_h, iterate, decide, lambda: remote.cpu_s)
