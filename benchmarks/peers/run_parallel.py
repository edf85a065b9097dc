"""Our PettingZoo environment, through the same door as the peers: `parallel_env`, compiled, one thread, power flow."""

from __future__ import annotations

from protocol import serve, versions


def main() -> None:
    """Step with random actions drawn beforehand."""
    import torch

    from smartgrid_core.pettingzoo_env import parallel_env

    torch.set_num_threads(1)
    env = parallel_env("community-5", compile=True)
    env.reset(seed=0)
    drawn = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(16)]
    calls = 0

    def step() -> bool:
        nonlocal calls
        env.step(drawn[calls % 16])
        calls += 1
        return not env.agents

    models = "what Simulator.step models, as dictionaries by agent with all infos"
    serve({"agents": 5, "num_grids": 1, "versions": versions("torch", "numpy"), "models": models}, step, env.reset)


main()
