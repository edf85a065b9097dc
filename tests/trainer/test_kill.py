"""kill -9 at any moment: the run can be loaded, goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smartgrid_core.fused.build import compiler
from tests.trainer.runs_small import assert_same
from tests.trainer.training_process import train
from trainer.policy import load_policy
from trainer.runs import RunFolder

PATIENCE_S = 300.0


def killed(folder: Path, kills: int, iterations: int, compile: bool) -> list[int]:
    """Train, kill at a random moment, look at what is there; the last life ends by itself. Iterations at each kill."""
    moments, found = random.Random(7), []
    command = [sys.executable, "-m", "tests.trainer.training_process", str(folder), str(iterations), str(compile)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for life in range(kills + 1):
            process.stdin.write("go\n")
            pid = int(process.stdout.readline())
            if life < kills:
                began = found[-1] if found else 0
                deadline = time.monotonic() + PATIENCE_S
                while _iteration(folder) <= began:  # it has begun to save
                    assert time.monotonic() < deadline, f"life {life} saves nothing"
                    time.sleep(0.002)
                time.sleep(moments.uniform(0.0, 0.1))
                os.kill(pid, signal.SIGKILL)
            code = int(process.stdout.readline())
            assert code == (-signal.SIGKILL if life < kills else 0)
            found.append(RunFolder(folder).load_training()["iteration"])
            assert load_policy(folder).about["iteration"] > 0
        process.stdin.close()
    return found


def _iteration(folder: Path) -> int:
    """Of the newest checkpoint with its final name."""
    try:
        return json.loads((folder / "checkpoints/last/about.json").read_text())["iteration"]
    except FileNotFoundError:
        return 0


def check_kills(tmp_path: Path, kills: int, iterations: int, compile: bool = False) -> None:
    found = killed(tmp_path / "killed", kills, iterations, compile)
    assert found == sorted(found)
    assert found[-2] < found[-1] == iterations, "the kills came before the end"
    whole = train(tmp_path / "whole", iterations, compile)
    a, b = (RunFolder(tmp_path / name).load_training() for name in ("whole", "killed"))
    assert whole.tally.iteration == iterations
    for key in ("learner", "state", "obs", "rng", "iteration", "env_steps", "best", "validated", "stale"):
        assert_same(a[key], b[key])
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "killed")
    ]
    timed = ("seconds", "_s", "_per_s")
    for ours, theirs in zip(*lines, strict=True):
        assert_same(*({k: v for k, v in line.items() if not k.endswith(timed)} for line in (ours, theirs)))
    names = {path.name for path in (tmp_path / "killed/checkpoints").iterdir()}
    kept = {"last", "previous", "best", f"{iterations - 1:06d}", f"{iterations:06d}"}
    assert names == kept, "nothing half done is left"


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 4, 60)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_kill_9_of_a_compiled_run(tmp_path: Path) -> None:
    """As presets train: the step is compiled anew in every life, from the cache after the first."""
    check_kills(tmp_path, 2, 60, compile=True)


@pytest.mark.slow
def test_kill_9_thirty_times(tmp_path: Path) -> None:
    check_kills(tmp_path, 30, 400)
