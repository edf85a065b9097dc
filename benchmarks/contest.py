"""Our step beside other environments and yardsticks, in turns on one core, by CPU time.

Every contestant is a process of its own (a peer's in its own virtual environment, see `peer_environments`) that steps
when it is told to and waits otherwise; rounds go around all that have as many agents. All run on one thread. Actions
are drawn beforehand; of peers, what a reset costs is not counted, as ours are part of the step.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.communities import community
from benchmarks.conversation import Conversation
from benchmarks.machine import wide
from benchmarks.peer_environments import ENVIRONMENTS, FOLDER, interpreter, is_installed
from benchmarks.yardstick import world
from smartgrid_core import Simulator

AT_ONCE = 4096  # communities of ours beside peers, and of the yardsticks
TITLES = {
    "citylearn": "CityLearn", "grid2op": "Grid2Op", "lightsim2grid": "lightsim2grid LightEnv", "vmas": "VMAS",
    "python-microgrid": "python-microgrid", "ethical-smart-grid": "Ethical Smart Grid",
    "jax": "this step in JAX (jit, vmap)", "c": "this step in C", "c-learner": "this step in C, learner's results only",
    "plain": "a plain PettingZoo env in NumPy, no power flow", "plain-floats": "one in Python's floats, no power flow",
}  # fmt: skip
HERE = {  # runners in our own interpreter, with what they are told: script, arguments
    "c": ("c", [str(AT_ONCE)]), "c-learner": ("c", [str(AT_ONCE), "learner"]), "plain": ("plain", []),
    "plain-floats": ("plain", ["floats"]), "parallel": ("parallel", []),
}  # fmt: skip
BESIDE_PARALLEL = ("plain", "plain-floats")  # measured against `parallel_env` instead of `Simulator.step`
AGENTS = {"citylearn": 17, "ethical-smart-grid": 26, "vmas": 5, "jax": 5}  # others have one


class Runner(NamedTuple):
    """A contestant's process."""

    name: str
    talk: Conversation
    rates: list[float]  # env-steps a CPU-second, one a round

    @property
    def about(self) -> dict[str, Any]:
        """agents, num_grids, models, versions."""
        return self.talk.opening

    def take_turn(self, cpu_seconds: float) -> None:
        """Step for so much CPU time."""
        done = self.talk.ask(cpu_seconds)
        self.rates.append(done["steps"] / done["cpu_s"])


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure everyone who is installed; prints a table and returns one record a peer or yardstick."""
    missing = [name for name, e in ENVIRONMENTS.items() if e.runners and not is_installed(name)]
    for name in missing:
        Console(stderr=True).print(f"{name} left out: not installed; python -m benchmarks peers install {name}")
    groups: dict[int, list[str]] = {5: [name for name in HERE if name in TITLES]}
    for environment in ENVIRONMENTS.values():
        for name in environment.runners if environment.name not in missing else ():
            groups.setdefault(AGENTS.get(name, 1), []).append(name)
    if quick and (others := [TITLES[n] for agents, names in groups.items() if agents != 5 for n in names]):
        Console(stderr=True).print(f"{', '.join(others)} left out of --quick, which measures those with 5 agents")
        groups = {5: groups[5]}
    records = [r for agents, names in sorted(groups.items()) for r in _group(agents, names, quick)]
    _print(records)
    return records


def _group(agents: int, names: list[str], quick: bool) -> list[dict[str, Any]]:
    """Those with so many agents, and ours with as many."""
    rounds, seconds = (2, 0.3) if quick else (7, 2.0)
    with ExitStack() as stack:
        ours = [_started(stack, "ours", [str(agents), str(n)]) for n in ((AT_ONCE,) if quick else (1, AT_ONCE))]
        others = []
        for name in names:
            try:
                others.append(_started(stack, name, _arguments(stack, name)))
            except RuntimeError as error:
                Console(stderr=True).print(f"{TITLES[name]} left out: {error}")
        single = [_started(stack, "parallel", [])] if any(name in BESIDE_PARALLEL for name in names) else []
        for _ in range(rounds):
            for runner in (*ours, *single, *others):
                runner.take_turn(seconds)
    return [_record(runner, single if runner.name in BESIDE_PARALLEL else ours) for runner in others]


def _arguments(stack: ExitStack, name: str) -> list[str]:
    """What a runner is told: JAX which communities, as it cannot make them."""
    if name != "jax":
        return HERE[name][1] if name in HERE else []
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "world.npz"
    sim = Simulator(community(AGENTS["jax"]), AT_ONCE, auto_reset=True, stagger=True)
    world.save(path, sim, sim.reset()[0])
    return [str(path)]


def _started(stack: ExitStack, name: str, arguments: list[str]) -> Runner:
    """A runner that has built its environment and waits."""
    script = FOLDER / f"run_{HERE[name][0] if name in HERE else name}.py"
    home = next((e.name for e in ENVIRONMENTS.values() if name in e.runners), None)
    python = sys.executable if home is None else str(interpreter(home))
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    here = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]) if home is None else ""
    pinned = _on_one_core if hasattr(os, "sched_setaffinity") else None
    talk = Conversation([python, str(script), *arguments], environment, pinned)
    stack.callback(talk.end)
    return Runner(name, talk, [])


def _on_one_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _record(runner: Runner, ours: list[Runner]) -> dict[str, Any]:
    agents = runner.about["agents"]
    rates = [rate * agents for rate in runner.rates]
    middle = statistics.median(rates)
    beside = [
        {
            "through": "parallel_env" if o.name == "parallel" else "Simulator.step",
            "num_grids": o.about["num_grids"], "agent_steps_per_cpu_s": statistics.median(o.rates) * agents,
            "ratio": statistics.median(a / b for a, b in zip(o.rates, runner.rates, strict=True)),
        }
        for o in ours
    ]  # fmt: skip
    return {
        "case": "peer", "name": TITLES[runner.name], "yardstick": runner.name in (*HERE, "jax"),
        **{key: runner.about[key] for key in ("agents", "num_grids", "models", "versions")},
        "agent_steps_per_cpu_s": middle, "agent_steps_per_cpu_s_low": min(rates),
        "agent_steps_per_cpu_s_high": max(rates), "ours": beside,
    }  # fmt: skip


def _print(records: list[dict[str, Any]]) -> None:
    table = Table(title="Beside other environments: agent-steps a CPU-second, one thread")
    for column in ("environment", "agents", "at once", "agent-steps/CPU-s", "ours, at once", "agent-steps/CPU-s",
                   "ratio"):  # fmt: skip
        table.add_column(column, justify="left" if column == "environment" else "right")
    for r in records:
        for o in r["ours"]:
            table.add_row(
                r["name"], str(r["agents"]), f"{r['num_grids']:,}", f"{r['agent_steps_per_cpu_s']:,.0f}",
                f"{o['num_grids']:,} {o['through']}", f"{o['agent_steps_per_cpu_s']:,.0f}", f"{o['ratio']:,.2f}",
            )  # fmt: skip
    wide().print(table)
