"""How a runner and the benchmark talk: JSON lines; nothing else is printed, as what libraries print goes to stderr.

The runner says what it is, then, for every line with a number of seconds, steps for so much CPU time and says how many
steps that were. Only the standard library: every peer's own interpreter runs it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import cycle
from typing import Any

_OUT = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages by name."""
    return {name: version(name) for name in packages}


def answer(content: dict[str, Any]) -> None:
    """Say one thing."""
    print(json.dumps(content), file=_OUT)


def serve(about: dict[str, Any], step: Callable[[], object], reset: Callable[[], object] | None = None) -> None:
    """Answer until standard input ends.

    Args:
        about: name of the environment's parts: agents, num_grids (environments one call steps), models, versions.
        step: one call; where there is a reset, returns whether the episode is over.
        reset: begins another episode; its time is not counted.
    """
    for _ in range(3):  # caches
        _measure(step, reset, 0.0, 1)
    answer(about)
    for line in sys.stdin:
        answer(_measure(step, reset, float(line), about["num_grids"]))


def serve_parallel(env: Any, packages: tuple[str, ...], models: str) -> None:
    """The same of a PettingZoo environment of community-5, which takes random actions drawn beforehand."""
    env.reset(seed=0)
    drawn = cycle([{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(16)])

    def step() -> bool:
        env.step(next(drawn))
        return not env.agents

    serve({"agents": 5, "num_grids": 1, "versions": versions(*packages), "models": models}, step, env.reset)


def _measure(
    step: Callable[[], object], reset: Callable[[], object] | None, seconds: float, num_grids: int
) -> dict[str, Any]:
    calls, left_out = 0, 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    while True:
        over = step()
        calls += 1
        if reset is not None and over:
            begin = time.process_time()
            reset()
            left_out += time.process_time() - begin
        used = time.process_time() - cpu - left_out
        if used >= seconds:
            return {"steps": calls * num_grids, "cpu_s": used, "wall_s": time.perf_counter() - wall}
