"""RLlib's PPO, as most multi-agent work on PettingZoo is done."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import GridConfig


def rllib(threads: int, equal: Equal = EQUAL) -> Stack:
    """RLlib's PPO on `parallel_env`, a policy for every prosumer, sampling and learning in this process."""
    import ray  # pyright: ignore[reportMissingImports]
    from ray.rllib.algorithms.ppo import PPOConfig  # pyright: ignore[reportMissingImports]
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig  # pyright: ignore[reportMissingImports]
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # pyright: ignore[reportMissingImports]
    from ray.tune.registry import register_env  # pyright: ignore[reportMissingImports]

    from smartgrid_core.pettingzoo_env import parallel_env

    agents = parallel_env(SCENARIO).possible_agents
    register_env("smartgrid", lambda settings: ParallelPettingZooEnv(parallel_env(SCENARIO)))
    if not ray.is_initialized():
        ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False, logging_level="error")
    config = (
        PPOConfig()
        .environment("smartgrid")
        .env_runners(num_env_runners=0)
        .multi_agent(policies=set(agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=list(equal.hidden), fcnet_activation="silu", vf_share_layers=False
            )
        )
        .training(
            train_batch_size=equal.steps, minibatch_size=equal.steps // equal.minibatches, num_epochs=equal.epochs,
            lr=equal.learning_rate,
        )
    )  # fmt: skip
    algorithm = config.build_algo()
    taken = 0

    def iterate(progress: float) -> int:
        nonlocal taken
        before = taken
        taken = int(algorithm.train()["env_runners"]["num_env_steps_sampled_lifetime"])
        return taken - before

    def decide(obs: Tensor) -> Tensor:
        means = []
        for agent, name in enumerate(agents):
            out = algorithm.get_module(name).forward_inference({"obs": obs[:, agent]})
            means.append(out["action_dist_inputs"].chunk(2, dim=-1)[0].clamp(-1.0, 1.0))  # as RLlib clips them
        return torch.stack(means, dim=1)

    return Stack(True, equal._asdict() | {"grids": 1}, GridConfig.load(SCENARIO).step_h, iterate, decide)
