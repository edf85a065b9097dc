"""The loop of `python -m trainer train`."""

from __future__ import annotations

import torch

from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from smartgrid_core import Simulator
from trainer.config import TrainConfig
from trainer.learner import make_learner


def equal_config(device: str, equal: Equal = EQUAL) -> TrainConfig:
    """Ours, set as the peers are."""
    ppo = {"epochs": equal.epochs, "minibatches": equal.minibatches, "target_kl": 1e9}
    return TrainConfig.model_validate(
        {"device": device, "num_grids": equal.grids, "horizon": equal.horizon, "hold_h": 0.25, "hidden": equal.hidden,
         "learning_rate": equal.learning_rate, "final_learning_rate": 1.0, "ppo": ppo, "compile": True}
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
        epochs = learner.update(progress).get("epochs")
        settings["epochs_done"] = None if epochs is None else float(epochs.mean())
        learner.watch.take()  # waits for a GPU
        return config.num_grids * config.horizon * learner.hold

    shown = ("algorithm", "num_grids", "horizon", "hold_h", "hidden", "compile")
    settings = {name: getattr(config, name) for name in shown}
    if config.algorithm == "ippo":
        settings |= config.ppo.model_dump(include={"epochs", "minibatches"})
    return Stack(False, settings, config.hold_h, iterate, learner.actor.decide)
