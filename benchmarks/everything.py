"""Every suite one after the other, each in a process of its own: what one breaks or keeps does not reach the next."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

NOT_SUITES = ("all", "peers", "report")  # further commands of `python -m benchmarks`


class Outcome(NamedTuple):
    """How a suite ended."""

    name: str
    code: int  # exit code, not 0 either where no results were written
    ended: str  # ok, failed or missing
    seconds: float
    results: Path


def run_all(
    commands: Mapping[str, Callable[..., Any]], names: Sequence[str], quick: bool, device: str, out: Path
) -> list[Outcome]:
    """Run the suites named; a failing or missing one does not stop the others.

    Args:
        commands: those of `python -m benchmarks` by name; options are taken from their signatures.
        names: of the suites; none: all there are.
        quick: under a minute each, smaller sweeps.
        device: for those that have one; on a GPU the others, which measure a CPU, are left out unless named.
        out: folder the results go into, as NAME-DEVICE.json.
    """
    console, outcomes = Console(stderr=True), []
    kind = device.partition(":")[0]
    options_of = {name: inspect.signature(command).parameters for name, command in commands.items()}
    known = [n for n in commands if n not in NOT_SUITES]
    chosen = list(names) or [n for n in known if kind == "cpu" or "device" in options_of[n]]
    if left_out := [n for n in known if n not in chosen and not names]:
        console.print(f"{', '.join(left_out)} left out: they measure a CPU, and their results are not this machine's")
    for name in chosen:
        options = options_of.get(name, {})
        path = out / f"{name}-{kind if 'device' in options else 'cpu'}.json"
        console.rule(f"[bold]{name}")
        begin = time.perf_counter()
        code = _run(name, options, quick, device, path) if name in commands else 2
        if name not in commands:
            console.print(f"no such suite: {name}; there are {', '.join(known)}")
        ended = "missing" if name not in commands else "failed" if code else "ok"
        outcomes.append(Outcome(name, code, ended, time.perf_counter() - begin, path))
    _print(outcomes)
    return outcomes


def _run(name: str, options: Mapping[str, Any], quick: bool, device: str, path: Path) -> int:
    """One suite in a child process; 0 where it ended well and wrote its results anew."""
    before = path.stat().st_mtime_ns if path.is_file() else None
    command = [sys.executable, "-m", "benchmarks", name, "--json", str(path), *(["--quick"] if quick else [])]
    command += ["--device", device] if "device" in options else []
    code = subprocess.run(command).returncode
    written = path.is_file() and path.stat().st_mtime_ns != before
    return code or (0 if written else 1)


def _print(outcomes: Sequence[Outcome]) -> None:
    table = Table(title="All suites")
    for column in ("suite", "", "seconds", "results"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for o in outcomes:
        colour = "red" if o.code else "green"
        table.add_row(o.name, f"[{colour}]{o.ended}[/]", f"{o.seconds:.0f}", "" if o.code else str(o.results))
    Console(width=max(Console().width, 100)).print(table)
