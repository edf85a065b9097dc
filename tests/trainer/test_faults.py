"""What ends a run before its time, a NaN or a full disk: the last good checkpoint stays, and what to do is said."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer.train as train_module
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import community_5, run, training
from tests.trainer.training_process import Unvalidated
from trainer import train_cli
from trainer.config import load_train_config
from trainer.policy import load_policy
from trainer.ppo import Ppo
from trainer.runs import RunFolder
from trainer.train import Training, TrainingError
from trainer.train_cli import main as train_main

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture(autouse=True)
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    monkeypatch.setattr(train_cli, "_announce", lambda *_: None)  # which asks for validation's simulator


def test_nan_loss_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    made = training(tmp_path / "run", validations=3)
    update = made.learner.update

    def poisoned(progress: float) -> dict[str, Any]:
        logs = update(progress)
        return logs | ({"loss_critic": float("nan")} if made.tally.iteration == 1 else {})

    made.learner.update = poisoned  # type: ignore[method-assign,assignment]
    with pytest.raises(TrainingError, match="learning_rate"):
        made.run()
    policy = load_policy(tmp_path / "run/checkpoints/last")
    assert policy.about["iteration"] == 1


def test_a_run_that_broke_is_drawn_and_not_repeated_by_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its restarts nor its other machines train into the same NaN again; other settings may."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    options = ["--num_grids", "4", "--horizon", "4", "--compile", "false", "--iterations", "3", "--validations", "3"]
    options += ["--episode_days", "1", "--device", "cpu", "--validation_episodes", "2", "--no-evaluate"]
    options += ["--out", str(tmp_path / "run")]
    update = Ppo.update

    def poisoned(self: Ppo, progress: float) -> dict[str, Any]:
        return update(self, progress) | ({"loss_critic": float("nan")} if progress > 0.5 else {})

    monkeypatch.setattr(Ppo, "update", poisoned)
    assert train_main(options) == 2
    assert (tmp_path / "run/learning.png").stat().st_size > 10_000
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setattr(Ppo, "update", lambda *_: pytest.fail("trained again"))
    fields = {"num_grids": 4, "horizon": 4, "compile": False, "iterations": 3, "validations": 3}
    config, scenario = load_train_config("cpu", fields | {"validation_episodes": 2}), community_5()
    with pytest.raises(TrainingError, match=r"not started again.*loss_critic became nan"):
        Training(config, scenario, tmp_path / "run", resume=False)
    monkeypatch.setattr(Ppo, "update", update)
    calmer = config.model_copy(update={"learning_rate": 5e-4})
    again = Training(calmer, scenario, tmp_path / "run", resume=True)
    again.run()
    assert again.tally.iteration == 3


def test_what_the_system_does_not_write_ends_a_real_run_with_a_remedy(tmp_path: Path) -> None:
    """A limit on files between the weights (144 KB) and what resuming needs, as a full disk would be met."""
    limit = 200_000
    options = ["--num_grids=4", "--horizon=4", "--iterations=3", "--validation_episodes=1", "--compile=false"]
    options += ["--episode_days=1"]
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", *options, "--no-evaluate", "--out", str(tmp_path / "run")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large at iteration" in done.stderr
    assert "nothing to resume was saved before" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run/checkpoints").glob(".*"))


def test_a_full_disk_stops_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    append = RunFolder.append_metrics
    monkeypatch.setattr(RunFolder, "append_metrics", full)
    with pytest.raises(TrainingError, match=r"No space left on device at iteration 1: free space .* start anew"):
        run(tmp_path / "run", validations=1)
    monkeypatch.setattr(
        RunFolder, "append_metrics", lambda self, record: full() if record["iteration"] == 3 else append(self, record)
    )
    with pytest.raises(TrainingError, match=r"at iteration 3: free space .* and --resume from .*checkpoints/last"):
        run(tmp_path / "saved", validations=3)
    monkeypatch.setattr(RunFolder, "append_metrics", append)
    assert run(tmp_path / "saved", resume=True, validations=3).tally.iteration == 3
