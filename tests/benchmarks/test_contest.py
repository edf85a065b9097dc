"""Peers: runners speak the protocol, environments are whole or not there, ratios are of turns side by side."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import contest, peer_environments
from benchmarks.__main__ import main
from benchmarks.communities import community

RUNNER = """
import sys, time
sys.path.insert(0, {folder!r})
from protocol import serve
print("what a library says on its own account, more than a pipe holds" * 2000)
over = False
def work(seconds):
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        pass
def step():
    global over
    assert not over, "an episode that is over is not stepped"
    work(0.002)
    over = {reset_s} > 0
    return over
def reset():
    global over
    work({reset_s})
    over = False
serve({{"agents": 2, "num_grids": 3, "models": "nothing", "versions": {{}}}}, step, reset)
"""


def runner(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, folder: Path, reset_s: float) -> contest.Runner:
    monkeypatch.setattr(contest, "FOLDER", folder)
    text = RUNNER.format(folder=str(peer_environments.FOLDER), reset_s=reset_s)
    (folder / "run_c.py").write_text(text, encoding="utf-8")
    return contest._started(stack, "c", [])


def test_a_runner_steps_for_as_long_as_it_is_told_and_resets_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        plain, resetting = (runner(stack, monkeypatch, tmp_path, reset_s) for reset_s in (0.0, 0.004))
        for _ in range(3):
            plain.take_turn(0.05)
            resetting.take_turn(0.05)
        assert max(plain.rates) <= 3 / 0.002  # three environments a call, none faster than its cost
        assert max(resetting.rates) > 3 / 0.003  # a third of what it would be if resets counted
        record = contest._record(plain, [resetting])
        assert record["agents"] == 2
        assert record["ours"][0]["ratio"] > 0.5
    assert plain.talk.process.returncode is not None


def test_a_runner_that_cannot_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "FOLDER", tmp_path)
    (tmp_path / "run_c.py").write_text("raise ValueError('no such grid')", encoding="utf-8")
    with ExitStack() as stack, pytest.raises(RuntimeError, match="code 1: ValueError: no such grid"):
        contest._started(stack, "c", [])


def test_an_environment_of_other_requirements_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_environments, "root", lambda: tmp_path)
    python = peer_environments.interpreter("vmas")
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert not peer_environments.is_installed("vmas")
    mark = tmp_path / "vmas" / peer_environments.INSTALLED
    mark.write_text(peer_environments.requirements("vmas"), encoding="utf-8")
    assert peer_environments.is_installed("vmas")
    mark.write_text("vmas==1.0\n", encoding="utf-8")
    assert not peer_environments.is_installed("vmas")


def test_every_environment_has_pinned_requirements_and_its_runners() -> None:
    for name, environment in peer_environments.ENVIRONMENTS.items():
        lines = peer_environments.requirements(name).splitlines()
        assert lines, name
        assert all("==" in line or "<" in line for line in lines), name
        for run in environment.runners:
            assert (peer_environments.FOLDER / f"run_{run}.py").is_file()
            assert run in contest.TITLES


def test_peers_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer_environments, "root", lambda: tmp_path)
    assert main(["peers", "list"]) == 0
    assert "citylearn: not installed" in capsys.readouterr().out
    assert main(["peers", "install", "mujoco"]) == 2
    assert "known are citylearn" in capsys.readouterr().err


def test_communities_of_any_size() -> None:
    assert community(5) == community(5, 15)
    for agents in (1, 3, 7):
        config = community(agents)
        assert config.num_agents == agents
        assert len({agent.name for agent in config.agents}) == agents
    assert community(30).network.buses == 32
    assert community(5, 33).network.buses == 33
