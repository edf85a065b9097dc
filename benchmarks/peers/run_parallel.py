"""Our PettingZoo environment, through the same door as the peers: `parallel_env`, compiled, one thread, power flow."""

from __future__ import annotations

from protocol import serve_parallel


def main() -> None:
    """Make it and step when told to."""
    import torch

    from smartgrid_core.pettingzoo_env import parallel_env

    torch.set_num_threads(1)
    models = "what Simulator.step models, as dictionaries by agent with all infos"
    serve_parallel(parallel_env("community-5", compile=True), ("torch", "numpy"), models)


main()
