"""Where and with what a figure was measured, and how results are written."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from trainer.files import write_atomically

PEERS = (
    "torch",
    "numpy",
    "power-grid-model",
    "pandapower",
    "torchrl",
    "websockets",
    "uvicorn",
)  # whose versions are told


def describe_machine(device: torch.device | None = None, programs: Sequence[str] = ()) -> dict[str, Any]:
    """Hardware, versions and commit of this run, as they were when it began.

    Args:
        programs: whose versions count too, e.g. node.
    """
    return {
        "time": BEGUN.isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "logical_cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device is not None and device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PEERS} | {name: _program(name) for name in programs},
        "commit": COMMIT,
    }


def write_results(
    path: Path,
    name: str,
    cases: list[dict[str, Any]],
    device: torch.device | None = None,
    programs: Sequence[str] = (),
) -> None:
    """Write one suite's results with the machine they were taken on."""
    content = {"benchmark": name, "machine": describe_machine(device, programs), "cases": cases}
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def wide(least: int = 130) -> Console:
    """A console at least so wide: tables written to a file are whole."""
    return Console(width=max(Console().width, least))


def seconds_per_call(
    call: Callable[[], object], min_seconds: float, device: torch.device
) -> tuple[float, float, float]:
    """Median, minimum and maximum seconds per call over at least five batches of calls; a warm-up goes first."""
    call()
    start = _now(device)
    call()
    once = max(_now(device) - start, 1e-7)
    repeats = max(1, round(min_seconds / 5 / once))
    samples = []
    for _ in range(5):
        start = _now(device)
        for _ in range(repeats):
            call()
        samples.append((_now(device) - start) / repeats)
    return statistics.median(samples), min(samples), max(samples)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def cpu_model() -> str:
    """The processor, as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program(name: str) -> str | None:
    """What a program says of its version."""
    return _said([name, "--version"]) if shutil.which(name) else None


def _commit() -> str | None:
    """The commit, "-dirty" where code differs from it: other suites' fresh results are no code."""
    commit = _said(["git", "rev-parse", "--short=12", "HEAD"])
    changed = _said(
        ["git", "status", "--porcelain", "--", ":/", ":(exclude,top)benchmarks/results", ":(exclude,top)docs"]
    )
    return commit and f"{commit}-dirty" if changed else commit


def _said(command: Sequence[str]) -> str | None:
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


BEGUN, COMMIT = datetime.now(UTC), _commit()  # of the process: what is committed meanwhile was not measured
