"""TorchRL's Collector and IPPOLoss, put together by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack


def torchrl(device: str, equal: Equal = EQUAL) -> Stack:
    """TorchRL's Collector and IPPOLoss on SmartGridEnv, put together as in examples/torchrl_collector.py."""
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule
    from tensordict.nn.distributions import NormalParamExtractor
    from torch import nn
    from torchrl.collectors import Collector
    from torchrl.envs.utils import ExplorationType, set_exploration_type
    from torchrl.modules import MultiAgentMLP, ProbabilisticActor, TanhNormal
    from torchrl.objectives.multiagent import IPPOLoss

    from smartgrid_core.torchrl_env import SmartGridEnv

    torch.manual_seed(0)
    env = SmartGridEnv(SCENARIO, num_grids=equal.grids, seed=0, device=device, compile=True, shaped_reward=True)
    net: dict[str, Any] = {"n_agents": env.num_agents, "n_agent_inputs": env.simulator.observation_dim}
    net |= {"centralized": False, "share_params": False, "depth": len(equal.hidden), "num_cells": equal.hidden[0]}
    net |= {"activation_class": nn.SiLU, "device": device}
    mlp = MultiAgentMLP(n_agent_outputs=2 * env.simulator.action_dim, **net)
    made: list[Any] = [("agents", "loc"), ("agents", "scale")]
    seen: list[Any] = [("agents", "observation")]
    actor = ProbabilisticActor(
        TensorDictModule(nn.Sequential(mlp, NormalParamExtractor()), in_keys=seen, out_keys=made),
        in_keys=made, out_keys=[("agents", "action")], distribution_class=TanhNormal, return_log_prob=True,
    )  # fmt: skip
    values: list[Any] = [("agents", "state_value")]
    critic = TensorDictModule(MultiAgentMLP(n_agent_outputs=1, **net), in_keys=seen, out_keys=values)
    loss = IPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.0)
    keys: dict[str, Any] = {name: ("agents", name) for name in ("reward", "action")}
    loss.set_keys(value=values[0], **keys)
    loss.make_value_estimator(gamma=0.99, lmbda=0.9)
    optimiser = torch.optim.Adam(loss.parameters(), lr=equal.learning_rate)
    collector: Any = Collector(
        env, actor, frames_per_batch=equal.steps, total_frames=-1, auto_register_policy_transforms=False
    )
    batches = iter(collector)

    def iterate(progress: float) -> int:
        batch = next(batches)
        with torch.no_grad():
            loss.value_estimator(
                batch, params=loss.critic_network_params, target_params=loss.target_critic_network_params
            )
        flat = batch.reshape(-1)
        for _ in range(equal.epochs):
            for rows in torch.randperm(equal.steps, device=device).chunk(equal.minibatches):
                losses = loss(flat[rows])
                optimiser.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
                optimiser.step()
        return equal.steps

    def decide(obs: Tensor) -> Tensor:
        td = TensorDict({"agents": TensorDict({"observation": obs}, obs.shape[:2])}, obs.shape[:1])
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            return actor(td)["agents", "action"]

    return Stack(True, equal._asdict() | {"compile": True}, env.simulator.config.step_h, iterate, decide)
