"""SHAC: its gradient is the slope of the return, its targets those of hand loops."""

from __future__ import annotations

import pytest
import torch

from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.shac import Shac, lambda_targets, window_returns

pytestmark = pytest.mark.usefixtures("quick_profiles")


def test_shac_gradient_is_the_slope_of_the_return() -> None:
    """Central difference along the gradient, and along a single agent's; kinks of the physics cost a little."""
    learner, sim = learner_of("shac", hold_h=0.25, horizon=6)
    assert isinstance(learner, Shac)
    state, obs = sim.reset()
    learner.collect(state, obs, 0.0)
    learner.update(0.0)  # units and a first step, away from the symmetry of the start

    def loss() -> torch.Tensor:
        learner.collect(state, obs, 0.0)
        assert learner.window is not None
        return learner.objective(learner.window)

    gradient = torch.autograd.grad(loss(), learner.weights)
    for agent in (slice(None), slice(1, 2)):
        direction = [torch.zeros_like(g) for g in gradient]
        for d, g in zip(direction, gradient, strict=True):
            d[agent] = g[agent]
        norm = torch.stack([d.square().sum() for d in direction]).sum().sqrt()

        def moved(by: float, along: list[torch.Tensor] = direction, size: torch.Tensor = norm) -> float:
            with torch.no_grad():
                for weight, d in zip(learner.weights, along, strict=True):
                    weight += by * d / size
            value = loss().item()
            with torch.no_grad():
                for weight, d in zip(learner.weights, along, strict=True):
                    weight -= by * d / size
            return value

        slope = (moved(2e-3) - moved(-2e-3)) / 4e-3
        assert norm > 1e-3
        assert slope == pytest.approx(float(norm), rel=0.03)


def test_window_returns_and_targets_equal_hand_loops() -> None:
    torch.manual_seed(0)
    reward, values = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    truncated = torch.zeros(5, 2, dtype=torch.bool)
    truncated[2, 1] = True
    ends = truncated.clone()
    ends[-1] = True
    gamma, lmbda = 0.9, 0.7
    powers = gamma ** torch.arange(5, dtype=torch.float64)
    through = (powers[:, None] * reward[:, 0]).sum(0) + gamma**5 * values[4, 0]
    before = (powers[:3, None] * reward[:3, 1]).sum(0) + gamma**3 * values[2, 1]
    after = reward[3, 1] + gamma * reward[4, 1] + gamma**2 * values[4, 1]
    returns = window_returns(reward, values, ends, truncated, gamma)
    torch.testing.assert_close(returns, torch.stack([through, before + after]))
    targets = lambda_targets(reward, values, ends, gamma, lmbda)
    torch.testing.assert_close(targets[2, 1], reward[2, 1] + gamma * values[2, 1])  # the value after the limit, no more
    torch.testing.assert_close(targets[4], reward[4] + gamma * values[4])
    mixed = (1 - lmbda) * values[3] + lmbda * targets[4]
    torch.testing.assert_close(targets[3], reward[3] + gamma * mixed)
    monte_carlo = lambda_targets(reward, values, ends, gamma, 1.0)
    torch.testing.assert_close(monte_carlo[0, 0], through)
