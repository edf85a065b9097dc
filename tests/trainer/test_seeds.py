"""Several seeds by one command: each is the run it would be alone, and what they report together is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from smartgrid_core.errors import ConfigError
from trainer import seeds, seeds_report
from trainer.config import TrainConfig
from trainer.runs import RunFolder, find_checkpoint, last_metrics
from trainer.scoreboard import Row, Scoreboard
from trainer.seeds import Population
from trainer.seeds_plot import plot_seeds
from trainer.train_cli import main as train_main

ITERATIONS = 4
SMALL = ["--algorithm=shac", "--num_grids=4", "--horizon=4", "--hidden=[16]", "--episode_days=1", "--threads=1"]
SMALL += ["--device=cpu", "--compile=false", "--validations=2", "--validation_episodes=1", "--no-evaluate"]
SMALL += [f"--iterations={ITERATIONS}"]


def population(folder: Path, count: int = 3) -> Population:
    return Population(folder, TrainConfig(seed=2, iterations=ITERATIONS, algorithm="shac"), count)


def leave(p: Population, seed: int, score: float, iteration: int = ITERATIONS) -> None:
    """What a run of a seed leaves behind."""
    folder = RunFolder(p.run_folder(seed))
    folder.create({}, resume=True)
    for k in (1, 2):
        folder.append_metrics(
            {"iteration": k, "seconds": 60.0 * k, "validation_score": score * k / 2, "validation_cost_eur": 9.0 / k}
        )
    about = {"iteration": iteration, "seconds": 120.0, "stale": 0, "validation_score": score}
    for name in ("best", "last"):
        folder.save(name, {"w": torch.full((1,), score)}, {"iteration": iteration}, about)


def pretend(monkeypatch: pytest.MonkeyPatch, outcomes: dict[int, int]) -> list[int]:
    """Runs that end with given exit codes, at once; returns the list of those that were started."""
    started: list[int] = []

    def start(p: Population, seed: int, *_: Any, **__: Any) -> subprocess.Popen[bytes]:
        started.append(seed)
        if outcomes[seed] == 0:
            leave(p, seed, 0.1 * seed)
        return subprocess.Popen([sys.executable, "-Sc", f"raise SystemExit({outcomes[seed]})"])

    monkeypatch.setattr(seeds, "_start", start)
    return started


def test_summary_is_students_interval() -> None:
    s = seeds_report.summary([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (s["mean"], s["median"], s["min"], s["max"], s["seeds"]) == (4.0, 3.0, 1.0, 10.0, 5)
    half = 2.7764451 * (50 / 4 / 5) ** 0.5  # t of 97.5 % with 4 degrees of freedom
    assert s["ci95"] == pytest.approx([4 - half, 4 + half])
    assert seeds_report.summary([2.0])["ci95"] is None


def test_complete_seeds_are_skipped_and_unfinished_ones_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = population(tmp_path)
    leave(p, 2, 0.5)
    leave(p, 3, 0.5, iteration=ITERATIONS - 1)
    started = pretend(monkeypatch, {3: 0, 4: 0})
    assert seeds.train(p, [], jobs=2) == ({}, False)
    assert started == [3, 4]
    assert p.progress(4) == 2 / ITERATIONS  # by the last line of its metrics
    assert last_metrics(tmp_path / "none") is None


def test_a_failing_seed_leaves_the_others_alone_unless_none_can_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = population(tmp_path / "some")
    leave(p, 3, 0.5, iteration=1)
    started = pretend(monkeypatch, {2: 0, 3: 2, 4: 0})
    failed, _ = seeds.train(p, [], jobs=1)
    assert (started, list(failed)) == ([2, 3, 4], [3])
    content = seeds_report.report(p, None, failed)
    assert [run["complete"] for run in content["runs"]] == [True, False, True]
    assert content["failed"] == {"3": "exit code 2, see above"}
    started = pretend(monkeypatch, {2: 2, 3: 2, 4: 2})
    failed, _ = seeds.train(population(tmp_path / "none"), [], jobs=1)
    assert (started, list(failed)) == ([2], [2])


def test_an_interrupted_seed_interrupts_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = pretend(monkeypatch, {2: 0, 3: 130, 4: 0})
    assert seeds.train(population(tmp_path), [], jobs=1) == ({}, True)
    assert started == [2, 3]


def test_the_best_on_validation_weeks_is_the_populations_policy(tmp_path: Path) -> None:
    p = population(tmp_path)
    for seed, value in ((2, 0.6), (3, 0.8), (4, 0.7)):
        leave(p, seed, value)
    rows = tuple(
        Row(f"shac (seed-{seed})", "policy", None, 4, score, None, 10.0 - score, None, {"peak_kw": kpi}, {})
        for seed, score, kpi in ((2, 0.9, 1.0), (3, 0.1, None), (4, 0.2, 3.0))
    )
    content = seeds_report.report(p, Scoreboard("s", 4, rows, 1.0, 0.0), {})
    assert content["best"] == "seed-3"  # though the test weeks prefer another
    assert content["summary"]["score"]["median"] == 0.2
    assert content["summary"]["peak_kw"]["seeds"] == 2
    seeds_report.write(tmp_path, content)
    assert json.loads((tmp_path / "seeds.json").read_text())["seeds"] == [2, 3, 4]
    assert find_checkpoint(tmp_path) == tmp_path / "seed-3/checkpoints/best"
    seeds_report.table(content)
    metrics = {str(seed): p.run_folder(seed) / "metrics.jsonl" for seed in p.seeds}
    assert plot_seeds(metrics, tmp_path / "learning.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="nothing"):
        plot_seeds({"0": tmp_path / "none"}, tmp_path / "no.png")


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--seeds 0"):
        seeds.check(population(tmp_path, 0), False, 1)
    with pytest.raises(ConfigError, match="--jobs 0"):
        seeds.check(population(tmp_path), False, 0)
    leave(population(tmp_path), 3, 0.1)
    with pytest.raises(ConfigError, match="--resume"):
        seeds.check(population(tmp_path), False, 1)
    seeds.check(population(tmp_path), True, 1)
    with pytest.raises(ConfigError, match="single seed"):
        seeds.check(population(tmp_path / "seed-3"), True, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun"):
        seeds.check(population(tmp_path), True, 1)


def test_what_is_no_run_is_not_removed(tmp_path: Path) -> None:
    p = population(tmp_path)
    foreign = p.run_folder(3) / "thesis" / "chapter.md"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("all of it")
    for attempt in (lambda: seeds.check(p, False, 1), lambda: seeds._start(p, 3, [], silent=False)):
        with pytest.raises(ConfigError, match=r"seed-3 is no run's folder: move it away"):
            attempt()
    assert foreign.read_text() == "all of it"


def test_weights_that_cannot_be_resumed_are_not_removed(tmp_path: Path) -> None:
    p = population(tmp_path)
    leave(p, 2, 0.5)  # complete: nothing has to be resumed
    leave(p, 3, 0.5, iteration=1)
    for seed in (2, 3):
        for path in p.run_folder(seed).glob("checkpoints/*/training*.pt"):
            path.unlink()
    for attempt in (lambda: seeds.check(p, True, 1), lambda: seeds._start(p, 3, [], silent=False)):
        with pytest.raises(ConfigError, match="seed-3 holds trained weights and nothing to resume them from"):
            attempt()
    assert (p.run_folder(3) / "checkpoints/best/weights.safetensors").is_file()


def test_what_was_killed_before_its_first_checkpoint_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its configuration was written, and while its first weights were."""
    p = population(tmp_path)
    early, late = RunFolder(p.run_folder(2)), RunFolder(p.run_folder(3))
    early.checkpoints.mkdir(parents=True)
    (early.path / ".config.x1.json").write_text("{")
    late.create({}, resume=False)
    (late.checkpoints / ".last.x2").mkdir()
    (late.checkpoints / ".last.x2/weights.safetensors").write_bytes(b"half")
    seeds.check(p, True, 1)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    for seed in (2, 3):
        seeds._start(p, seed, [], silent=False).wait()
        assert not p.run_folder(seed).exists()


@pytest.mark.slow
def test_a_seed_of_several_is_the_run_of_that_seed_alone(tmp_path: Path) -> None:
    """Bit for bit, side by side; they can be continued; a folder killed before its first checkpoint is begun anew."""
    assert train_main([*SMALL, "--seed=1", "--out", str(tmp_path / "alone")]) == 0
    both = [*SMALL, "--seeds=2", "--jobs=2", "--out", str(tmp_path / "both")]
    (tmp_path / "both" / "seed-1").mkdir(parents=True)
    assert train_main(both) == 0
    alone, among = (
        load_file(tmp_path / path / "checkpoints/last/weights.safetensors") for path in ("alone", "both/seed-1")
    )
    assert all(torch.equal(value, among[name]) for name, value in alone.items())
    assert train_main([*both, "--resume", f"--iterations={ITERATIONS + 1}"]) == 0
    content = json.loads((tmp_path / "both/seeds.json").read_text())
    assert [run["iteration"] for run in content["runs"]] == [ITERATIONS + 1] * 2
    assert (tmp_path / "both/learning.png").is_file()
