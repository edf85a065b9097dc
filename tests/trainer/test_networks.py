"""Networks of many agents: apart from one another, one for all, bounded, in units of their data."""

from __future__ import annotations

import pytest
import torch

from trainer.actors import GaussianActor
from trainer.config import PpoConfig
from trainer.networks import CentralCritic, StackedMLP, clip_gradients_per_agent


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


def test_shared_network_is_one_function_up_to_the_index() -> None:
    torch.manual_seed(0)
    network = StackedMLP(3, 4, 2, (8,), final_gain=1.0, shared=True)
    own = StackedMLP(3, 4, 2, (8,), final_gain=1.0)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in own.parameters())
    network.standardise(torch.randn(50, 3, 4) * torch.tensor([1.0, 5.0, 9.0])[:, None])
    x = torch.randn(16, 1, 4).expand(16, 3, 4)
    assert not torch.allclose(network(x)[:, 0], network(x)[:, 1])
    assert network.identity is not None
    with torch.no_grad():
        network.identity[:] = network.identity[:, :1].clone()
    assert torch.equal(network(x)[:, 0], network(x)[:, 1])
    assert torch.equal(network(x)[:, 0], network(x)[:, 2])


def test_index_enters_as_a_one_hot_input_would() -> None:
    torch.manual_seed(0)
    network = StackedMLP(3, 4, 2, (8,), final_gain=1.0, shared=True)
    wide = StackedMLP(1, 4 + 3, 2, (8,), final_gain=1.0)
    weights = {name: x for name, x in network.state_dict().items() if name not in ("mean", "inverse_spread")}
    first = torch.cat([weights["layers.0.weight"], weights.pop("identity")], dim=1)
    wide.load_state_dict(weights | {"layers.0.weight": first}, strict=False)
    x = torch.randn(16, 3, 4)
    told = torch.cat([x, torch.eye(3).expand(16, 3, 3)], dim=-1).reshape(-1, 1, 7)
    torch.testing.assert_close(network(x).reshape(-1, 1, 2), wide(told))


def test_a_state_of_other_layers_is_refused() -> None:
    """Also one whose numbers are as many: a layer the wrong way round is no layer."""
    network = StackedMLP(2, 3, 4, (5,), final_gain=1.0)
    state = network.state_dict()
    assert [list(state[f"layers.{k}.weight"].shape) for k in (0, 1)] == [[2, 3, 5], [2, 5, 4]]
    turned = state | {"layers.0.weight": state["layers.0.weight"].transpose(1, 2)}
    for wrong in (turned, {name: x for name, x in state.items() if name != "layers.1.bias"}):
        with pytest.raises(RuntimeError, match=r"layers\.0\.weight"):
            network.load_state_dict(wrong)
    other = StackedMLP(2, 3, 4, (5,), final_gain=1.0)
    other.load_state_dict(state)
    assert torch.equal(other.weights, network.weights)


@pytest.mark.parametrize("shared", [False, True])
def test_central_critic_sees_everybody(shared: bool) -> None:
    torch.manual_seed(0)
    critic = CentralCritic(3, 4, (8,), shared)
    x = torch.randn(2, 6, 3, 4)
    critic.standardise(x)
    changed = x.clone()
    changed[..., 2, :] += 1
    assert critic(x).shape == (2, 6, 3, 1)
    assert ((critic(changed) - critic(x)).abs().amax((0, 1, 3)) > 0).all()
