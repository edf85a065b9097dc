"""lightsim2grid's LightEnv: the same 14-bus grid stepped in C++ alone, with few of Grid2Op's rules."""

from __future__ import annotations

import warnings

from protocol import serve, versions

warnings.filterwarnings("ignore")


def main() -> None:
    """Step with the action that does nothing, as Grid2Op beside it."""
    import grid2op  # pyright: ignore[reportMissingImports]
    import numpy as np  # pyright: ignore[reportMissingImports]
    from lightsim2grid import LightSimBackend  # pyright: ignore[reportMissingImports]
    from lightsim2grid.lightEnv import LightEnv, Protections  # pyright: ignore[reportMissingImports]

    source = grid2op.make("l2rpn_case14_sandbox", test=True, backend=LightSimBackend())
    source.seed(0)
    source.reset()
    data = source.chronics_handler.real_data.data
    rows = data.load_p.shape[0]
    unchanged = [np.full((rows, count), np.nan) for count in (source.n_storage, source.n_shunt, source.n_shunt, 0, 0)]
    env = LightEnv(source.backend._grid)
    env.assign_time_series(
        *(np.ascontiguousarray(x, dtype=float) for x in (data.load_p, data.load_q, data.prod_p)),
        np.ascontiguousarray(data.prod_v / source.backend.prod_pu_to_kv, dtype=float), *unchanged,
    )  # fmt: skip
    limit = source.get_thermal_limit() * 1e-3
    protections = Protections()
    protections.set_thermal_limit_or(limit)
    protections.set_thermal_limit_ex(limit * source.backend.lines_or_pu_to_kv / source.backend.lines_ex_pu_to_kv)
    protections.set_max_line_time_step_overflow(np.full(source.n_line, 3, dtype=np.int32))
    env.protections = protections
    env.reset()

    def step() -> bool:
        _, _, done, truncated, _ = env.step(0)
        return done or truncated

    serve(
        {
            "agents": 1, "num_grids": 1, "versions": versions("lightsim2grid", "grid2op"),
            "models": "the same 14 substations in C++: AC power flow, topology, protections, cooldowns; no "
            "redispatching, no observation vector; here with the action that does nothing",
        },
        step, env.reset,
    )  # fmt: skip


main()
