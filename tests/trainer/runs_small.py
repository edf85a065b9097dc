"""Runs of a second on a community of three, for tests of what surrounds the learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from smartgrid_core import GridConfig
from tests.smartgrid_core.communities import community
from trainer.config import TrainConfig
from trainer.train import Training

SMALL: dict[str, Any] = {
    "num_grids": 4, "horizon": 4, "ppo": {"minibatches": 2, "epochs": 2}, "iterations": 3, "validations": 1,
    "validation_episodes": 2, "hidden": (16,), "device": "cpu", "final_learning_rate": 1.0,
    "qmix": {"replay": 40, "batch": 16, "updates": 2, "epsilon_end": 1.0}, "shac": {"critic_batch": 16},
}  # fmt: skip
CLI = ["--num_grids=4", "--horizon=4", "--ppo.minibatches=2", "--validations=1", "--validation_episodes=2"]
CLI += ["--hidden=[16]", "--device=cpu", "--compile=false", "--episode_days=1", "--no-evaluate"]


def training(folder: Path, resume: bool = False, scenario: GridConfig | None = None, **fields: Any) -> Training:
    """A run ready to begin."""
    config = TrainConfig.model_validate(SMALL | fields)
    return Training(config, community(3) if scenario is None else scenario, folder, resume)


def run(folder: Path, resume: bool = False, scenario: GridConfig | None = None, **fields: Any) -> Training:
    """A run that has ended."""
    made = training(folder, resume, scenario, **fields)
    made.run()
    return made


def community_5() -> GridConfig:
    """The default scenario, its episodes a day long."""
    return GridConfig.load("community-5", episode_days=1)


def lines(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl of a run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def about(folder: Path, checkpoint: str) -> dict[str, Any]:
    """about.json of a checkpoint, which must be JSON in the strict sense."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = (folder / "checkpoints" / checkpoint / "about.json").read_text()
    return json.loads(text, parse_constant=refuse)


def assert_same(a: Any, b: Any) -> None:
    """Two nests of tensors and values are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict | list):
        assert len(a) == len(b)
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_same(a[key], b[key])
    else:
        assert a == b
