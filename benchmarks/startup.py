"""How long the trainer takes to begin: its help, and its first update, each as a process that a person would start.

Seconds on the clock, from the start of the process. Compile caches are warm, which a first run, not counted, sees to,
or empty, as after an installation.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

HELP, FIRST_UPDATE = "python -m trainer --help", "python -m trainer train, to its first update"
SHAC_UPDATE = "python -m trainer train --algorithm shac, to its first update"
COLD = ", caches empty"
LIMIT_S = 600.0
POLL_S = 0.01
REPOSITORY = Path(__file__).parents[1]


def run(quick: bool, threads: int, device: str) -> list[dict[str, Any]]:
    """All, on so many threads; prints them and returns one record each."""
    options = ["--device", device, "--threads", str(threads)]
    shac = [*options, "--algorithm", "shac"]
    records = [_record(HELP, _help, 5), _record(FIRST_UPDATE, lambda: first_update(options), 1 if quick else 5)]
    if not quick:
        records += [
            _record(FIRST_UPDATE + COLD, lambda: first_update(options, cold=True), 3, warm_up=False),
            _record(SHAC_UPDATE, lambda: first_update(shac), 3),
            _record(SHAC_UPDATE + COLD, lambda: first_update(shac, cold=True), 3, warm_up=False),
        ]
    for r in records:
        Console().print(f"{r['name']}: {r['seconds']:.2f} s ({r['seconds_low']:.2f}–{r['seconds_high']:.2f})")
    return records


def _record(name: str, take: Callable[[], float], rounds: int, warm_up: bool = True) -> dict[str, Any]:
    if warm_up:
        take()
    taken = [take() for _ in range(rounds)]
    return {
        "case": "startup", "name": name, "seconds": statistics.median(taken), "seconds_low": min(taken),
        "seconds_high": max(taken),
    }  # fmt: skip


def _help() -> float:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "trainer", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())
    return time.perf_counter() - begin


def first_update(options: Sequence[str] = (), cold: bool = False) -> float:
    """Seconds until a new run has written the line of its first iteration; then it is interrupted.

    Args:
        cold: with nothing compiled and nothing kept from runs before.

    Raises:
        RuntimeError: it ended, or took ten minutes, without one.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "said.txt").open("w+") as said:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "trainer", "train", "--out", str(out), "--no-evaluate", *options]
        environment = _environment()
        if cold:
            environment |= {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "torch")}
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment, cwd=folder)
        try:
            while not _has_a_line(out / "metrics.jsonl"):
                if process.poll() is not None or time.perf_counter() - begin > LIMIT_S:
                    said.seek(0)
                    raise RuntimeError(f"{' '.join(command)}: no update; it said: {said.read()[-2000:]}")
                time.sleep(POLL_S)
            return time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()


def _has_a_line(path: Path) -> bool:
    try:
        return b"\n" in path.read_bytes()
    except FileNotFoundError:
        return False


def _environment() -> dict[str, str]:
    """This process's, with the package it runs from found first."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
