"""All that a run's next iteration depends on: taken from it for a checkpoint, and put back to resume bit for bit."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from smartgrid_core import State
from smartgrid_core.errors import ConfigError
from trainer import distributed
from trainer.files import damage_told
from trainer.soundness import broken_weights
from trainer.tally import Tally

if TYPE_CHECKING:
    from trainer.train import Training


def shape(training: Training) -> dict[str, Any]:
    """What a checkpoint's tensors depend on."""
    c = training.config
    return {
        "algorithm": c.algorithm, "share_parameters": c.share_parameters, "hidden": list(c.hidden),
        "num_grids": c.num_grids, "obs [grids, prosumers, entries]": list(training.obs.shape),
        "optimiser": "one row of weights an agent",
    }  # fmt: skip


def take(training: Training) -> dict[str, Any]:
    """What this rank puts into a checkpoint; of several ranks on the CPU, as the first has not the others' GPUs."""
    taken = {
        "world_size": distributed.world_size(), "shape": shape(training), "learner": training.learner.state_dict(),
        "state": dict(training.state._asdict()), "obs": training.obs, "rng": _rng_state(training.device),
        **asdict(training.tally),
    }  # fmt: skip
    return taken if distributed.world_size() == 1 else tree_map_only(Tensor, Tensor.cpu, taken)


def put_back(training: Training, saved: dict[str, Any]) -> str:
    """Continue where `take` was called; returns what to tell.

    Raises:
        ConfigError: what was saved does not fit.
    """
    path = training.folder.training_file() or training.folder.checkpoints
    remedy = training.folder.way_on(path)
    with damage_told(path, remedy):
        told = _put_back(training, {"score": None, "stale": 0} | saved)  # absent in runs of older versions
    if fault := broken_weights(training.learner, training.obs):
        raise ConfigError(f"{path} cannot be gone on from, as {fault}: {remedy}")
    return told


def _put_back(training: Training, saved: dict[str, Any]) -> str:
    training.learner.load_state_dict(saved["learner"])
    tally = training.tally = Tally(**{field.name: saved[field.name] for field in fields(Tally)})
    # Counted anew where the run was made longer: else none would come before its end.
    tally.validated = min(tally.validated, int(training.progress * training.config.validations))
    training.saved_at, training.saved_s = tally.iteration, tally.seconds
    before, now = saved.get("world_size", 1), distributed.world_size()
    if before != now:
        _draw_anew(training)
        return f"resumed with {now} processes a run of {before}: weights go on, grids start afresh"
    training.state = State(**{k: v.to(training.device) for k, v in saved["state"].items()})
    training.obs = saved["obs"].to(training.device)
    _set_rng_state(saved["rng"], training.device)
    return f"resumed at iteration {tally.iteration}"


def _draw_anew(training: Training) -> None:
    """Of a run with another number of ranks: on none do the noise and the minibatches of its beginning come again."""
    seed = training.config.seed + 1 + training.tally.iteration  # the run itself began with its own
    torch.manual_seed(seed)
    distributed.seed_rank(seed)
    training.learner.generator.set_state(distributed.generator(seed).get_state())


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
