"""The yardstick of single environments: community-5 as PettingZoo environments are usually written, in NumPy.

Arguments: "floats" where its scalars are Python's.
"""

from __future__ import annotations

import sys

from protocol import serve, versions

MODELS = "batteries, transfers by consent, settlement, four reward parts, forecasts; no power flow; "


def main(floats: bool) -> None:
    """Step with random actions drawn beforehand."""
    from benchmarks.yardstick.plain import FloatEnv, PlainEnv

    env = FloatEnv() if floats else PlainEnv()
    env.reset(seed=0)
    drawn = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(16)]
    calls = 0

    def step() -> bool:
        nonlocal calls
        env.step(drawn[calls % 16])
        calls += 1
        return not env.agents

    models = MODELS + ("scalars are Python's" if floats else "scalars are NumPy's")
    serve({"agents": 5, "num_grids": 1, "versions": versions("numpy"), "models": models}, step, env.reset)


main("floats" in sys.argv[1:])
