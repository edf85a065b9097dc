"""Stacks that train one policy per prosumer of community-5 by independent PPO: our loop and two usual ones.

"Equal settings" are those of `EQUAL`, for all: as many steps between updates, epochs and minibatches, networks of the
same shape and activation, actions for one step, the environment eager. RLlib knows no batched environment and steps
one community through `parallel_env`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator
from trainer.config import TrainConfig, load_train_config
from trainer.learner import make_learner

SCENARIO = "community-5"


class Equal(NamedTuple):
    """What every stack is set to."""

    grids: int = 32
    horizon: int = 96  # steps of every grid between updates
    epochs: int = 4
    minibatches: int = 4
    hidden: tuple[int, int] = (64, 64)
    learning_rate: float = 1e-3

    @property
    def steps(self) -> int:
        """Env-steps between updates."""
        return self.grids * self.horizon


EQUAL = Equal()


class Stack(NamedTuple):
    """One stack, built."""

    peer: bool
    settings: dict[str, Any]
    hold_h: float  # hours an action is held
    iterate: Callable[[float], int]  # collects, updates; progress of the run in [0, 1) -> env-steps taken
    decide: Callable[[Tensor], Tensor]  # the policy without exploration: obs [B, N, O] -> action [B, N, A]


def stacks(threads: int, device: str) -> dict[str, Callable[[], Stack]]:
    """Builders by name: ours, then the peers. RLlib's raises ModuleNotFoundError where ray is not installed."""
    default, equal = load_train_config(device, {"threads": threads}), equal_config(device)
    shac = load_train_config(device, {"threads": threads, "algorithm": "shac"})
    return {
        "own loop, default settings": partial(ours, default),
        "own loop, SHAC": partial(ours, shac),
        "own loop, equal settings": partial(ours, equal),
        "own loop, equal settings, step compiled": partial(ours, equal.model_copy(update={"compile": True})),
        "TorchRL Collector + IPPOLoss, equal settings": partial(torchrl, device),
        "RLlib PPO on parallel_env, equal settings": partial(rllib, threads),
    }


def equal_config(device: str) -> TrainConfig:
    """Ours, set as the peers are."""
    ppo = {"epochs": EQUAL.epochs, "minibatches": EQUAL.minibatches, "target_kl": 1e9}
    return TrainConfig.model_validate(
        {"device": device, "num_grids": EQUAL.grids, "horizon": EQUAL.horizon, "hold_h": 0.25, "hidden": EQUAL.hidden,
         "learning_rate": EQUAL.learning_rate, "final_learning_rate": 1.0, "ppo": ppo}
    )  # fmt: skip


def ours(config: TrainConfig) -> Stack:
    """The loop of `python -m trainer train`, without validations and checkpoints."""
    torch.manual_seed(0)
    device = torch.device(config.device)
    sim = Simulator(SCENARIO, config.num_grids, device, auto_reset=True, stagger=True, compile=config.compile)
    learner = make_learner(config, sim)
    state, obs = sim.reset()
    learner.warm_up(state)

    def iterate(progress: float) -> int:
        nonlocal state, obs
        collected = learner.collect(state, obs, progress)
        state, obs = collected.state, collected.obs
        learner.update(progress)
        learner.watch.take()  # waits for a GPU
        return config.num_grids * config.horizon * learner.hold

    shown = ("algorithm", "num_grids", "horizon", "hold_h", "hidden", "compile")
    settings = {name: getattr(config, name) for name in shown}
    if config.algorithm == "ippo":
        settings |= config.ppo.model_dump(include={"epochs", "minibatches"})
    return Stack(False, settings, config.hold_h, iterate, learner.actor.decide)


def torchrl(device: str) -> Stack:
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
    env = SmartGridEnv(SCENARIO, num_grids=EQUAL.grids, seed=0, device=device)
    net: dict[str, Any] = {"n_agents": env.num_agents, "n_agent_inputs": env.simulator.observation_dim}
    net |= {"centralized": False, "share_params": False, "depth": len(EQUAL.hidden), "num_cells": EQUAL.hidden[0]}
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
    optimiser = torch.optim.Adam(loss.parameters(), lr=EQUAL.learning_rate)
    collector: Any = Collector(
        env, actor, frames_per_batch=EQUAL.steps, total_frames=-1, auto_register_policy_transforms=False
    )
    batches = iter(collector)

    def iterate(progress: float) -> int:
        batch = next(batches)
        with torch.no_grad():
            loss.value_estimator(
                batch, params=loss.critic_network_params, target_params=loss.target_critic_network_params
            )
        flat = batch.reshape(-1)
        for _ in range(EQUAL.epochs):
            for rows in torch.randperm(EQUAL.steps, device=device).chunk(EQUAL.minibatches):
                losses = loss(flat[rows])
                optimiser.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
                optimiser.step()
        return EQUAL.steps

    def decide(obs: Tensor) -> Tensor:
        td = TensorDict({"agents": TensorDict({"observation": obs}, obs.shape[:2])}, obs.shape[:1])
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            return actor(td)["agents", "action"]

    return Stack(True, EQUAL._asdict(), env.simulator.config.step_h, iterate, decide)


def rllib(threads: int) -> Stack:
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
                fcnet_hiddens=list(EQUAL.hidden), fcnet_activation="silu", vf_share_layers=False
            )
        )
        .training(
            train_batch_size=EQUAL.steps, minibatch_size=EQUAL.steps // EQUAL.minibatches, num_epochs=EQUAL.epochs,
            lr=EQUAL.learning_rate,
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

    return Stack(True, EQUAL._asdict() | {"grids": 1}, GridConfig.load(SCENARIO).step_h, iterate, decide)
