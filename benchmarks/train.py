"""Training speed: env-steps a second with updates, of the trainer's own loop and of usual stacks on the same task.

A step is one community, one quarter of an hour. Chunks of the stacks take turns, so that a machine's drift meets them
alike, and ratios are those of CPU time, which other work on the machine does not stretch (on a GPU read
env_steps_per_s). What the steps are worth, `time_to_score` tells; `update`, how near an update comes to what the
machine can multiply; `startup`, how long a run takes to begin.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import stacks, startup, time_to_score, update
from benchmarks.machine import wide
from smartgrid_core import GridConfig

MISSING = {  # by module
    "rllib": "RLlib left out: not installed; python -m benchmarks peers install rllib",
    "benchmarl": "BenchMARL left out: not installed; python -m benchmarks peers install benchmarl",
}


def run(
    quick: bool = False, threads: int = 2, device: str = "cpu", score_minutes: float | None = None
) -> list[dict[str, Any]]:
    """Measure every stack that is installed, chunks in turn; prints a table and returns one record a stack.

    The records of `update` and `startup` follow; they have a "case", which those of stacks have not.

    Args:
        score_minutes: of CPU time that every stack, begun anew, trains for a score (`time_to_score`); 0: none does;
            None: 4, or 0.1 where quick.
    """
    torch.set_num_threads(threads)
    builders = stacks.stacks(threads, device)
    built = {name: stack for name, build in builders.items() if (stack := _built(build)) is not None}
    seconds, rounds = (4.0, 2) if quick else (20.0, 5)
    for stack in built.values():
        _rate(stack, seconds / 4)  # warm-up: caches, and what libraries compile on the way
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in built}
    for _ in range(rounds):
        for name, stack in built.items():
            rates[name].append(_rate(stack, seconds))
    records = [_record(name, stack, rates[name]) for name, stack in built.items()]
    for record in records:
        record["ratio_to_peers"] = {
            r["name"]: record["env_steps_per_cpu_s"] / r["env_steps_per_cpu_s"] for r in records if r["peer"]
        }
    _print(records, threads, device)
    minutes = (0.1 if quick else 4.0) if score_minutes is None else score_minutes
    if minutes:
        again = {name: builders[name] for name in built}
        if quick:
            curves = time_to_score.run(again, minutes, device, episodes=2, marks=2)
        else:
            curves = time_to_score.run(again, minutes, device)
        for record in records:
            record["to_score"] = curves[record["name"]]
    return [*records, update.run(quick, threads, device), *startup.run(quick, threads, device)]


def _built(build: Callable[[], stacks.Stack]) -> stacks.Stack | None:
    """The stack; None, with a line that says so, where its library is not installed."""
    try:
        return build()
    except ModuleNotFoundError as missing:
        if missing.name not in MISSING:
            raise
        Console().print(MISSING[missing.name])
        return None


def _rate(stack: stacks.Stack, cpu_seconds: float) -> tuple[float, float]:
    """Env-steps a second, and a second of CPU time, over whole iterations of at least so much CPU time."""
    start, cpu, steps = time.perf_counter(), stack.cpu_s(), 0
    while (used := stack.cpu_s() - cpu) < cpu_seconds:
        steps += stack.iterate(0.0)
    return steps / (time.perf_counter() - start), steps / used


def _record(name: str, stack: stacks.Stack, rates: list[tuple[float, float]]) -> dict[str, Any]:
    (wall, cpu), agents = zip(*rates, strict=True), GridConfig.load(stacks.SCENARIO).num_agents
    return {
        "name": name, "peer": stack.peer, "settings": stack.settings,
        "env_steps_per_s": statistics.median(wall), "env_steps_per_cpu_s": statistics.median(cpu),
        "env_steps_per_cpu_s_low": min(cpu), "env_steps_per_cpu_s_high": max(cpu),
        "agent_steps_per_cpu_s": statistics.median(cpu) * agents,
    }  # fmt: skip


def _print(records: list[dict[str, Any]], threads: int, device: str) -> None:
    peers = [record["name"] for record in records if record["peer"]]
    table = Table(title=f"Training, {stacks.SCENARIO}, {threads} threads, {device}")
    for column in (
        "what",
        "env-steps/s",
        "env-steps/CPU-s",
        "agent-steps/CPU-s",
        *(f"× {name.partition(',')[0]}" for name in peers),
    ):
        table.add_column(column, justify="left" if column == "what" else "right")
    for r in records:
        spread = f"({r['env_steps_per_cpu_s_low']:,.0f}–{r['env_steps_per_cpu_s_high']:,.0f})"
        ratios = [f"{r['ratio_to_peers'][name]:,.1f}" for name in peers]
        table.add_row(
            r["name"], f"{r['env_steps_per_s']:,.0f}", f"{r['env_steps_per_cpu_s']:,.0f} {spread}",
            f"{r['agent_steps_per_cpu_s']:,.0f}", *ratios,
        )  # fmt: skip
    wide().print(table)
