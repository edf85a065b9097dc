"""Grid2Op with the lightsim2grid backend: one agent operating the 14-bus transmission grid."""

from __future__ import annotations

import warnings

from protocol import serve, versions

warnings.filterwarnings("ignore")


def main() -> None:
    """Step with the action that does nothing: random ones end an episode within three steps, and a reset is long."""
    import grid2op  # pyright: ignore[reportMissingImports]
    from lightsim2grid import LightSimBackend  # pyright: ignore[reportMissingImports]

    env = grid2op.make("l2rpn_case14_sandbox", test=True, backend=LightSimBackend())
    env.seed(0)
    env.reset()
    nothing = env.action_space()

    def step() -> bool:
        _, _, done, _ = env.step(nothing)
        return done

    serve(
        {
            "agents": 1, "num_grids": 1, "versions": versions("grid2op", "lightsim2grid"),
            "models": "meshed transmission grid of 14 substations, AC power flow to convergence, topology, "
            "redispatching, protections, cooldowns; here with the action that does nothing",
        },
        step, env.reset,
    )  # fmt: skip


main()
