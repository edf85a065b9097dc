"""Ctrl-C and SIGTERM end a run where it can go on bit for bit, and what is said of it is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer.train as train_module
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import CLI, assert_same, lines, run, training
from tests.trainer.training_process import Unvalidated
from trainer import distributed, evaluate_cli, export, train_cli
from trainer.__main__ import main
from trainer.runs import RunFolder
from trainer.train import Training, TrainingError
from trainer.train_cli import main as train_main

pytestmark = pytest.mark.usefixtures("quick_profiles")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    monkeypatch.setattr(train_cli, "_announce", lambda *_: None)  # which asks for validation's simulator


@pytest.fixture(autouse=True)
def handlers() -> Any:
    """A test that fails leaves no handler behind, and is not ended by the signal it sends."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def amid(made: Training, part: str, iteration: int, press: Callable[[], None]) -> Training:
    """The run in which something happens in the middle of an iteration's `_batch`, `collect` or `update`."""
    whole = getattr(made.learner, part)

    def pressed(*arguments: Any) -> Any:
        done = whole(*arguments)
        if made.tally.iteration == iteration:
            press()
        return done

    setattr(made.learner, part, pressed)
    return made


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("part", ["collect", "_descend"])
def test_an_iteration_is_ended_before_it_is_saved(
    tmp_path: Path, number: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(tmp_path / "whole", iterations=4)
    stopped = amid(training(tmp_path / "run", iterations=4), part, 1, lambda: os.kill(os.getpid(), number))
    stopped.run()
    assert (stopped.interrupted, stopped.tally.iteration) == (True, 2)
    assert RunFolder(tmp_path / "run").load_training()["iteration"] == len(lines(tmp_path / "run")) == 2
    assert "interrupted: saved" in capsys.readouterr().out
    resumed = run(tmp_path / "run", resume=True, iterations=4)
    assert_same(whole.learner.state_dict(), resumed.learner.state_dict())
    assert_same(whole.state.soc_kwh, resumed.state.soc_kwh)


def test_a_validation_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pressed(Unvalidated):
        def run(self, _: object) -> dict[str, float]:
            os.kill(os.getpid(), signal.SIGINT)
            return {"score": 0.7, "cost_eur": 0.0}

    monkeypatch.setattr(train_module, "Validation", Pressed)
    made = run(tmp_path / "run")
    assert made.interrupted
    assert "interrupted: saved; the run was over" in capsys.readouterr().out
    assert lines(tmp_path / "run")[-1]["validation_score"] == 0.7
    assert {"best", "last"} <= {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert RunFolder(tmp_path / "run").load_training()["best"] == 0.7


@pytest.mark.parametrize("at_terminal", [True, False])
def test_a_second_press_at_a_terminal_ends_at_once_unsaved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_terminal: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Servers and torchrun signal twice and mean it once."""
    monkeypatch.setattr(distributed, "_at_terminal", lambda: at_terminal)
    made = training(tmp_path / "run", iterations=6, validations=6)

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    amid(made, "_descend", 2, twice).run()
    assert made.interrupted
    said = capfd.readouterr()
    assert RunFolder(tmp_path / "run").load_training()["iteration"] == (2 if at_terminal else 3)
    assert ("ended at once: iteration 2 is saved" if at_terminal else "interrupted: saved") in said.out
    assert ("Ctrl-C again ends at once" in said.err) is at_terminal
    assert run(tmp_path / "run", resume=True, iterations=6, validations=6).tally.iteration == 6


def test_before_the_first_iteration_it_ends_at_once_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Unvalidated.prepare

    def pressed(self: Unvalidated) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")

    monkeypatch.setattr(Unvalidated, "prepare", pressed)
    made = run(tmp_path / "run")
    assert (made.interrupted, made.tally.iteration) == (True, 0)
    monkeypatch.setattr(Unvalidated, "prepare", prepare)
    assert run(tmp_path / "run", resume=True).tally.iteration == 3


def test_saved_is_said_only_of_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = amid(training(tmp_path / "run"), "collect", 1, lambda: os.kill(os.getpid(), signal.SIGINT))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "save", full)
    with pytest.raises(TrainingError, match="No space left"):
        made.run()
    assert "saved" not in capsys.readouterr().out


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    """As of a job that a shell began in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    made = amid(training(tmp_path / "run"), "collect", 1, lambda: os.kill(os.getpid(), signal.SIGINT))
    made.run()
    assert (made.interrupted, made.tally.iteration) == (False, 3)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["_draw", "_evaluate"])
def test_after_training_nothing_is_lost_and_that_is_said(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_cli, stage, interrupted)
    options = [option for option in CLI if option != "--no-evaluate"]
    assert train_main([*options, "--iterations=1", "--out", str(tmp_path / "run")]) == 130
    said = capsys.readouterr().err
    assert f"what was trained is saved in {tmp_path / 'run'}" in said
    assert "nothing to save" not in said


def test_evaluate_and_export_end_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate_cli, "_evaluate", interrupted)
    monkeypatch.setattr(export, "export_policy", interrupted)
    assert main(["evaluate"]) == 130
    assert main(["export", "--checkpoint", "community-5", "--out", str(tmp_path / "p.pt2")]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "interrupted: no scoreboard was made", "interrupted: nothing was written",
    ]  # fmt: skip


def test_sigterm_of_a_real_run_is_saved(tmp_path: Path) -> None:
    """What docker stop, SLURM and systemd send."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "trainer", "train", *CLI, "--iterations=1000000", "--max_minutes=30"]
    process = subprocess.Popen([*command, "--out", str(folder)], text=True, stdout=subprocess.PIPE)
    try:
        end = time.monotonic() + 240
        metrics = folder / "metrics.jsonl"
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted: saved" in said
    assert RunFolder(folder).load_training()["iteration"] == lines(folder)[-1]["iteration"]
