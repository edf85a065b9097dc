"""Ethical Smart Grid: its basic scenario, 26 prosumers sharing what the grid has."""

from __future__ import annotations

import os
from pathlib import Path

from protocol import serve, versions


def main() -> None:
    """Step with random actions drawn beforehand."""
    import smartgrid  # pyright: ignore[reportMissingImports]

    os.chdir(Path(smartgrid.__path__[0]))  # its data are looked for here first; from Python 3.11 on only here
    env = smartgrid.make_basic_smartgrid(max_step=1_000_000_000)
    env.reset(seed=0)
    drawn = [{agent: env.action_space(agent).sample() for agent in env.agents} for _ in range(64)]
    calls = 0

    def step() -> None:
        nonlocal calls
        env.step(drawn[calls % len(drawn)])
        calls += 1

    serve(
        {
            "agents": len(drawn[0]), "num_grids": 1, "versions": versions("ethical-smart-grid"),
            "models": "energy bought, stored, given and consumed hour by hour, comfort, rewards of moral values; no "
            "network, no losses",
        },
        step,
    )  # fmt: skip


main()
