"""Our own step, through the same door as the peers: `Simulator.step`, compiled, one thread.

Arguments: prosumers, communities stepped at once.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from protocol import serve


def main(agents: int, num_grids: int) -> None:
    """Step with random actions drawn beforehand; episodes end at different times and begin anew within the step."""
    import torch

    from benchmarks.communities import community
    from smartgrid_core import Simulator

    torch.set_num_threads(1)
    sim = Simulator(community(agents), num_grids, auto_reset=True, stagger=True, compile=True)
    state, _ = sim.reset()
    drawn = torch.rand(16, num_grids, sim.num_agents, sim.action_dim) * 2 - 1
    calls = 0

    @torch.no_grad()
    def step() -> None:
        nonlocal state, calls
        state, _ = sim.step(state, drawn[calls % 16])
        calls += 1

    serve(
        {
            "agents": agents, "num_grids": num_grids, "versions": {"torch": version("torch")},
            "models": "batteries, transfers by consent, settlement, four reward parts, forecasts, AC power flow",
        },
        step,
    )  # fmt: skip


main(int(sys.argv[1]), int(sys.argv[2]))
