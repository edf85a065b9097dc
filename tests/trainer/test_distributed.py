"""Several processes train as one: the same weights, whoever dies, however they stop. torchrun's, on this CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smartgrid_core.errors import ConfigError
from tests.trainer import rank_worker
from trainer import distributed
from trainer.config import ALGORITHMS
from trainer.runs import RunFolder

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240
TRAIN = [
    "-m",
    "trainer",
    "train",
    "--algorithm=shac",
    "--device=cpu",
    "--threads=1",
    "--compile=false",
    "--no-evaluate",
]
TRAIN += ["--num_grids=4", "--horizon=4", "--hidden=[16]", "--episode_days=1", "--validation_episodes=1"]


def torchrun(*arguments: str) -> subprocess.Popen[str]:
    """Two processes by torchrun on a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process: subprocess.Popen[str]) -> str:
    """What a process said that must end well."""
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def wait_for(process: subprocess.Popen[str], seen: Callable[[], bool]) -> None:
    """Until something is there; a process that ends before has failed."""
    end = time.monotonic() + PATIENCE_S
    while not seen():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Ids of the ranks, in the order they were started."""
    return [int(x) for x in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def iterations(folder: Path) -> list[int]:
    """Iterations logged."""
    metrics = folder / "metrics.jsonl"
    return [json.loads(x)["iteration"] for x in metrics.read_text().splitlines()] if metrics.exists() else []


def tensors(nest: Any, path: str = "") -> dict[str, torch.Tensor]:
    """Tensors of a nest by their path."""
    if isinstance(nest, torch.Tensor):
        return {path: nest}
    items = nest.items() if isinstance(nest, dict) else enumerate(nest) if isinstance(nest, list | tuple) else ()
    return {key: value for name, part in items for key, value in tensors(part, f"{path}/{name}").items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes of `rank_worker` leave."""
    folder = tmp_path_factory.mktemp("runs")
    finished(torchrun("-m", "tests.trainer.rank_worker", str(folder)))
    return folder


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_two_processes_train_as_one_with_twice_the_grids(runs: Path, tmp_path: Path, algorithm: str) -> None:
    with rank_worker.without_chance():
        alone = rank_worker.run(tmp_path / "alone", algorithm, 8)
    together = RunFolder(runs / "same" / algorithm).load_training()
    mine = tensors({k: v for k, v in alone.learner.state_dict().items() if k not in ("replay", "generator")})
    theirs = tensors(together["learner"])
    for name, value in mine.items():  # rounding, widened by Adam, whose first steps are signs
        assert (theirs[name] - value).norm() <= 2e-3 * value.norm(), name
    line = json.loads((runs / "same" / algorithm / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["world_size"] == 2
    assert line["env_steps"] == alone.tally.env_steps == together["env_steps"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_ranks_hold_the_same_weights_and_other_grids(runs: Path, algorithm: str) -> None:
    folder = RunFolder(runs / "whole" / algorithm)
    first, second = folder.load_training(rank=0), folder.load_training(rank=1)
    drop = ("replay", "generator")
    same = [tensors({k: v for k, v in x["learner"].items() if k not in drop}) for x in (first, second)]
    assert same[0].keys() == same[1].keys()
    assert all(torch.equal(value, same[1][name]) for name, value in same[0].items())
    assert not torch.equal(first["obs"], second["obs"])
    if algorithm != "shac":  # which draws no noise
        assert not torch.equal(first["rng"]["cpu"], second["rng"]["cpu"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_resumed_ranks_continue_bit_for_bit(runs: Path, algorithm: str) -> None:
    for rank in (0, 1):
        whole, parts = (
            tensors(RunFolder(runs / kind / algorithm).load_training(rank=rank)) for kind in ("whole", "parts")
        )
        assert whole.keys() == parts.keys()
        assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert iterations(runs / "parts" / algorithm) == [1, 2, 3]


@pytest.mark.parametrize("algorithm", ["ippo", "qmix"])
def test_another_number_of_ranks_goes_on_with_the_weights_alone(runs: Path, algorithm: str) -> None:
    folder = runs / "same" / algorithm
    saved = RunFolder(folder).load_training()
    alone = rank_worker.run(folder, algorithm, 4, resume=True)  # nothing left to do
    assert "a run of 2: weights go on, grids start afresh" in alone.news[0]
    before, after = tensors(saved["learner"]), tensors(alone.learner.state_dict())
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == ["/generator"]
    assert torch.equal(alone.obs, alone.sim.reset()[1])


def test_alone_nothing_is_changed() -> None:
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    assert distributed.world_size() == 1
    assert distributed.mean_over_ranks(x) is x
    assert torch.equal(distributed.moments(x, (0, 1))[1], x.std((0, 1)))
    assert distributed.by_first(lambda: 7) == 7
    assert distributed.gathered("a") == ["a"]
    assert torch.equal(distributed.generator(3).get_state(), torch.Generator().manual_seed(3).get_state())


def test_a_restart_goes_on_with_its_own_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run someone else left in the folder is refused at the first start, and at every restart."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    rank_worker.run(tmp_path / "run", "shac", 4, iterations=1)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert rank_worker.run(tmp_path / "run", "shac", 4, iterations=2).tally.iteration == 2
    assert iterations(tmp_path / "run") == [1, 2]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "other")
    with pytest.raises(ConfigError, match="--resume"):
        rank_worker.run(tmp_path / "run", "shac", 4, iterations=3)


def test_a_gpu_for_every_rank_or_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device, words in (("cuda:0", "every rank takes one"), ("cuda", "1 GPUs")):
        with pytest.raises(distributed.RankError, match=words), distributed.ranks(device):
            pass


@pytest.mark.slow
def test_a_killed_rank_leads_to_a_restart_from_the_last_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = torchrun("--max-restarts=1", *TRAIN, "--iterations", "120", "--validations", "12", "--out", str(folder))
    wait_for(process, lambda: len(iterations(folder)) > 25)  # two validations, so two checkpoints
    os.kill(children(process)[1], signal.SIGKILL)
    said = finished(process)
    assert "resumed at iteration" in said
    assert iterations(folder) == list(range(1, 121))
    assert RunFolder(folder).load_training(rank=1)["iteration"] == 120


@pytest.mark.slow
def test_a_nan_is_not_trained_into_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ["--algorithm=ippo", "--learning_rate=1e35", "--iterations=40", "--validations=20"]
    process = torchrun("--max-restarts=2", *TRAIN, *options, "--out", str(folder))
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert said.count("not started again, as the same would happen: loss_") >= 2
    assert said.count("resumed at iteration") == 0


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = torchrun(
        *TRAIN, "--iterations", "100000", "--validations", "1", "--max_minutes", "60", "--out", str(folder)
    )
    wait_for(process, lambda: len(iterations(folder)) > 3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "interrupted: saved" in said
    done = iterations(folder)[-1]
    assert [RunFolder(folder).load_training(rank=rank)["iteration"] for rank in (0, 1)] == [done, done]
    resumed = torchrun(*TRAIN, "--iterations", str(done + 2), "--validations", "1", "--resume", "--out", str(folder))
    assert f"resumed at iteration {done}" in finished(resumed)
    assert iterations(folder) == list(range(1, done + 3))
