"""What is not a number is neither saved nor trained on, and what cannot give numbers is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trainer.train as train_module
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import lines, run, training
from tests.trainer.training_process import Unvalidated
from trainer.config import ALGORITHMS, TrainConfig, check_batch
from trainer.train import TrainingError
from trainer.train_cli import main as train_main

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture(autouse=True)
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)


def saved(folder: Path) -> list[torch.Tensor]:
    """Weights of every checkpoint."""
    return [x for path in folder.glob("checkpoints/*/weights.safetensors") for x in load_file(path).values()]


@pytest.mark.parametrize("validations", [1, 6])
def test_a_blow_up_of_shac_ends_the_run_and_leaves_no_nan(tmp_path: Path, validations: int) -> None:
    """The simulator counts NaN actions as 0, so that every reward and loss stays finite."""
    with pytest.raises(TrainingError, match=r"gradient_norm became nan|not finite"):
        run(tmp_path / "run", algorithm="shac", learning_rate=1e30, iterations=6, validations=validations)
    assert all(torch.isfinite(x).all() for x in saved(tmp_path / "run"))
    assert not (tmp_path / "run/metrics.jsonl").exists() or len(lines(tmp_path / "run")) < 6


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_weights_that_broke_in_the_last_step_are_not_saved(tmp_path: Path, value: float) -> None:
    """Losses and norms of the iteration are from before the step; 1e38 is finite, what it leads to is not."""
    broken = training(tmp_path / "run", validations=3)
    update = broken.learner.update

    def breaks(progress: float) -> dict[str, Any]:
        logs = update(progress)
        if broken.tally.iteration == 1:
            with torch.no_grad():
                for weight in broken.learner.actor.network.parameters():
                    weight.fill_(value)
        return logs

    broken.learner.update = breaks  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"not finite at iteration 2: last good checkpoint.*--resume"):
        broken.run()
    assert saved(tmp_path / "run")
    assert all(x.abs().max() < 1e6 for x in saved(tmp_path / "run"))
    assert run(tmp_path / "run", resume=True, validations=3).tally.iteration == 3


def test_a_checkpoint_is_named_only_where_there_is_one(tmp_path: Path) -> None:
    broken = training(tmp_path / "run", validations=3)
    update = broken.learner.update
    broken.learner.update = lambda p: update(p) | {"gradient_norm": torch.tensor([1.0, float("nan"), 1.0])}  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="gradient_norm became nan at iteration 1: nothing was saved") as end:
        broken.run()
    assert "--resume" not in str(end.value)


def test_actions_that_are_no_numbers_are_logged(tmp_path: Path) -> None:
    made = training(tmp_path / "run")
    step, calls = made.sim.step, []
    before = made.config.horizon * made.learner.hold  # the first batch is taken twice, and its first taking dropped

    def poisoned(state: Any, action: torch.Tensor) -> Any:
        calls.append(True)
        if len(calls) == before + 1:
            action = action.clone()
            action[0, 0, 0] = float("nan")
        return step(state, action)

    made.sim.step = poisoned  # type: ignore[method-assign]
    made.run()
    entries = made.config.num_grids * before * made.sim.num_agents * made.sim.action_dim
    assert [line["nonfinite"] for line in lines(tmp_path / "run")] == pytest.approx([1 / entries, 0.0, 0.0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_grids": 2, "horizon": 2}, "num_grids = 2 times horizon = 2 makes 4 decisions.*ppo.minibatches = 8"),
        ({"num_grids": 2, "horizon": 2, "algorithm": "mappo"}, "ppo.minibatches = 8"),
        *(({"num_grids": 1, "horizon": 1, "algorithm": a, "ppo": {"minibatches": 1}}, "spread") for a in ALGORITHMS),
    ],
)
def test_too_few_decisions_are_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_batch(TrainConfig.model_validate(fields))


def test_the_least_batch_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    least = {"num_grids": 1, "horizon": 2, "ppo": {"minibatches": 2, "epochs": 1}}
    assert run(tmp_path / "run", **least).tally.iteration == 3
    options = ["--num_grids=2", "--horizon=2", "--device=cpu", "--out", str(tmp_path / "none")]
    assert train_main(options) == 2
    assert "ppo.minibatches = 8" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
