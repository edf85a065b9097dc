"""QMIX: values mixed monotonically, TorchRL's loss, the memory it learns from."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.modules import QValueModule, SafeSequential
from torchrl.objectives.multiagent import QMixerLoss

from smartgrid_core.errors import ConfigError
from trainer.actors import BranchingActor
from trainer.config import load_train_config
from trainer.qmix import TeamValue, td_loss
from trainer.replay import Replay, Transitions


def team(agents: int = 3, inputs: int = 4, shared: bool = False) -> TeamValue:
    torch.manual_seed(0)
    return TeamValue(BranchingActor(agents, inputs, 2, (8,), 5, shared), agents, inputs, mixing=8, shared=shared)


@pytest.mark.parametrize("shared", [False, True])
def test_team_value_never_falls_with_an_agents_value(shared: bool) -> None:
    value = team(shared=shared)
    own = torch.randn(64, 3, 1, requires_grad=True)
    state = torch.randn(64, 4 if shared else 12) * 3
    (slope,) = torch.autograd.grad(value.mixer(own, state).sum(), own)
    assert slope.min() >= 0
    assert (slope > 0).any()


class Summed(nn.Module):
    """Values of entries [M, N A, 1] added up per agent, then mixed."""

    def __init__(self, mixer: nn.Module):
        super().__init__()
        self.mixer = mixer

    def forward(self, chosen: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return self.mixer(chosen.unflatten(-2, (3, 2)).sum(-2), state)


def test_team_loss_equals_torchrl() -> None:
    """Our loss is QMixerLoss with double Q-learning off where both networks prefer the same levels."""
    value, target = team(), team()
    batch = Transitions(torch.randn(32, 3, 4), torch.randint(0, 5, (32, 3, 2)), torch.randn(32), torch.randn(32, 3, 4))
    ours, *_ = td_loss(value, target, batch, 0.9)
    keys = [("agents", name) for name in ("action", "action_value", "chosen_action_value")]
    choose: Any = QValueModule(action_value_key=keys[1], out_keys=keys, action_space="categorical")
    entries = nn.Sequential(value.actor, nn.Flatten(-3, -2))  # TorchRL's agents are the entries, mixed in two steps
    network = SafeSequential(TensorDictModule(entries, in_keys=[("agents", "observation")], out_keys=[keys[1]]), choose)
    mixer = TensorDictModule(Summed(value.mixer), in_keys=[keys[2], "state"], out_keys=["chosen_action_value"])
    loss = QMixerLoss(network, mixer, loss_function="smooth_l1", delay_value=True, action_space="categorical")
    loss.make_value_estimator(gamma=0.9)
    nothing = torch.zeros(32, 1, dtype=torch.bool)
    data = TensorDict(
        {
            "agents": {"observation": batch.obs, "action": batch.choice.flatten(1)},
            "state": batch.obs.clamp(-5, 5).flatten(1),
            "next": {
                "agents": {"observation": batch.next_obs}, "state": batch.next_obs.clamp(-5, 5).flatten(1),
                "reward": batch.reward[:, None], "done": nothing, "terminated": nothing,
            },
        },
        [32],
    )  # fmt: skip
    theirs = loss(data)["loss"]
    torch.testing.assert_close(ours, theirs)
    parameters = list(value.parameters())
    own = torch.autograd.grad(ours, parameters)
    theirs.backward()
    named = [p for p in loss.parameters() if p.requires_grad]
    norm = torch.stack([g.norm() for g in own]).norm()
    torch.testing.assert_close(norm, torch.stack([cast(torch.Tensor, p.grad).norm() for p in named]).norm())


@pytest.mark.parametrize("shared", [False, True])
def test_the_best_levels_are_the_teams_best_action(shared: bool) -> None:
    """Found one by one among 3 x 2 x 5 values, they are worth what the best of all 5^6 joint actions is."""
    value = team(shared=shared)
    with torch.no_grad():
        for weight in value.actor.parameters():
            weight.mul_(3)  # away from values so close that rounding orders them
        obs = torch.randn(1, 3, 4)
        best = value.actor(obs).argmax(-1)
        every = torch.cartesian_prod(*[torch.arange(5)] * 6).view(-1, 3, 2)
        worth = value(obs.expand(len(every), -1, -1), every)
        assert torch.equal(every[worth.argmax()], best[0])
        assert torch.equal(value.actor.decide(obs), torch.linspace(-1, 1, 5)[best])


def test_doing_nothing_is_a_level() -> None:
    actor = BranchingActor(2, 4, 3, (8,), 9)
    assert actor.act(torch.full((1, 2, 3), 4)).abs().max() == 0
    with pytest.raises(ConfigError, match=r"qmix.levels = 8: .*odd"):
        load_train_config("cpu", {"algorithm": "qmix", "qmix.levels": 8})


def test_replay_keeps_the_newest() -> None:
    replay = Replay(6, 2, 1, 1, 1, torch.device("cpu"))

    def entry(i: int) -> Transitions:
        return Transitions(
            torch.full((2, 1, 1), i), torch.zeros(2, 1, 1).long(), torch.full((2,), i), torch.zeros(2, 1, 1)
        )

    for i in range(5):
        replay.add(entry(i))
        assert len(replay) == min(2 * (i + 1), 6)
    assert sorted(replay.data.reward.tolist()) == [2, 2, 3, 3, 4, 4]
    drawn = replay.sample(200, torch.Generator().manual_seed(0))
    assert set(drawn.reward.tolist()) == {2, 3, 4}
    assert torch.equal(drawn.obs[:, 0, 0], drawn.reward)
    with pytest.raises(ValueError, match="2 grids"):
        replay.add(Transitions(*(x[:1] for x in entry(0))))
