"""A trained policy as a controller: it acts as it was trained, where it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.train as train_module
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import community_5, run
from tests.trainer.training_process import Unvalidated
from trainer.policy import load_policy

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture(autouse=True)
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)


def test_a_saved_policy_acts_like_the_trained_one(tmp_path: Path) -> None:
    training = run(tmp_path / "run", scenario=community_5())
    sim = Simulator(training.scenario, 3, split="test")
    state, obs = sim.reset(seed=5)
    loaded, trained = load_policy(tmp_path / "run/checkpoints/last"), training.controller()
    loaded.start(sim, state)
    trained.start(sim, state)
    assert torch.equal(loaded.act(state, obs), trained.act(state, obs))


def test_policy_holds_its_action_for_an_hour(tmp_path: Path) -> None:
    training = run(tmp_path / "run", scenario=community_5(), iterations=1)
    policy, sim = training.controller(), Simulator(training.scenario, 2, split="test")
    state, obs = sim.reset()
    policy.start(sim, state)
    actions = []
    for _ in range(5):
        actions.append(policy.act(state, obs))
        state, out = sim.step(state, actions[-1])
        obs = out.obs
    assert all(torch.equal(actions[0], a) for a in actions[1:4])
    assert not torch.equal(actions[0], actions[4])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"forecast.window_edges_h": (1, 2, 3, 4, 5, 6)},
            "observation_names[10] = import_price_2-4h; .* import_price_2-3h",
        ),
        ({"forecast.window_edges_h": (1, 2)}, "observation_dim = 41; .* 25"),
        ({"trade_mode": "absolute"}, "trade_mode = around_balance; .* absolute"),
        ({"transfer_rule": "average"}, "transfer_rule = consent; .* average"),
        ({"links.topology": "none"}, "observation_dim = 41; .* 37"),
    ],
)
def test_policy_refuses_numbers_that_mean_something_else(changed: dict[str, Any], words: str) -> None:
    """Sizes may agree all the same: windows of other hours, actions that order power instead of shifting it."""
    sim = Simulator(GridConfig.load("community-5", **changed), 1)
    with pytest.raises(ConfigError, match=words.replace("[10]", r"\[10\]")):
        load_policy("community-5").start(sim, sim.reset()[0])


def test_policy_refuses_another_community(tmp_path: Path) -> None:
    policy = run(tmp_path / "run", iterations=1).controller()
    sim = Simulator(community(4), 1)
    with pytest.raises(ConfigError, match="num_agents = 3"):
        policy.start(sim, sim.reset()[0])
