"""python-microgrid: one controller of one microgrid with battery, grid, generator, load and solar."""

from __future__ import annotations

import warnings

from protocol import serve, versions

warnings.filterwarnings("ignore")


def main() -> None:
    """Step with random actions drawn beforehand."""
    from pymgrid.envs import ContinuousMicrogridEnv  # pyright: ignore[reportMissingImports]

    env = ContinuousMicrogridEnv.from_scenario(microgrid_number=1)
    env.reset()
    drawn = [env.action_space.sample() for _ in range(64)]
    calls = 0

    def step() -> bool:
        nonlocal calls
        _, _, done, _ = env.step(drawn[calls % len(drawn)])
        calls += 1
        return done

    serve(
        {
            "agents": 1, "num_grids": 1, "versions": versions("python-microgrid"),
            "models": "power balance of one microgrid of the package's own scenarios, battery, forecasts, costs; no "
            "network",
        },
        step, env.reset,
    )  # fmt: skip


main()
