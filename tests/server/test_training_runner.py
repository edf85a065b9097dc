"""Training from the page: one at a time, followed, stopped, killed with the server; runs by name."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.errors import ApiError
from server.locks import FileLock
from server.policies import Policies
from server.scenarios import Scenarios
from server.training import runner as module
from server.training.models import TrainingRequest, TrainingStatus
from server.training.runner import TrainingRunner
from server.training.runs import Runs
from tests.server.serving import write_scenario
from tests.server.waiting import until
from trainer.runs import shipped_policies

SMALL = {"num_grids": 4, "horizon": 4, "iterations": 2, "validations": 1, "validation_episodes": 2, "threads": 1}
SMALL |= {"compile": False, "max_minutes": None}
FAKE = """
import signal, sys, threading, time
from server.training import process

def train(command):
    print("command", *command, flush=True)
    try:
        time.sleep(0.1 if "--algorithm=x" in command or "qmix" in command else 60)
    except KeyboardInterrupt:
        print("saved", flush=True)
        return 130
    return 0

sys.modules["trainer.__main__"] = type(sys)("trainer.__main__")
sys.modules["trainer.__main__"].main = train
sys.exit(process.main(sys.argv[1:]))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[TrainingRunner]:
    folder = tmp_path / "data" / "scenarios"
    write_scenario(folder)
    runner = TrainingRunner(tmp_path / "data", tmp_path / "runs", Scenarios(folder), Policies(tmp_path / "runs"))
    yield runner
    runner.close()
    if runner._process is not None:
        with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
            os.killpg(runner._process.pid, signal.SIGKILL)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does as the real one, without training."""
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        assert command[1:3] == ["-m", "server.training.process"]
        return real([sys.executable, "-c", FAKE, *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", popen)


def request(**fields: object) -> TrainingRequest:
    return TrainingRequest.model_validate({"scenario": "tiny", "name": "one", **fields})


def test_a_run_from_the_form_to_its_metrics(runner: TrainingRunner, tmp_path: Path) -> None:
    assert runner.status().state == "idle"
    started = runner.start(request(config=SMALL | {"ppo": {"epochs": 1}}, evaluate=False, device="cpu"))
    assert (started.state, started.run, started.scenario) == ("running", "one", "tiny")
    until(lambda: runner.status().state != "running", 120)
    status = runner.status()
    assert status.state == "finished", status.log
    assert (status.iteration, status.iterations, status.progress) == (2, 2, 1.0)
    runs = Runs(tmp_path / "runs")
    (run,) = runs.list()
    assert (run.name, run.scenario, run.algorithm) == ("one", "tiny", "ippo")
    assert {"best", "last"} <= set(run.checkpoints)
    assert run.score is not None
    detail = runs.get("one")
    assert detail.config is not None
    assert detail.config["train"]["ppo"]["epochs"] == 1
    metrics = runs.metrics("one", 1, ["validation_score", "learning_reward"])
    assert metrics.rows == 2
    assert metrics.columns["iteration"] == [2]
    assert len(metrics.columns["learning_reward"][0]) == 3
    assert str(tmp_path) not in status.model_dump_json() + detail.model_dump_json()


@pytest.mark.usefixtures("fake")
def test_weights_to_begin_with_are_named_and_never_a_path(runner: TrainingRunner, tmp_path: Path) -> None:
    shipped = shipped_policies()["community-5"]
    (tmp_path / "outside").symlink_to(shipped)
    for name in (str(shipped), str(tmp_path / "nowhere"), "../outside", "self-consumption", "community-5@last", 7):
        with pytest.raises(ApiError) as caught:
            runner.start(request(config={"warm_start": name}))
        assert (caught.value.status, caught.value.field) == (422, "config.warm_start")
        assert str(shipped.parent) not in caught.value.message
    assert not (tmp_path / "runs").exists()
    runner.start(request(config={"warm_start": "community-5"}, algorithm="qmix"))
    until(lambda: runner.status().state == "finished")
    log = (tmp_path / "runs" / "one" / "train.log").read_text()
    assert f"--warm_start={shipped}" in log


@pytest.mark.usefixtures("fake")
def test_one_at_a_time_and_stopped_as_by_ctrl_c(runner: TrainingRunner, tmp_path: Path) -> None:
    runner.start(request())
    with pytest.raises(ApiError, match="training one runs already"):
        runner.start(request(name="two"))
    other = TrainingRunner(tmp_path / "data", tmp_path / "runs", runner.scenarios, runner.policies)
    until(lambda: runner.status().log)
    assert other.status().state == "running"  # another server on the same folder sees it, and may stop it
    with pytest.raises(ApiError, match="runs already"):
        other.start(request(name="two"))
    assert other.stop().state in ("stopping", "stopped")
    until(lambda: runner.status().state == "stopped")
    assert runner.status().exit_code == 130
    assert runner.status().log[-1] == "saved"
    with pytest.raises(ApiError, match="no training runs"):
        runner.stop()


@pytest.mark.usefixtures("fake")
def test_it_ends_with_the_server_and_a_detached_one_does_not(runner: TrainingRunner, tmp_path: Path) -> None:
    runner.start(request())
    until(lambda: runner.status().log)
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 4
    assert runner.status().state == "stopped"
    runner.start(request(name="two", detached=True))
    until(lambda: runner.status().log)
    runner.close()
    assert runner.status().state == "running"
    later = TrainingRunner(tmp_path / "data", tmp_path / "runs", runner.scenarios, runner.policies)
    status = later.status()
    assert (status.state, status.run, status.detached) == ("running", "two", True)
    later.stop(kill=True)
    until(lambda: later.status().state != "stopping")
    assert later.status().state == "stopped"


@pytest.mark.usefixtures("fake")
def test_who_is_killed_unasked_has_failed(runner: TrainingRunner, tmp_path: Path) -> None:
    """As by a system short of memory; a kill that was asked for is told apart, by a later server too."""

    def later() -> TrainingStatus:
        return TrainingRunner(tmp_path / "data", tmp_path / "runs", runner.scenarios, runner.policies).status()

    runner.start(request())
    until(lambda: runner.status().log)
    assert runner._process is not None
    os.kill(runner._process.pid, signal.SIGKILL)
    until(lambda: runner.status().state != "running")
    for status in (runner.status(), later()):
        assert (status.state, status.exit_code) == ("failed", -signal.SIGKILL)
        assert "killed (out of memory?)" in status.log[-1]
    runner.start(request(name="two"))
    until(lambda: runner.status().log)
    assert runner.stop(kill=True).state in ("stopping", "stopped")
    until(lambda: runner.status().state != "stopping")
    for status in (runner.status(), later()):
        assert (status.state, status.exit_code) == ("stopped", -signal.SIGKILL)
        assert "memory" not in status.log[-1]


@pytest.mark.usefixtures("fake")
def test_an_end_nobody_watched_is_known_later(runner: TrainingRunner, tmp_path: Path) -> None:
    runner.start(request(algorithm="qmix", detached=True))
    until(lambda: runner.status().state == "finished")
    about = json.loads((tmp_path / "data" / "training.json").read_bytes())
    (tmp_path / "data" / "training.json").write_text(json.dumps(about | {"ended": None, "exit_code": None}))
    assert (
        TrainingRunner(tmp_path / "data", tmp_path / "runs", runner.scenarios, runner.policies).status().state
        == "finished"
    )


def test_it_dies_with_a_killed_server(tmp_path: Path) -> None:
    """The server is killed with SIGKILL; its training saves and ends by itself."""
    code = f"""
    import sys, time
    from pathlib import Path
    from server.scenarios import Scenarios
    from server.training import runner as module
    from server.policies import Policies
    from server.training.models import TrainingRequest
    real = module.subprocess.Popen
    module.subprocess.Popen = lambda command, **o: real([sys.executable, "-c", {FAKE!r}, *command[3:]], **o)
    data = Path({str(tmp_path)!r})
    runner = module.TrainingRunner(data, data / "runs", Scenarios(data / "scenarios"), Policies(data / "runs"))
    runner.start(TrainingRequest(name="one"))
    while not runner.status().log:
        time.sleep(0.05)
    print("runs", flush=True)
    time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"runs\n"
        server.send_signal(signal.SIGKILL)
    lock = FileLock(tmp_path / "training.lock")
    until(lock.acquire)
    assert (tmp_path / "runs" / "one" / "train.log").read_text().splitlines()[-1] == "saved"
    lock.release()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"config": {"gamma": 2}}, "gamma"),
        ({"config": {"epochs": 1}}, "epochs"),
        ({"config": {"device": "cpu"}}, "beside config"),
        ({"config": {"ppo": {"epochs": "many"}}}, "ppo.epochs"),
        ({"scenario": "nowhere"}, "unknown scenario"),
        ({"resume": True}, "no run to resume"),
    ],
)
def test_faulty_requests_are_refused(runner: TrainingRunner, fields: dict, match: str) -> None:
    with pytest.raises(ApiError, match=match):
        runner.start(request(**fields))
    assert runner.status().state == "idle"


