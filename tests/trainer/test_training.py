"""A training run as a user meets it: it logs, resumes bit for bit, survives interruption, and says what is wrong."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainer.train as train_module
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.fused.build import compiler
from smartgrid_core.kpis import KPIS
from smartgrid_core.types import RewardParts
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.training_process import Unvalidated
from trainer.actors import GaussianActor
from trainer.config import ALGORITHMS, PpoConfig, TrainConfig, load_train_config
from trainer.metrics import LISTED, listed
from trainer.networks import StackedMLP, clip_gradients_per_agent
from trainer.policy import load_policy
from trainer.ppo import Ppo
from trainer.runs import RunFolder, find_checkpoint
from trainer.stopwatch import Stopwatch
from trainer.train import Training, TrainingError, resolve_device
from trainer.train_cli import main as train_main

SMALL = {
    "num_grids": 4, "horizon": 4, "ppo": {"minibatches": 2, "epochs": 2}, "iterations": 3, "validations": 1,
    "validation_episodes": 2, "hidden": (16,), "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def scenario() -> GridConfig:
    return GridConfig.load("community-5", episode_days=1)


def _run(folder: Path, scenario: GridConfig, resume: bool = False, **overrides: object) -> Training:
    training = Training(TrainConfig.model_validate(SMALL | overrides), scenario, folder, resume)
    training.run()
    return training


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


def test_run_folder_holds_what_a_run_promises(tmp_path: Path, scenario: GridConfig) -> None:
    training = _run(tmp_path / "run", scenario)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    assert lines[-1]["env_steps"] == 3 * 4 * 4 * 4  # iterations × horizon × grids × steps an hour
    assert "validation_score" in lines[-1]
    assert len(lines[-1]["gradient_norm"]) == training.sim.num_agents
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["train"]["horizon"] == 4
    assert config["scenario"]["name"] == "community-5"
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert {p.name for p in (tmp_path / "run/checkpoints").iterdir()} >= {"last", "best"}


@pytest.mark.parametrize(("algorithm", "shared"), [("ippo", False), ("mappo", False), ("qmix", True), ("shac", True)])
def test_resume_continues_bit_for_bit(
    tmp_path: Path, scenario: GridConfig, algorithm: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    settings = {
        "algorithm": algorithm, "share_parameters": shared, "final_learning_rate": 1.0,
        "qmix": {"replay": 40, "epsilon_end": 1.0, "batch": 16}, "shac": {"critic_batch": 16},
    }  # fmt: skip
    whole = _run(tmp_path / "whole", scenario, iterations=4, **settings)
    _run(tmp_path / "parts", scenario, iterations=2, **settings)
    parts = _run(tmp_path / "parts", scenario, resume=True, iterations=4, **settings)
    assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    assert torch.equal(whole.state.soc_kwh, parts.state.soc_kwh)
    logged = [json.loads(line)["iteration"] for line in (tmp_path / "parts/metrics.jsonl").read_text().splitlines()]
    assert logged == [1, 2, 3, 4]


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    "algorithm", ["ippo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mappo", "qmix", "shac"))]
)
def test_a_preset_resumes_bit_for_bit(
    tmp_path: Path, scenario: GridConfig, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the step compiled and the hold, horizon and minibatches it ships with."""
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    fields = {"algorithm": algorithm, "num_grids": 8, "final_learning_rate": 1.0, "qmix.epsilon_end": 1.0}
    preset = load_train_config("cpu", fields | {"max_minutes": 60, "validations": 1})
    assert preset.compile

    def run(folder: Path, iterations: int, resume: bool = False) -> Training:
        config = preset.model_copy(update={"iterations": iterations})
        training = Training(config, scenario, folder, resume)
        training.run()
        return training

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    parts = run(tmp_path / "parts", 4, resume=True)
    assert parts.iteration == 4
    assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    assert torch.equal(whole.state.soc_kwh, parts.state.soc_kwh)


