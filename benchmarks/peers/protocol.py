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
from typing import Any

_OUT = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages by name."""
    return {name: version(name) for name in packages}


def serve(about: dict[str, Any], step: Callable[[], float | None]) -> None:
    """Answer until standard input ends.

    Args:
        about: name of the environment's parts: agents, num_grids (environments one call steps), models, versions.
        step: one call; returns CPU seconds not to be counted (None: none), those of a reset after an episode's end.
    """
    for _ in range(3):
        step()
    print(json.dumps(about), file=_OUT)
    for line in sys.stdin:
        print(json.dumps(_measure(step, float(line), about["num_grids"])), file=_OUT)


def _measure(step: Callable[[], float | None], seconds: float, num_grids: int) -> dict[str, Any]:
    calls, left_out = 0, 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    while True:
        left_out += step() or 0.0
        calls += 1
        used = time.process_time() - cpu - left_out
        if used >= seconds:
            return {"steps": calls * num_grids, "cpu_s": used, "wall_s": time.perf_counter() - wall}