def test_who_looks_at_a_lock_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Not in another looker's, and in a taker's for no longer than it looks."""
    lock, wrong, done = FileLock(tmp_path / "a.lock"), [], threading.Event()

    def look() -> None:
        while not done.is_set():
            if FileLock(tmp_path / "a.lock").is_held():
                wrong.append(1)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    time.sleep(0.3)
    done.set()
    for looker in lookers:
        looker.join()
    assert not wrong
    assert lock.acquire()
    assert FileLock(tmp_path / "a.lock").is_held()
    assert not FileLock(tmp_path / "a.lock").acquire()
    lock.release()
    assert not lock.is_held()


@pytest.mark.parametrize("fields", [{"name": "../x"}, {"algorithm": "dqn"}, {"device": "cuda; rm"}, {"out": "x"}])
def test_requests_of_another_form_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        request(**fields)


def test_metrics_are_thinned(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "config.json").write_text('{"train": {"iterations": 1000, "max_minutes": null}, "scenario": {}}')
    rows = [
        {"iteration": k, "loss": float(k), "per": [k, 2 * k]} | ({"val": k} if k % 100 == 0 else {})
        for k in range(1, 1001)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text + '{"iteration": 10')  # a line is being written
    runs = Runs(tmp_path)
    metrics = runs.metrics("long", 100)
    assert metrics.rows == 1000
    assert metrics.columns["iteration"] == list(range(10, 1001, 10))
    assert metrics.columns["loss"][0] == 5.5
    assert metrics.columns["per"][0] == [5.5, 11.0]
    assert [value for value in metrics.columns["val"] if value is not None] == list(range(100, 1001, 100))
    assert runs.metrics("long", 5000).columns["loss"] == [row["loss"] for row in rows]
    with pytest.raises(ApiError, match="was not logged"):
        runs.metrics("long", 10, ["nothing"])
    for wrong in ("../long", "none", ".hidden"):
        with pytest.raises(ApiError, match="there is no run"):
            runs.get(wrong)
    with pytest.raises(ApiError, match="no scoreboard"):
        runs.scoreboard("long")
