"""VMAS: five robots of simple_spread in 4,096 worlds at once, as tensors."""

from __future__ import annotations

from protocol import serve, versions

WORLDS = 4096


def main() -> None:
    """Step with random actions drawn beforehand."""
    import torch  # pyright: ignore[reportMissingImports]
    import vmas  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    env = vmas.make_env(scenario="simple_spread", num_envs=WORLDS, device="cpu", continuous_actions=True, n_agents=5,
                        seed=0)  # fmt: skip
    env.reset()
    drawn = [[env.get_random_action(agent) for agent in env.agents] for _ in range(8)]
    calls = 0

    @torch.no_grad()
    def step() -> None:
        nonlocal calls
        env.step(drawn[calls % len(drawn)])
        calls += 1

    serve(
        {
            "agents": len(env.agents), "num_grids": WORLDS, "versions": versions("vmas", "torch"),
            "models": "bodies in two dimensions with forces and collisions; a vectorised simulator of another subject",
        },
        step,
    )  # fmt: skip


main()