@pytest.mark.usefixtures("quick_profiles")
def test_the_command_draws_what_was_learned_and_says_that_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterate = Training._iterate

    def interrupted(self: Training, *arguments: Any) -> None:
        if self.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)
        iterate(self, *arguments)

    monkeypatch.setattr(Training, "_iterate", interrupted)
    options = ["--num_grids", "4", "--horizon", "4", "--compile", "false", "--iterations", "3", "--validations", "1"]
    options += ["--episode_days", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert train_main(options) == 130
    assert (tmp_path / "run/learning.png").stat().st_size > 10_000
    assert (tmp_path / "run/checkpoints/last").is_dir()
    assert not (tmp_path / "run/evaluation").exists()


def test_the_limit_of_time_may_be_cpu_time(
    tmp_path: Path, scenario: GridConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is busy with other things: the wall's time passes, the process's does not."""
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    collect = Ppo.collect

    def slow(self: Ppo, *arguments: Any) -> Any:
        time.sleep(0.5)
        return collect(self, *arguments)

    monkeypatch.setattr(Ppo, "collect", slow)
    start = time.perf_counter()
    training = _run(tmp_path / "run", scenario, iterations=3, clock="cpu", threads=1)
    assert training.seconds < time.perf_counter() - start - 1.4
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert sum(line["collect_s"] + line["update_s"] for line in lines) <= training.seconds


def test_a_plateau_ends_the_run_and_the_count_survives_a_resume(
    tmp_path: Path, scenario: GridConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.5, 0.4, 0.6, 0.6, 0.3, 0.2, 0.1])

    class Scripted(Unvalidated):
        def run(self, _: object) -> dict[str, float]:
            return {"score": next(scores), "cost_eur": 0.0}

    monkeypatch.setattr(train_module, "Validation", Scripted)
    settings: dict[str, Any] = {"iterations": 10, "validations": 10}
    assert _run(tmp_path / "run", scenario, **settings, patience=2).iteration == 5  # two after the third, the best
    assert "no better score than 0.600 in 2 validations (patience = 2)" in " ".join(capsys.readouterr().out.split())
    assert _run(tmp_path / "run", scenario, resume=True, **settings, patience=2).iteration == 5
    resumed = _run(tmp_path / "run", scenario, resume=True, **settings, patience=4)
    assert (resumed.iteration, resumed.best) == (7, 0.6)


def test_a_second_run_does_not_overwrite_the_first(tmp_path: Path, scenario: GridConfig) -> None:
    _run(tmp_path / "run", scenario, iterations=1)
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        _run(tmp_path / "run", scenario, iterations=1)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


def test_resume_of_nothing_or_of_another_shape_writes_nothing(tmp_path: Path, scenario: GridConfig) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        _run(tmp_path / "none", scenario, resume=True)
    assert not (tmp_path / "none").exists()
    _run(tmp_path / "run", scenario, iterations=1)
    before = (tmp_path / "run/config.json").read_bytes()
    for field, value in (("num_grids", 8), ("algorithm", "shac")):
        with pytest.raises(ConfigError, match=field):
            _run(tmp_path / "run", scenario, resume=True, **{field: value})
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_a_kill_between_the_renames_of_a_save_leaves_a_resumable_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create({}, resume=False)
    folder.save("last", {"w": torch.ones(2)}, {"iteration": 7}, {"iteration": 7})
    (folder.checkpoints / "last").rename(folder.checkpoints / ".last.old")
    assert folder.load_training()["iteration"] == 7


def test_nan_loss_stops_and_keeps_the_last_checkpoint(tmp_path: Path, scenario: GridConfig) -> None:
    training = Training(
        TrainConfig.model_validate(SMALL | {"validations": 3}), scenario, tmp_path / "run", resume=False
    )
    update = training.learner.update

    def poisoned(progress: float) -> dict[str, Any]:
        logs = update(progress)
        return logs | ({"loss_critic": float("nan")} if training.iteration == 1 else {})

    training.learner.update = poisoned  # type: ignore[method-assign,assignment]
    with pytest.raises(TrainingError, match="learning_rate"):
        training.run()
    policy = load_policy(tmp_path / "run/checkpoints/last")
    assert policy.about["iteration"] == 1


@pytest.mark.usefixtures("quick_profiles")
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
    config, scenario = (
        load_train_config("cpu", {"num_grids": 4, "horizon": 4, "compile": False, "iterations": 3, "validations": 3,
                                  "validation_episodes": 2, "algorithm": "ippo"}),
        GridConfig.load("community-5", episode_days=1),
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"not started again.*loss_critic became nan"):
        Training(config, scenario, tmp_path / "run", resume=False)
    monkeypatch.setattr(Ppo, "update", update)
    calmer = config.model_copy(update={"learning_rate": 1e-3})
    training = Training(calmer, scenario, tmp_path / "run", resume=True)
    training.run()
    assert training.iteration == 3


def test_what_the_system_does_not_write_ends_a_real_run_with_a_remedy(tmp_path: Path) -> None:
    """A limit on files between the weights (144 KB) and what resuming needs, as a full disk would be met."""
    limit = 200_000
    options = ["--num_grids=4", "--horizon=4", "--iterations=3", "--validation_episodes=1", "--compile=false"]
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", *options, "--no-evaluate", "--out", str(tmp_path / "run")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large at iteration" in done.stderr
    assert "nothing to resume was saved before" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run/checkpoints").glob(".*"))


def test_a_full_disk_stops_with_a_remedy(tmp_path: Path, scenario: GridConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    append = RunFolder.append_metrics
    monkeypatch.setattr(RunFolder, "append_metrics", full)
    with pytest.raises(TrainingError, match=r"No space left on device at iteration 1: free space .* start anew"):
        _run(tmp_path / "run", scenario, validations=1)
    monkeypatch.setattr(
        RunFolder, "append_metrics", lambda self, record: full() if record["iteration"] == 3 else append(self, record)
    )
    with pytest.raises(TrainingError, match=r"at iteration 3: free space .* and --resume from .*checkpoints/last"):
        _run(tmp_path / "saved", scenario, validations=3)
    monkeypatch.setattr(RunFolder, "append_metrics", append)
    assert _run(tmp_path / "saved", scenario, resume=True, validations=3).iteration == 3


def test_a_run_tells_where_its_time_goes_and_how_it_compares(tmp_path: Path, scenario: GridConfig) -> None:
    """metrics.jsonl and TensorBoard: time by part, gradient norms, indicators and the rules' scores."""
    _run(tmp_path / "run", scenario, iterations=2)
    line = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert line["env_s"] + line["inference_s"] == pytest.approx(line["collect_s"])
    assert min(line["env_s"], line["inference_s"], line["update_s"]) > 0
    assert line["progress"] == 1.0
    assert set(line["validation_baselines"]) == {"self-consumption", "time-of-use"}
    assert line["validation_kpis"]["peak_kw"] > 0
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    names = set(events.Tags()["scalars"])
    assert {f"kpi/{kpi.name}" for kpi in KPIS} - names <= {"kpi/decision_us"}
    assert {"train/gradient_norm/agent_4", "time/env_s", "time/agent_steps_per_s", "validation/validation_score",
            "validation/validation_baselines/time-of-use", "train/learning_rate"} <= names  # fmt: skip
    assert {f"reward/reward_{part}/agent_4" for part in RewardParts._fields} <= names
    for key in ("kl_approx", "clip_fraction", "entropy", "loss_objective", "loss_critic"):
        assert events.Scalars(f"train/{key}")[-1].value == pytest.approx(line[key])
    for group, key in (("train", "explained_variance"), ("train", "std"), ("reward", "reward_cost")):
        logged = events.Scalars(f"{group}/{key}/mean")[-1].value
        assert logged == pytest.approx(sum(line[key]) / len(line[key]))
    of_a_normal = 0.5 * math.log(2 * math.pi * math.e)
    assert line["entropy"] == pytest.approx(3 * sum(math.log(s) + of_a_normal for s in line["std"]) / 5, abs=0.1)


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


def test_a_saved_policy_acts_like_the_trained_one(tmp_path: Path, scenario: GridConfig) -> None:
    training = _run(tmp_path / "run", scenario)
    sim = Simulator(scenario, 3, split="test")
    state, obs = sim.reset(seed=5)
    loaded, trained = load_policy(tmp_path / "run/checkpoints/last"), training.controller()
    loaded.start(sim, state)
    trained.start(sim, state)
    assert torch.equal(loaded.act(state, obs), trained.act(state, obs))


def test_policy_holds_its_action_for_an_hour(tmp_path: Path, scenario: GridConfig) -> None:
    policy = _run(tmp_path / "run", scenario, iterations=1).controller()
    sim = Simulator(scenario, 2, split="test")
    state, obs = sim.reset()
    policy.start(sim, state)
    actions = []
    for _ in range(5):
        actions.append(policy.act(state, obs))
        state, out = sim.step(state, actions[-1])
        obs = out.obs
    assert all(torch.equal(actions[0], a) for a in actions[1:4])
    assert not torch.equal(actions[0], actions[4])


def test_policy_refuses_another_community(tmp_path: Path, scenario: GridConfig) -> None:
    policy = _run(tmp_path / "run", scenario, iterations=1).controller()
    sim = Simulator("suburb-40", 1)
    with pytest.raises(ConfigError, match="num_agents = 5"):
        policy.start(sim, sim.reset()[0])


def test_learners_are_independent() -> None:
    """A huge gradient of one agent leaves the others' updates alone, and outputs depend on own inputs only."""
    torch.manual_seed(0)
    network = StackedMLP(3, 4, 2, (8,), final_gain=1.0)
    x = torch.randn(16, 3, 4)
    changed = x.clone()
    changed[:, 1] += 1
    difference = (network(changed) - network(x)).abs().amax((0, 2))
    assert difference[1] > 0
    assert torch.equal(difference[[0, 2]], torch.zeros(2))

    def clipped(factor: float) -> torch.Tensor:
        network.zero_grad()
        weight = torch.tensor([1.0, factor, 1.0])[:, None]
        (network(x) * weight).square().sum().backward()
        clip_gradients_per_agent(list(network.parameters()), 0.5)
        return torch.cat([p.grad.flatten(1) for p in network.parameters() if p.grad is not None], dim=1)

    assert torch.equal(clipped(1.0)[[0, 2]], clipped(1e4)[[0, 2]])
    assert torch.allclose(clipped(1e4).norm(dim=1), torch.full((3,), 0.5), rtol=1e-4)


def test_actor_is_bounded_and_standardised() -> None:
    actor = GaussianActor(2, 3, 1, (8,), initial_std=0.3)
    data = torch.randn(50, 2, 3) * 7 + 2
    data[..., 0] = 4.0  # never changes
    actor.network.standardise(data)
    inputs = (data - actor.network.mean) * actor.network.inverse_spread
    assert torch.allclose(inputs[..., 1:].std(0), torch.ones(2, 2), rtol=1e-3)
    assert torch.equal(inputs[..., 0], torch.zeros(50, 2))
    mean, std = actor(data)
    assert mean.abs().max() < 1
    assert torch.allclose(std, torch.full_like(std, 0.3))


@pytest.mark.parametrize("limit", ["minimum", "maximum"])
def test_exploration_learns_from_wherever_it_may_start(limit: str) -> None:
    """And what is logged of it is what acts, also where a step leaves its limits."""
    field = PpoConfig.model_json_schema()["properties"]["initial_std"]
    actor = GaussianActor(2, 3, 1, (8,), initial_std=field[limit])
    actor(torch.randn(5, 2, 3))[1].sum().backward()
    assert actor.log_std.grad is not None
    assert actor.log_std.grad.abs().min() > 0
    with torch.no_grad():
        actor.log_std.fill_(9.0)
    assert torch.equal(actor.std().expand(5, 2, 1), actor(torch.randn(5, 2, 3))[1])
    assert actor.std().max() < 1.65


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "comunity-5"], "did you mean 'community-5'"),
        (["--learning_rate", "fast"], "learning_rate"),
        (["--hold_h", "5"], "hold_h"),
        (["--learning_rat", "1e-3"], "learning_rat"),
        (["--ppo.epochs", "0"], "ppo.epochs"),
        (["--ppo.initial_std", "1.7"], "ppo.initial_std"),
        (["--ppo.initial_std", "0.01"], "ppo.initial_std"),
        (["--algorithm", "dqn"], "algorithm"),
        (["--prosumers.0.battery.charge_efficiency", "1.3"], "charge_efficiency"),
        (["--num_grids", "100000000000"], "GiB"),
        (["stray"], "unexpected argument"),
    ],
)
def test_mistakes_are_answered_before_anything_is_written(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main([*arguments, "--device", "cpu", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_presets_load_and_cuda_is_refused_where_there_is_none() -> None:
    for algorithm in ALGORITHMS:
        cpu, cuda = (load_train_config(device, {"algorithm": algorithm}) for device in ("cpu", "cuda"))
        assert cpu.num_grids < cuda.num_grids
        assert cpu.algorithm == algorithm
    assert load_train_config("cpu", {"ppo.epochs": 2, "shac.critic_batch": 64}).ppo.epochs == 2
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="--device cpu"):
            resolve_device("cuda")


def test_a_device_nothing_can_be_computed_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="'meta': torch cannot compute there"):
        resolve_device("meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="'cuda:7': torch sees 2 CUDA GPUs here, cuda:0 to cuda:1"):
        resolve_device("cuda:7")
    assert [str(resolve_device(name)) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]


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
