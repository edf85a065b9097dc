"""Actions held for any time that divides an episode: no end of an episode is overlooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from smartgrid_core import GridConfig, State
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import StepResult
from tests.smartgrid_core.communities import community, quick_profiles, set_world  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.config import ALGORITHMS, TrainConfig
from trainer.learning_reward import steps_of_hold
from trainer.ppo import Ppo
from trainer.shac import Shac
from trainer.train import Training

pytestmark = pytest.mark.usefixtures("quick_profiles")
GRIDS = 8


def training_of(folder: Path, algorithm: str, hold_h: float) -> Training:
    """A run whose iteration is a day: every grid ends one episode in it."""
    fields: dict[str, Any] = {"algorithm": algorithm, "hold_h": hold_h, "horizon": round(24 / hold_h)}
    fields |= {"num_grids": GRIDS, "hidden": (8,), "device": "cpu", "validation_episodes": 1}
    fields["qmix"] = {"replay": 512, "batch": 16, "updates": 1}
    return Training(TrainConfig.model_validate(fields), community(3), folder, resume=False)


@pytest.mark.parametrize(
    ("algorithm", "hold_h"),
    [*((name, 2.0) for name in ALGORITHMS), ("ippo", 0.25), ("ippo", 0.75), ("ippo", 1.5), ("ippo", 6.0)],
)
def test_every_end_of_an_episode_is_that_of_a_hold(
    tmp_path: Path, algorithm: str, hold_h: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = training_of(tmp_path, algorithm, hold_h)
    learner, steps, ends = training.learner, 0, {True: 0, False: 0}
    step = training.sim.step

    def counted(state: State, action: torch.Tensor) -> tuple[State, StepResult]:
        nonlocal steps
        state, out = step(state, action)
        steps += 1
        ends[steps % learner.hold == 0] += int(out.truncated.sum())
        return state, out

    monkeypatch.setattr(training.sim, "step", counted)
    state, obs = training.state, training.obs
    for _ in range(2):
        collected = learner.collect(state, obs, 0.0)
        state, obs = collected.state, collected.obs
        if isinstance(learner, Ppo):
            assert learner.rollout.truncated.sum(0).tolist() == [1] * GRIDS
        if isinstance(learner, Shac):
            assert learner.window is not None
            assert learner.window.truncated.sum(0).tolist() == [1] * GRIDS
    assert ends[False] == 0
    assert ends[True] >= 2 * GRIDS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_grids_within_a_hold_are_refused(algorithm: str) -> None:
    """As a run saved by a version that staggered by hours alone would bring them back."""
    learner, sim = learner_of(algorithm, hold_h=2.0)
    state, obs = sim.reset()
    with pytest.raises(ConfigError, match="hold_steps = 8"):
        learner.collect(set_world(sim, state, step=4), obs, 0.0)
    learner.collect(set_world(sim, state, step=16), obs, 0.0)


@pytest.mark.parametrize(("hold_h", "nearest"), [(0.4, "0.5"), (0.1, "0.25"), (1.1, "1")])
def test_a_hold_that_is_no_multiple_of_a_step_is_refused(hold_h: float, nearest: str, tmp_path: Path) -> None:
    words = rf"hold_h = {hold_h}: expected a multiple of a step, which has 0\.25 h .*--hold_h {nearest}$"
    with pytest.raises(ConfigError, match=words):
        training_of(tmp_path / "run", "ippo", hold_h)
    assert not (tmp_path / "run").exists()


def test_a_hold_may_be_given_to_three_digits() -> None:
    scenario = community(3).model_copy(update={"step_minutes": 20})
    assert steps_of_hold(TrainConfig(hold_h=0.3333), scenario) == 1
    assert steps_of_hold(TrainConfig(hold_h=0.6667), scenario) == 2


def test_a_policy_is_not_evaluated_where_its_hold_is_no_multiple_of_a_step(tmp_path: Path) -> None:
    training = training_of(tmp_path, "ippo", 0.25)
    policy, sim = training.controller(), training.sim

    def start(minutes: int) -> None:
        fields = community(3).model_dump() | {"step_minutes": minutes}
        sim.config = GridConfig.model_validate(fields)  # none that a scenario could not have
        policy.start(sim, training.state)

    for minutes in (5, 15, 30, 60):  # where a step is longer than the hold, an action lasts the step
        start(minutes)
    words = r"hold_h = 0\.25 h, which is no multiple .* 0\.1667 h .*: add --step_minutes 15, or .* step_minutes = 15$"
    with pytest.raises(ConfigError, match=words):
        start(10)
