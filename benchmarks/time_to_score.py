"""How long training takes to a score: every stack from drawn weights, one after the other, on the same episodes.

Time is CPU time spent in collecting and learning; building, compiling and validating are left out.
Nobody knows a policy's score but by asking, so it is asked at marks of the time, which lie closer where it is short.
A stack that has the score is done; the learning benchmark says how far it gets.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.machine import wide
from benchmarks.stacks import SCENARIO, Stack
from smartgrid_core import GridConfig, Simulator, State
from trainer.validation import Validation

TARGET = 0.80  # of validation episodes: well above every rule, below what all of our learners reach
EPISODES = 8
MARKS = 24  # of the time, at which the score is asked for; they are squares apart
LAST = 5  # of them, whose median is the score at the end


class StackController:
    """A stack's policy, acting as it did in training but for exploration."""

    kind = "policy"

    def __init__(self, name: str, stack: Stack):
        self.name, self.stack = name, stack
        self._hold, self._step, self._held = 1, 0, torch.empty(0)

    def start(self, sim: Simulator, state: State) -> None:
        """Begin at a decision."""
        self._hold, self._step = max(1, round(self.stack.hold_h / sim.config.step_h)), 0

    @torch.no_grad()
    def act(self, state: State, obs: Tensor) -> Tensor:
        """Action [B, N, A], renewed every hold."""
        if self._step % self._hold == 0:
            self._held = self.stack.decide(obs)
        self._step += 1
        return self._held


def run(
    builders: Mapping[str, Callable[[], Stack]],
    minutes: float,
    device: str = "cpu",
    scenario: GridConfig | None = None,
    episodes: int = EPISODES,
    marks: int = MARKS,
) -> dict[str, dict[str, Any]]:
    """Train every stack for `minutes` of CPU time; prints a table and returns, by name, how its score rose.

    Returns:
        target, baselines (scores of the rules), reached_cpu_s and reached_steps (None where the target was not
        reached), best, last (median of the last points), and curve: points {cpu_s, wall_s, env_steps, score}.
    """
    validation = Validation(scenario or GridConfig.load(SCENARIO), episodes, torch.device(device))
    baselines, console = validation.prepare().baselines, Console(stderr=True)
    found: dict[str, dict[str, Any]] = {}
    for name, build in builders.items():
        stack = build()
        curve = _curve(stack, minutes * 60, marks, partial(_score, validation, StackController(name, stack)))
        there = next((point for point in curve if point["score"] >= TARGET), None)
        scores = [point["score"] for point in curve]
        best, last = max(scores), statistics.median(scores[-LAST:])
        found[name] = {
            "target": TARGET, "baselines": baselines, "best": best, "last": last, "curve": curve,
            "reached_cpu_s": there and there["cpu_s"], "reached_steps": there and there["env_steps"],
        }  # fmt: skip
        reached = (
            f"{TARGET} after {there['cpu_s']:.0f} CPU-s" if there else f"{last:.3f} at the end, {best:.3f} at best"
        )
        console.print(f"{name}: {reached}")
    _print(found, minutes, episodes)
    return found


def _score(validation: Validation, policy: StackController) -> float:
    return validation.run(policy)["score"]


def _curve(stack: Stack, budget_s: float, marks: int, score: Callable[[], float]) -> list[dict[str, float]]:
    """Points up to the target, each at the end of the iteration in which a mark of the time falls."""
    curve: list[dict[str, float]] = []
    cpu_s, wall_s, steps = 0.0, 0.0, 0
    while cpu_s < budget_s and not (curve and curve[-1]["score"] >= TARGET):
        cpu, wall = stack.cpu_s(), time.perf_counter()
        steps += stack.iterate(cpu_s / budget_s)
        cpu_s, wall_s = cpu_s + stack.cpu_s() - cpu, wall_s + time.perf_counter() - wall
        if cpu_s >= budget_s * ((len(curve) + 1) / marks) ** 2:
            curve.append({"cpu_s": cpu_s, "wall_s": wall_s, "env_steps": steps, "score": score()})
    return curve


def _print(found: Mapping[str, dict[str, Any]], minutes: float, episodes: int) -> None:
    table = Table(title=f"Score on {episodes} validation episodes of {SCENARIO}, at most {minutes:g} min of CPU time")
    for column in ("what", f"CPU-s to {TARGET:.2f}", "env-steps to it", "where not: at the end", "at best"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, record in found.items():
        reached = record["reached_cpu_s"]
        steps = "" if reached is None else f"{record['reached_steps']:,}"
        without = [f"{record[key]:.3f}" if reached is None else "" for key in ("last", "best")]
        table.add_row(name, "not reached" if reached is None else f"{reached:,.0f}", steps, *without)
    rules = ", ".join(f"{name} {score:.3f}" for name, score in next(iter(found.values()))["baselines"].items())
    wide().print(table, f"rules: {rules}")
