"""The training benchmark's stacks are set alike, count their steps and act as they were trained to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks import stacks, startup, time_to_score, train, update
from benchmarks.__main__ import main
from benchmarks.peer_environments import is_installed
from benchmarks.stacks import elsewhere
from benchmarks.stacks.cleanrl_loop import cleanrl
from benchmarks.stacks.own import equal_config, ours
from benchmarks.stacks.torchrl_ippo import torchrl
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers.episode import run_episode
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)

HAS_GPU = torch.cuda.is_available()


def made(peer: bool, steps: int) -> Callable[[], stacks.Stack]:
    return lambda: stacks.Stack(peer, {}, 0.25, lambda _: steps, torch.zeros_like)


def missing() -> Any:
    raise ModuleNotFoundError("No module named 'rllib'", name="rllib")


@pytest.mark.usefixtures("quick_profiles")
def test_stacks_take_the_steps_they_count_and_act() -> None:
    equal = stacks.Equal(grids=2, horizon=4, epochs=1, minibatches=2, hidden=(8, 8))
    built = [ours(equal_config("cpu", equal)), torchrl("cpu", equal), cleanrl("cpu", equal)]
    assert [stack.iterate(0.0) for stack in built] == [8, 8, 8]
    assert [stack.iterate(0.0) for stack in built] == [8, 8, 8]
    sim = Simulator(stacks.SCENARIO, 3)
    _, obs = sim.reset(seed=1)
    for stack in built:
        with torch.no_grad():
            action = stack.decide(obs)
        assert action.shape == (3, sim.num_agents, sim.action_dim)
        assert action.abs().max() <= 1
        assert action.std() > 0
        with torch.no_grad():
            assert torch.equal(stack.decide(obs), action)  # without exploration


@pytest.mark.parametrize("name", ["benchmarl", "rllib"])
def test_a_stack_that_is_not_installed_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(elsewhere, "is_installed", lambda name: False)
    assert train._built(lambda: getattr(elsewhere, name)(1)) is None
    assert f"python -m benchmarks peers install {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["benchmarl", "rllib"])
def test_a_stack_in_its_own_process_iterates_and_acts(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"python -m benchmarks peers install {name}")
    equal = stacks.Equal(grids=2, horizon=4, epochs=1, minibatches=2, hidden=(8, 8))
    stack = getattr(elsewhere, name)(1, equal)
    assert stack.iterate(0.0) >= 8
    _, obs = Simulator(stacks.SCENARIO, 3).reset(seed=1)
    before, cpu_s = stack.cpu_s(), time.process_time()
    for _ in range(20):
        action = stack.decide(obs)
    assert time.process_time() > cpu_s
    assert stack.cpu_s() == before, "to decide is no training"
    assert action.shape == (3, 5, 3)
    assert 0 < action.abs().max() <= 1
    assert torch.equal(stack.decide(obs), action)
    assert stack.iterate(0.5) >= 8
    assert stack.cpu_s() > before


def test_ratios_are_to_peers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"ours": made(False, 40), "peer": made(True, 10), "RLlib": missing}
    monkeypatch.setattr(stacks, "stacks", lambda *_: found)
    monkeypatch.setattr(train, "_rate", lambda stack, _: (float(stack.iterate(0.0)), 2.0 * stack.iterate(0.0)))
    monkeypatch.setattr(update, "run", lambda *_: {"case": "update"})
    monkeypatch.setattr(startup, "run", lambda *_: [{"case": "startup"}])
    *records, updated, started = train.run(quick=True, threads=1, score_minutes=0)
    assert [record["ratio_to_peers"]["peer"] for record in records] == [4, 1]
    assert (updated["case"], started["case"]) == ("update", "startup")
    assert "RLlib left out: not installed" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_profiles")
def test_the_score_is_that_of_the_policy_and_its_time_that_of_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack that learns to be idle at once, and one that never does."""
    tiny = GridConfig.load(stacks.SCENARIO, episode_days=1.0)
    monkeypatch.setattr(time_to_score, "TARGET", -0.01)
    worked = torch.rand(400, 400)

    def stack(level: float) -> stacks.Stack:
        decide = lambda obs: torch.full((*obs.shape[:2], 3), level)  # noqa: E731
        return stacks.Stack(False, {}, 1.0, lambda _: int((worked @ worked).shape[0]), decide)

    found = time_to_score.run(
        {"idle": lambda: stack(0.0), "selling": lambda: stack(-1.0)}, minutes=0.002, scenario=tiny, episodes=2, marks=3
    )
    idle, selling = found["idle"], found["selling"]
    assert idle["reached_cpu_s"] == idle["curve"][0]["cpu_s"]
    assert idle["reached_steps"] == idle["curve"][0]["env_steps"]
    assert selling["reached_cpu_s"] is None
    assert selling["best"] < idle["best"]
    assert len(idle["curve"]) == 1, "done where it has the score"
    assert len(selling["curve"]) == 3
    assert all(point["cpu_s"] >= 0.002 * 60 * ((k + 1) / 3) ** 2 for k, point in enumerate(selling["curve"]))
    assert "not reached" in capsys.readouterr().out


def test_an_action_is_held_as_in_training() -> None:
    decided: list[int] = []

    def decide(obs: torch.Tensor) -> torch.Tensor:
        decided.append(len(decided))
        return torch.zeros(*obs.shape[:2], 3)

    stack = stacks.Stack(False, {}, 1.0, lambda _: 1, decide)
    sim = Simulator(GridConfig.load(stacks.SCENARIO, episode_days=0.5), 1)
    run_episode(sim, time_to_score.StackController("held", stack), seed=[3], keep_series=False)
    assert len(decided) == 12  # twelve hours, an hour each


@pytest.mark.parametrize("suite", ["env", "train", "learning", "all"])
@pytest.mark.parametrize("device", ["gpu", pytest.param("cuda", marks=pytest.mark.skipif(HAS_GPU, reason="has one"))])
def test_a_device_that_is_not_there_is_a_line(suite: str, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([suite, "--quick", "--device", device]) == 2
    assert f"device = '{device}': torch" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_profiles")
def test_the_operations_of_an_update_are_those_of_its_matrix_products() -> None:
    config = equal_config("cpu", stacks.Equal(grids=2, horizon=4, epochs=3, minibatches=2, hidden=(8, 8)))
    learner = update.filled(config, torch.device("cpu"))
    sim = Simulator(stacks.SCENARIO)
    inputs, outputs, decisions = sim.observation_dim, sim.action_dim, 2 * 4 * sim.num_agents
    valued = 2 * (4 + 2) * sim.num_agents  # the observation after the last decision, and those at ends of episodes
    actor, critic = (2 * (inputs * 8 + 8 * 8 + 8 * last) for last in (outputs, 1))
    forward_and_backward = 3 * (actor + critic) - 2 * 2 * inputs * 8  # inputs have no gradients
    assert update.flop(learner) == decisions * 3 * forward_and_backward + valued * critic


def test_a_run_that_makes_no_update_is_told_with_its_last_words() -> None:
    with pytest.raises(RuntimeError, match="nowhere"):
        startup.first_update(["--scenario", "nowhere"])


@pytest.mark.slow
def test_the_first_update_of_a_run_is_waited_for() -> None:
    options = ["--compile", "false", "--num_grids", "4", "--horizon", "4", "--device", "cpu", "--threads", "1"]
    assert 0.5 < startup.first_update(options) < 300
    assert 0.5 < startup.first_update(options, cold=True) < 300
