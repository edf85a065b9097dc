"""Policies that come with the package."""

from __future__ import annotations

import pytest
import torch

from smartgrid_core import GridConfig
from trainer.config import load_train_config
from trainer.policy import load_policy
from trainer.runs import shipped_policies
from trainer.validation import Validation


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_policies())
def test_a_shipped_policy_scores_what_it_says(name: str) -> None:
    """On the validation weeks of its scenario as it is today; another processor may round otherwise."""
    policy = load_policy(name)
    episodes = load_train_config("cpu", {"algorithm": policy.about["algorithm"]}).validation_episodes
    found = Validation(GridConfig.load(name), episodes, torch.device("cpu")).run(policy)
    assert found["score"] == pytest.approx(policy.about["validation_score"], abs=2e-3)
