"""Training speed: env-steps a second with updates, of the trainer's own loop and of two usual stacks on the same task.

A step is one community, one quarter of an hour. All train one policy per prosumer of community-5 by independent PPO.
"Equal settings" are those of `EQUAL`, for all: as many steps between updates, epochs and minibatches, networks of the
same shape and activation, actions for one step, the environment eager. RLlib knows no batched environment and steps
one community through `parallel_env`. Chunks of the cases take turns, so that a machine's drift meets them alike, and
ratios are those of CPU time, which other work on the machine does not stretch (on a GPU read env_steps_per_s).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import wide
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


class Case(NamedTuple):
    """One stack, built: `iterate` collects, updates and returns the env-steps taken."""

    name: str
    peer: bool
    settings: dict[str, Any]
    iterate: Callable[[], int]


def run(quick: bool = False, threads: int = 2, device: str = "cpu") -> list[dict[str, Any]]:
    """Measure every stack that is installed, chunks in turn; prints a table and returns one record a case."""
    torch.set_num_threads(threads)
    cases = [
        _ours("own loop, default settings", load_train_config(device, {"threads": threads})),
        _ours("own loop, equal settings", _equal_config(device)),
        _torchrl(device),
    ]
    if not quick:
        compiled = _equal_config(device).model_copy(update={"compile": True})
        cases.insert(2, _ours("own loop, equal settings, step compiled", compiled))
    try:
        cases.append(_rllib(threads))
    except ModuleNotFoundError as missing:
        Console().print(f"RLlib left out: {missing.name} is not installed; the extra bench has it")
    seconds, rounds = (4.0, 2) if quick else (20.0, 5)
    rates: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    for case in cases:
        case.iterate()  # warm-up: compilation, caches
    for _ in range(rounds):
        for case in cases:
            rates[case.name].append(_rate(case.iterate, seconds))
    records = [_record(case, rates[case.name]) for case in cases]
    for record in records:
        record["ratio_to_peers"] = {
            r["name"]: record["env_steps_per_cpu_s"] / r["env_steps_per_cpu_s"] for r in records if r["peer"]
        }
    _print(records, threads, device)
    return records


def _rate(iterate: Callable[[], int], cpu_seconds: float) -> tuple[float, float]:
    """Env-steps a second, and a second of CPU time, over whole iterations of at least so much CPU time."""
    start, cpu, steps = time.perf_counter(), time.process_time(), 0
    while (used := time.process_time() - cpu) < cpu_seconds:
        steps += iterate()
    return steps / (time.perf_counter() - start), steps / used


def _record(case: Case, rates: list[tuple[float, float]]) -> dict[str, Any]:
    (wall, cpu), agents = zip(*rates, strict=True), GridConfig.load(SCENARIO).num_agents
    return {
        "name": case.name, "peer": case.peer, "settings": case.settings,
        "env_steps_per_s": statistics.median(wall), "env_steps_per_cpu_s": statistics.median(cpu),
        "env_steps_per_cpu_s_low": min(cpu), "env_steps_per_cpu_s_high": max(cpu),
        "agent_steps_per_cpu_s": statistics.median(cpu) * agents,
    }  # fmt: skip


def _equal_config(device: str) -> TrainConfig:
    ppo = {"epochs": EQUAL.epochs, "minibatches": EQUAL.minibatches, "target_kl": 1e9}
    return TrainConfig.model_validate(
        {"device": device, "num_grids": EQUAL.grids, "horizon": EQUAL.horizon, "hold_h": 0.25, "hidden": EQUAL.hidden,
         "learning_rate": EQUAL.learning_rate, "ppo": ppo}
    )  # fmt: skip


def _ours(name: str, config: TrainConfig) -> Case:
    """The loop of `python -m trainer train`, without validations and checkpoints."""
    torch.manual_seed(0)
    device = torch.device(config.device)
    sim = Simulator(SCENARIO, config.num_grids, device, auto_reset=True, stagger=True, compile=config.compile)
    learner = make_learner(config, sim)
    state, obs = sim.reset()

    def iterate() -> int:
        nonlocal state, obs
        collected = learner.collect(state, obs, 0.0)
        state, obs = collected.state, collected.obs
        learner.update(0.0)
        learner.watch.take()  # waits for a GPU
        return config.num_grids * config.horizon * learner.hold

    shown = ("num_grids", "horizon", "hold_h", "hidden", "compile")
    settings = {name: getattr(config, name) for name in shown}
    return Case(name, False, settings | config.ppo.model_dump(include={"epochs", "minibatches"}), iterate)


def _torchrl(device: str) -> Case:
    """TorchRL's Collector and IPPOLoss on SmartGridEnv, put together as in examples/torchrl_collector.py."""
    from tensordict.nn import TensorDictModule
    from tensordict.nn.distributions import NormalParamExtractor
    from torch import nn
    from torchrl.collectors import Collector
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

    def iterate() -> int:
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

    return Case("TorchRL Collector + IPPOLoss, equal settings", True, EQUAL._asdict(), iterate)


def _rllib(threads: int) -> Case:
    """RLlib's PPO on `parallel_env`, a policy for every prosumer, sampling and learning in this process."""
    import ray  # pyright: ignore[reportMissingImports]
    from ray.rllib.algorithms.ppo import PPOConfig  # pyright: ignore[reportMissingImports]
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig  # pyright: ignore[reportMissingImports]
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # pyright: ignore[reportMissingImports]
    from ray.tune.registry import register_env  # pyright: ignore[reportMissingImports]

    from smartgrid_core.pettingzoo_env import parallel_env

    register_env("smartgrid", lambda settings: ParallelPettingZooEnv(parallel_env(SCENARIO)))
    ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False, logging_level="error")
    config = (
        PPOConfig()
        .environment("smartgrid")
        .env_runners(num_env_runners=0)
        .multi_agent(
            policies=set(parallel_env(SCENARIO).possible_agents), policy_mapping_fn=lambda agent, *_, **__: agent
        )
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

    def iterate() -> int:
        nonlocal taken
        before = taken
        taken = int(algorithm.train()["env_runners"]["num_env_steps_sampled_lifetime"])
        return taken - before

    return Case("RLlib PPO on parallel_env, equal settings", True, EQUAL._asdict() | {"grids": 1}, iterate)


def _print(records: list[dict[str, Any]], threads: int, device: str) -> None:
    peers = [record["name"] for record in records if record["peer"]]
    table = Table(title=f"Training, {SCENARIO}, {threads} threads, {device}")
    for column in (
        "what",
        "env-steps/s",
        "env-steps/CPU-s",
        "agent-steps/CPU-s",
        *(f"× {name.partition(',')[0]}" for name in peers),
    ):
        table.add_column(column, justify="left" if column == "what" else "right")
    for r in records:
        spread = f"({r['env_steps_per_cpu_s_low']:,.0f}–{r['env_steps_per_cpu_s_high']:,.0f})"
        ratios = [f"{r['ratio_to_peers'][name]:,.1f}" for name in peers]
        table.add_row(
            r["name"], f"{r['env_steps_per_s']:,.0f}", f"{r['env_steps_per_cpu_s']:,.0f} {spread}",
            f"{r['agent_steps_per_cpu_s']:,.0f}", *ratios,
        )  # fmt: skip
    wide().print(table)
