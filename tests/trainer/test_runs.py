"""A training run as a user meets it: what it leaves in its folder, tells on the way, and when it ends."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainer.train as train_module
from smartgrid_core.errors import ConfigError
from smartgrid_core.kpis import KPIS
from smartgrid_core.types import RewardParts
from tests.smartgrid_core.communities import profiles, quick_profiles, simulator_module  # noqa: F401 (a fixture)
from tests.trainer.runs_small import community_5, lines, run
from tests.trainer.training_process import Unvalidated
from trainer import train_cli
from trainer.metrics import LISTED, listed
from trainer.ppo import Ppo
from trainer.stopwatch import Stopwatch
from trainer.train import Training
from trainer.train_cli import main as train_main

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    monkeypatch.setattr(train_cli, "_announce", lambda *_: None)  # which asks for validation's simulator


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A run of three iterations on community-5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator_module, "load_profiles", lambda config: profiles(config.num_agents))
        return run(tmp_path_factory.mktemp("runs") / "run", scenario=community_5())


def test_run_folder_holds_what_a_run_promises(ended: Training) -> None:
    folder = ended.folder.path
    logged = lines(folder)
    assert [line["iteration"] for line in logged] == [1, 2, 3]
    assert logged[-1]["env_steps"] == 3 * 4 * 4 * 4  # iterations × horizon × grids × steps an hour
    assert "validation_score" in logged[-1]
    assert len(logged[-1]["gradient_norm"]) == ended.sim.num_agents
    config = json.loads((folder / "config.json").read_text())
    assert config["train"]["horizon"] == 4
    assert config["scenario"]["name"] == "community-5"
    assert list(folder.glob("events.out.tfevents.*"))
    assert {p.name for p in (folder / "checkpoints").iterdir()} >= {"last", "best"}


def test_a_run_tells_where_its_time_goes_and_how_it_compares(ended: Training) -> None:
    """metrics.jsonl and TensorBoard: time by part, gradient norms, indicators and the rules' scores."""
    line = lines(ended.folder.path)[-1]
    assert line["env_s"] + line["inference_s"] == pytest.approx(line["collect_s"])
    assert min(line["env_s"], line["inference_s"], line["update_s"]) > 0
    assert line["progress"] == 1.0
    assert set(line["validation_baselines"]) == {"self-consumption", "time-of-use"}
    assert line["validation_kpis"]["peak_kw"] > 0
    events = EventAccumulator(str(ended.folder.path))
    events.Reload()
    names = set(events.Tags()["scalars"])
    assert {f"kpi/{kpi.name}" for kpi in KPIS} - names <= {"kpi/decision_us"}
    assert {"train/gradient_norm/agent_4", "time/env_s", "time/agent_steps_per_s", "validation/validation_score",
            "validation/validation_baselines/time-of-use", "train/learning_rate"} <= names  # fmt: skip
    assert {f"reward/reward_{part}/agent_4" for part in RewardParts._fields} <= names
    of_train = ("kl_approx", "clip_fraction", "entropy", "loss_objective", "loss_critic", "explained_variance", "std",
                "pace", "epochs")  # fmt: skip
    for group, key in (*(("train", key) for key in of_train), ("reward", "reward"), ("reward", "reward_cost")):
        assert f"{group}/{key}/agent_4" in names
        logged = events.Scalars(f"{group}/{key}/mean")[-1].value
        assert logged == pytest.approx(sum(line[key]) / len(line[key]))
    of_a_normal = 0.5 * math.log(2 * math.pi * math.e)
    for entropy, std in zip(line["entropy"], line["std"], strict=True):
        assert entropy == pytest.approx(3 * (math.log(std) + of_a_normal), abs=0.1)
    weights = ended.sim.params.reward_weights.tolist()
    for agent, total in enumerate(line["reward"]):
        parts = zip(weights, (line[f"reward_{part}"][agent] for part in RewardParts._fields), strict=True)
        assert total == pytest.approx(sum(weight * part for weight, part in parts), abs=1e-6)
    assert 0 < line["clamped"] < 0.2, "exploration leaves [-1, 1] now and then"
    assert line["nonfinite"] == 0


