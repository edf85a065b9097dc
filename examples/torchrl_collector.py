"""Independent PPO with TorchRL's own parts on a batch of communities: python examples/torchrl_collector.py

A readable start for one's own algorithm; the fast path is `python -m trainer train`.
"""

import torch
from tensordict.nn import TensorDictModule
from tensordict.nn.distributions import NormalParamExtractor
from torch import nn
from torchrl.collectors import Collector
from torchrl.modules import MultiAgentMLP, ProbabilisticActor, TanhNormal
from torchrl.objectives.multiagent import IPPOLoss

from smartgrid_core.torchrl_env import SmartGridEnv

GRIDS, FRAMES, ITERATIONS, EPOCHS, MINIBATCHES = 32, 32 * 96, 5, 4, 4
torch.manual_seed(0)

env = SmartGridEnv("community-5", num_grids=GRIDS, seed=0, episode_days=1, shaped_reward=True)
net = {"n_agents": env.num_agents, "n_agent_inputs": env.simulator.observation_dim}
net |= {"share_params": False, "depth": 2, "num_cells": 64}
mlp = MultiAgentMLP(n_agent_outputs=2 * env.simulator.action_dim, centralized=False, **net)
actor = ProbabilisticActor(
    TensorDictModule(
        nn.Sequential(mlp, NormalParamExtractor()),
        in_keys=[("agents", "observation")],
        out_keys=[("agents", "loc"), ("agents", "scale")],
    ),
    in_keys=[("agents", "loc"), ("agents", "scale")],
    out_keys=[("agents", "action")],
    distribution_class=TanhNormal,
    return_log_prob=True,
)
critic = TensorDictModule(
    MultiAgentMLP(n_agent_outputs=1, centralized=False, **net),  # centralized=True and MAPPOLoss make it MAPPO
    in_keys=[("agents", "observation")],
    out_keys=[("agents", "state_value")],
)
loss = IPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.0)
loss.set_keys(reward=("agents", "reward"), action=("agents", "action"), value=("agents", "state_value"))
loss.make_value_estimator(gamma=0.99, lmbda=0.9)
optimiser = torch.optim.Adam(loss.parameters(), lr=1e-3)

collector = Collector(
    env, actor, frames_per_batch=FRAMES, total_frames=ITERATIONS * FRAMES, auto_register_policy_transforms=False
)
for iteration, batch in enumerate(collector):
    with torch.no_grad():  # a truncated step bootstraps from the value of its next observation
        loss.value_estimator(batch, params=loss.critic_network_params, target_params=loss.target_critic_network_params)
    flat = batch.reshape(-1)
    for _ in range(EPOCHS):
        for rows in torch.randperm(FRAMES).chunk(MINIBATCHES):
            losses = loss(flat[rows])
            optimiser.zero_grad()
            (losses["loss_objective"] + losses["loss_critic"]).backward()
            nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
            optimiser.step()
    reward = batch["next", "agents", "reward"].mean().item()
    print(f"iteration {iteration}  mean reward {reward:+.4f}  critic loss {losses['loss_critic'].item():.4f}")
collector.shutdown()
