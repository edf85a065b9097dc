"""Communities and batches at the ends of what there is: one prosumer, no links, one grid, forty prosumers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.train as train_module
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers.episode import cost_j, run_episode
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import SMALL, assert_same
from tests.trainer.training_process import Unvalidated
from trainer.config import ALGORITHMS, TrainConfig
from trainer.policy import load_policy
from trainer.train import Training

LITTLE: dict[str, Any] = {"qmix": {"replay": 64, "batch": 8, "updates": 2}, "shac": {"critic_batch": 16}}


def trained(folder: Path, scenario: GridConfig, resume: bool = False, **fields: Any) -> Training:
    training = Training(TrainConfig.model_validate(SMALL | LITTLE | fields), scenario, folder, resume)
    training.run()
    return training


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_finite(value: Any) -> None:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            assert_finite(part)
    else:
        assert value is None or math.isfinite(value)


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("agents", "topology", "slots"), [(1, "ring", 0), (3, "none", 0)])
def test_few_prosumers_and_no_links_train_resume_and_act(
    tmp_path: Path, algorithm: str, agents: int, topology: str, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = community(agents, links={"topology": topology})
    fields: dict[str, Any] = {"algorithm": algorithm, "final_learning_rate": 1.0}
    fields["qmix"] = LITTLE["qmix"] | {"epsilon_end": 1.0}
    whole = trained(tmp_path / "whole", scenario, **fields)
    assert whole.sim.action_dim == slots + 1
    assert_finite(logged(tmp_path / "whole"))
    monkeypatch.setattr(train_module, "Validation", Unvalidated)  # it has been asked once
    trained(tmp_path / "parts", scenario, **fields | {"iterations": 2})
    parts = trained(tmp_path / "parts", scenario, resume=True, **fields)
    assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    sim = Simulator(scenario, 2, split="test")
    costs = cost_j(run_episode(sim, load_policy(tmp_path / "whole"), seed=[0, 1], keep_series=False))
    assert costs.shape == (2,)


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_single_grid_trains(tmp_path: Path, algorithm: str, shared: bool) -> None:
    fields = {"algorithm": algorithm, "share_parameters": shared, "num_grids": 1}
    before = Training(TrainConfig.model_validate(SMALL | LITTLE | fields), community(3), tmp_path / "none", False)
    after = trained(tmp_path / "run", community(3), **fields)
    assert_finite(logged(tmp_path / "run"))
    moved = [
        not torch.equal(a, b)
        for a, b in zip(before.learner.actor.parameters(), after.learner.actor.parameters(), strict=True)
    ]
    assert all(moved)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_forty_prosumers_train(tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped suburb, power flow and grids of different sizes included."""
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    training = trained(tmp_path / "run", GridConfig.load("suburb-40"), algorithm=algorithm, iterations=2, num_grids=3)
    lines = logged(tmp_path / "run")
    assert_finite(lines)
    assert len(lines[-1]["reward_cost"]) == 40
    assert load_policy(tmp_path / "run/checkpoints/last").actor.decide(training.obs).shape == (
        3,
        40,
        7,
    )  # six links at most


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_goes_on_elsewhere_as_it_would_have_here(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other sums in other orders, as on another number of cores: the same within rounding, not to the bit."""
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    fields = {"algorithm": algorithm, "final_learning_rate": 1.0, "num_grids": 64, "hidden": (64,), "horizon": 8}
    fields["qmix"] = {"replay": 2048, "batch": 64, "updates": 2, "epsilon_end": 1.0}
    threads = torch.get_num_threads()
    try:
        whole = trained(tmp_path / "whole", community(3), **fields, threads=1, iterations=3)
        trained(tmp_path / "parts", community(3), **fields, threads=1, iterations=1)
        parts = trained(tmp_path / "parts", community(3), resume=True, **fields, threads=2, iterations=3)
    finally:
        torch.set_num_threads(threads)
    assert parts.tally.iteration == 3
    for ours, theirs in zip(whole.learner.actor.parameters(), parts.learner.actor.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
