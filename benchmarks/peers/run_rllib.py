"""RLlib's PPO on our PettingZoo environment, as most multi-agent work on PettingZoo is done; see `training`.

A policy for every prosumer, sampling and learning in this process: from as many copies of the environment as told,
which RLlib steps one after the other and decides for together. The settings come as the first argument.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
import torch
from protocol import answer, versions
from ray.rllib.algorithms.ppo import PPOConfig  # pyright: ignore[reportMissingImports]
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig  # pyright: ignore[reportMissingImports]
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # pyright: ignore[reportMissingImports]
from ray.tune.registry import register_env  # pyright: ignore[reportMissingImports]
from training import serve

from smartgrid_core.pettingzoo_env import parallel_env


def _community(scenario: str) -> Any:
    return parallel_env(scenario, compile=True, shaped_reward=True)


def main() -> None:
    """Build the algorithm, then iterate as told."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    steps = settings["grids"] * settings["horizon"]
    agents = parallel_env(settings["scenario"]).possible_agents
    register_env("smartgrid", lambda _: ParallelPettingZooEnv(_community(settings["scenario"])))
    ray.init(num_cpus=settings["threads"], include_dashboard=False, log_to_driver=False, logging_level="error")
    config = (
        PPOConfig()
        .environment("smartgrid")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=settings["copies"])
        .multi_agent(policies=set(agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=settings["hidden"], fcnet_activation="silu", vf_share_layers=False
            )
        )
        .training(
            train_batch_size=steps, minibatch_size=steps // settings["minibatches"], num_epochs=settings["epochs"],
            lr=settings["learning_rate"],
        )
    )  # fmt: skip
    algorithm = config.build_algo()
    taken = 0

    def iterate() -> int:
        nonlocal taken
        before, taken = taken, int(algorithm.train()["env_runners"]["num_env_steps_sampled_lifetime"])
        return taken - before

    def decide(obs: torch.Tensor) -> torch.Tensor:
        means = []
        for k, name in enumerate(agents):
            out = algorithm.get_module(name).forward_inference({"obs": obs[:, k]})
            means.append(out["action_dist_inputs"].chunk(2, dim=-1)[0].clamp(-1.0, 1.0))  # as RLlib clips them
        return torch.stack(means, dim=1)

    answer({"versions": versions("ray", "torch")})
    serve(iterate, decide)


if __name__ == "__main__":
    main()
