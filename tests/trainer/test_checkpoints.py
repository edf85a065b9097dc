"""Checkpoints: readable by others, durable, with an older one in reserve, true about themselves; damage is named."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainer.train as train_module
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import about, lines, run, training
from tests.trainer.training_process import Unvalidated
from trainer.evaluate_cli import main as evaluate_main
from trainer.policy import load_policy
from trainer.revalidate import revalidate
from trainer.runs import PREVIOUS, RunFolder, find_checkpoint
from trainer.train import Training
from trainer.warm_start import warm_start

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that come in a known order."""
    scores = iter([0.5, 0.4, 0.6, 0.3])

    class Scripted(Unvalidated):
        def run(self, _: object) -> dict[str, float]:
            return {"score": next(scores), "cost_eur": 0.0}

    monkeypatch.setattr(train_module, "Validation", Scripted)


@pytest.fixture
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)


def cut(path: Path, part: float) -> None:
    """Leave the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


# Damage -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("part", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("name", ["weights.safetensors", "about.json"])
def test_a_cut_policy_is_named_with_a_remedy(tmp_path: Path, name: str, part: float) -> None:
    run(tmp_path / "run")
    cut(tmp_path / "run/checkpoints/best" / name, part)
    with pytest.raises(ConfigError, match=rf"best/{name} is damaged.*give another checkpoint"):
        load_policy(tmp_path / "run")
    assert load_policy(tmp_path / "run/checkpoints/last").about["iteration"] == 3
    assert evaluate_main(["--checkpoint", str(tmp_path / "run"), "--against", "none"]) == 2


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("part", [0.0, 0.3, 0.95])
def test_cut_training_state_is_named_and_the_older_one_goes_on(tmp_path: Path, part: float) -> None:
    fields = {"iterations": 4, "validations": 4}
    whole = run(tmp_path / "whole", **(fields | {"iterations": 6}))
    run(tmp_path / "run", **fields)
    last = tmp_path / "run/checkpoints/last"
    cut(last / "training.pt", part)
    with pytest.raises(ConfigError, match=rf"remove the folder {last}, and --resume goes on from .*{PREVIOUS}"):
        run(tmp_path / "run", resume=True, **fields)
    for path in sorted(last.iterdir()):
        path.unlink()
    last.rmdir()
    assert RunFolder(tmp_path / "run").load_training()["iteration"] == 3
    resumed = run(tmp_path / "run", resume=True, **(fields | {"iterations": 6}))
    assert [line["iteration"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(whole.learner.actor.parameters(), resumed.learner.actor.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for folder in (tmp_path / "run/checkpoints").iterdir():
        cut(folder / "training.pt", part) if (folder / "training.pt").exists() else None
    with pytest.raises(ConfigError, match=r"last, and --resume goes on from"):
        run(tmp_path / "run", resume=True, **fields)


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("about.json", b"[]", "a list and no object"),
        ("about.json", b'{"format": 2, "algorithm": "ippo"}', "does not say num_agents"),
        ("about.json", b"\xff\xfe", r"about\.json is damaged"),
        (
            "weights.safetensors",
            b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
            r"weights\.safetensors holds other.*no '\S+' and",
        ),
    ],
)
def test_what_is_no_policy_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    run(tmp_path / "run")
    (tmp_path / "run/checkpoints/best" / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load_policy(tmp_path / "run")


@pytest.mark.usefixtures("unvalidated")
def test_weights_of_another_community_are_named(tmp_path: Path) -> None:
    run(tmp_path / "run")
    run(tmp_path / "other", hidden=(8,))
    other = tmp_path / "other/checkpoints/best/weights.safetensors"
    (tmp_path / "run/checkpoints/best/weights.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(ConfigError, match=r"of shape \[3, .*its about.json describes another policy"):
        load_policy(tmp_path / "run")


def test_a_damaged_report_of_seeds_is_named(tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text("{")
    with pytest.raises(ConfigError, match=r"seeds\.json is damaged"):
        find_checkpoint(tmp_path)


@pytest.mark.usefixtures("unvalidated")
def test_metrics_that_a_power_cut_spoilt_do_not_stop_a_resume(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with (tmp_path / "run/metrics.jsonl").open("ab") as file:
        file.write(b"\x00\x00\x00\n{\n")
    run(tmp_path / "run", resume=True, iterations=4)
    assert [line["iteration"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4]


# On disk ------------------------------------------------------------------------------------------------


def test_a_kill_before_the_old_one_is_put_aside_keeps_it_as_previous(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create({}, resume=False)
    for k in (1, 2):
        folder.save("last", {"w": torch.ones(2)}, {"iteration": k}, {"iteration": k})
    assert folder.load_training(PREVIOUS)["iteration"] == 1
    (folder.checkpoints / PREVIOUS).rename(folder.checkpoints / ".last.old")
    (folder.checkpoints / ".last.4711").mkdir()
    folder.create({}, resume=True)
    assert folder.load_training(PREVIOUS)["iteration"] == 1
    assert {path.name for path in folder.checkpoints.iterdir()} == {"last", PREVIOUS}


def test_a_kill_between_the_renames_of_a_save_leaves_a_resumable_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create({}, resume=False)
    folder.save("last", {"w": torch.ones(2)}, {"iteration": 7}, {"iteration": 7})
    (folder.checkpoints / "last").rename(folder.checkpoints / ".last.old")
    assert folder.load_training()["iteration"] == 7


def test_checkpoint_replacement_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing write (full disk) leaves the old checkpoint readable and no rubbish beside it."""
    folder = RunFolder(tmp_path / "run")
    folder.create({}, resume=False)
    folder.save("last", {"w": torch.ones(2)}, {"iteration": 1}, {"iteration": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        folder.save("last", {"w": torch.zeros(2)}, {"iteration": 2}, {"iteration": 2})
    assert folder.load_training()["iteration"] == 1
    assert find_checkpoint(folder.path).name == "last"
    assert [p.name for p in folder.checkpoints.iterdir()] == ["last"]


def test_checkpoints_are_as_readable_as_other_folders_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, synced, sync = RunFolder(tmp_path / "run"), [], os.fsync
    folder.create({}, resume=False)

    def noted(handle: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{handle}")), (folder.checkpoints / "last").exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    before = os.umask(0o027)
    try:
        last = folder.save("last", {"w": torch.ones(2)}, {"iteration": 1}, {"iteration": 1})
    finally:
        os.umask(before)
    assert stat.S_IMODE(last.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in last.iterdir()} == {0o640}
    assert {path.name for path, _ in synced[:3]} == {"weights.safetensors", "training.pt", "about.json"}
    assert [(path.name.partition(".l")[0], there) for path, there in synced[3:]] == [("", False), ("checkpoints", True)]


@pytest.mark.usefixtures("unvalidated")
def test_long_stretches_between_validations_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[tuple[int, str]] = []
    save = Training.save
    monkeypatch.setattr(
        Training,
        "save",
        lambda self, name, *a, **k: (saves.append((self.tally.iteration, name)), save(self, name, *a, **k)),
    )
    run(tmp_path / "often", iterations=4, checkpoint_minutes=1e-9, keep_checkpoints=0)
    assert saves == [(1, "last"), (2, "last"), (3, "last"), (4, "best"), (4, "last")]
    assert RunFolder(tmp_path / "often").load_training(PREVIOUS)["iteration"] == 3
    saves.clear()
    run(tmp_path / "seldom", iterations=4, keep_checkpoints=0)
    assert saves == [(4, "best"), (4, "last")]


# What they say of themselves ----------------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_every_checkpoint_tells_its_own_score(tmp_path: Path) -> None:
    run(tmp_path / "run", iterations=4, validations=4)
    told = {name: about(tmp_path / "run", name)["validation_score"] for name in ("best", "last", PREVIOUS, "000002")}
    assert told == {"best": 0.6, "last": 0.3, PREVIOUS: 0.6, "000002": 0.4}
    assert about(tmp_path / "run", "last")["best_score"] == 0.6
    run(tmp_path / "run", resume=True, iterations=4, validations=4)  # nothing left to do
    assert about(tmp_path / "run", "last")["validation_score"] == 0.3


@pytest.mark.usefixtures("unvalidated")
def test_what_was_not_validated_has_no_score(tmp_path: Path) -> None:
    run(tmp_path / "run", iterations=2, checkpoint_minutes=1e-9)
    told = about(tmp_path / "run", PREVIOUS)
    assert (told["validation_score"], told["best_score"]) == (None, None)
    fresh = training(tmp_path / "next")
    path = str(tmp_path / "run/checkpoints" / PREVIOUS)
    assert "not validated" in warm_start(fresh.learner.actor, fresh._about(), path)


def test_a_score_is_the_same_to_the_last_bit_after_loading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", iterations=2, validations=2, learning_rate=0.1)
    logged = {line["iteration"]: line["validation_score"] for line in lines(tmp_path / "run")}
    assert logged[1] != logged[2]
    for name, iteration in (("000001", 1), ("last", 2)):
        found = revalidate(tmp_path / "run/checkpoints" / name)
        assert found.score == found.logged == logged[iteration], name
    assert revalidate(tmp_path / "run").score == max(logged.values())
    checkpoints = ["--checkpoint", str(tmp_path / "run"), "--checkpoint", str(tmp_path / "run/checkpoints/last")]
    assert evaluate_main([*checkpoints, "--split", "validation", "--json", str(tmp_path / "scores.json")]) == 0
    told = json.loads((tmp_path / "scores.json").read_text())
    assert [x["score"] for x in told] == [x["logged"] for x in told] == [max(logged.values()), logged[2]]
    assert f"(logged {logged[2]:.6f}) on 2 validation episodes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give a --checkpoint"),
        (["--checkpoint", "community-5"], "lies in no run folder"),
        (["--checkpoint", "community-5", "--mpc-episodes", "2"], "--mpc-episodes: --split validation"),
        (["--checkpoint", "community-5", "--tariff.x", "2"], "--tariff.x: --split validation"),
        (["--checkpoint", "community-5", "--against", "mpc"], "--against: --split validation"),
        (["--checkpoint", "community-5", "--no-cache"], "--no-cache: --split validation"),
    ],
)
def test_what_validation_cannot_take_is_said(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--split", "validation", *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("unvalidated")
def test_tensorboard_keeps_the_point_a_run_goes_on_from(tmp_path: Path) -> None:
    run(tmp_path / "run", iterations=2)
    run(tmp_path / "run", resume=True, iterations=4)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    steps: list[Any] = [event.step for event in events.Scalars("train/loss_critic/mean")]
    assert steps == [line["env_steps"] for line in lines(tmp_path / "run")]
    assert len(steps) == 4