@pytest.mark.usefixtures("unvalidated")
def test_a_second_run_does_not_overwrite_the_first(tmp_path: Path) -> None:
    run(tmp_path / "run", iterations=1)
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        run(tmp_path / "run", iterations=1)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("there", ["checkpoints/last/weights", "metrics.jsonl", "seeds.json", "seed-3/config.json"])
def test_what_another_run_left_is_neither_overwritten_nor_hidden(tmp_path: Path, there: str) -> None:
    """Without a config.json a folder may still hold what somebody wants, or a population that would be found first."""
    path = tmp_path / "run" / there
    path.parent.mkdir(parents=True)
    path.write_text("kept\n")
    with pytest.raises(ConfigError, match="another folder with --out"):
        run(tmp_path / "run")
    assert path.read_text() == "kept\n"
    assert [x for x in (tmp_path / "run").rglob("*") if x.is_file()] == [path]


@pytest.mark.usefixtures("unvalidated")
def test_a_run_killed_before_it_wrote_anything_may_begin_again(tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    assert run(tmp_path / "run").tally.iteration > 0


@pytest.mark.usefixtures("unvalidated")
def test_the_command_draws_what_was_learned_and_says_that_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterate = Training._iterate

    def interrupted(self: Training, *arguments: Any) -> None:
        if self.tally.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)
        iterate(self, *arguments)

    monkeypatch.setattr(Training, "_iterate", interrupted)
    options = ["--num_grids", "4", "--horizon", "4", "--compile", "false", "--iterations", "3", "--validations", "1"]
    options += ["--episode_days", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert train_main(options) == 130
    assert (tmp_path / "run/learning.png").stat().st_size > 10_000
    assert (tmp_path / "run/checkpoints/last").is_dir()
    assert not (tmp_path / "run/evaluation").exists()
    found = written_in(tmp_path)
    assert train_main(options) == 2, "a start in the same folder is refused"
    assert written_in(tmp_path) == found, "and leaves what is there alone"


def written_in(folder: Path) -> dict[Path, int]:
    """When each file below a folder was last written, ns."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("unvalidated")
def test_the_limit_of_time_may_be_cpu_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other things: the wall's time passes, the process's does not."""
    collect = Ppo.collect

    def slow(self: Ppo, *arguments: Any) -> Any:
        time.sleep(0.5)
        return collect(self, *arguments)

    monkeypatch.setattr(Ppo, "collect", slow)
    start = time.perf_counter()
    training = run(tmp_path / "run", iterations=3, clock="cpu", threads=1)
    assert training.tally.seconds < time.perf_counter() - start - 1.4
    logged = lines(tmp_path / "run")
    assert sum(line["collect_s"] + line["update_s"] for line in logged) <= training.tally.seconds


def test_a_plateau_ends_the_run_and_the_count_survives_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.5, 0.4, 0.6, 0.6, 0.3, 0.2, 0.1])

    class Scripted(Unvalidated):
        def run(self, _: object) -> dict[str, float]:
            return {"score": next(scores), "cost_eur": 0.0}

    monkeypatch.setattr(train_module, "Validation", Scripted)
    settings: dict[str, Any] = {"iterations": 10, "validations": 10}
    assert run(tmp_path / "run", **settings, patience=2).tally.iteration == 5  # two after the third, the best
    assert "no better score than 0.600 in 2 validations (patience = 2)" in " ".join(capsys.readouterr().out.split())
    assert run(tmp_path / "run", resume=True, **settings, patience=2).tally.iteration == 5
    resumed = run(tmp_path / "run", resume=True, **settings, patience=4)
    assert (resumed.tally.iteration, resumed.tally.best) == (7, 0.6)


def test_long_lists_are_told_in_groups() -> None:
    values = torch.arange(1000.0)
    assert len(listed(values)) == LISTED
    assert sum(listed(values)) / LISTED == pytest.approx(float(values.mean()), rel=0.02)
    assert listed(values[:5]) == [0, 1, 2, 3, 4]
    assert listed(values[7]) == 7


def test_stopwatch_counts_parts_within_parts() -> None:
    watch = Stopwatch(torch.device("cpu"))
    for _ in range(2):
        with watch("whole"):
            with watch("part"):
                time.sleep(0.01)
            time.sleep(0.01)
    taken = watch.take()
    assert 0.02 <= taken["part"] <= taken["whole"] - 0.02
    assert watch.take() == {}
