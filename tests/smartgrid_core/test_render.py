"""Pictures and tables of a community."""

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.pettingzoo_env import parallel_env
from smartgrid_core.render import agent_status, snapshot

SHORT = {"episode_days": 0.25}  # 24 steps


def drawn(mode, scenario="community-5", steps=12):
    env = parallel_env(**SHORT, scenario=scenario, render_mode=mode)
    env.reset(seed=1)
    for _ in range(steps):
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    return env


@pytest.mark.parametrize("steps", [0, 12])
def test_ansi_shows_every_agent(steps):
    text = drawn("ansi", steps=steps).render()
    rows = [line for line in text.splitlines() if line.startswith("agent_")]
    assert len(rows) == 5
    assert "community-5" in text
    assert f"step {steps} of 24" in text
    assert "stability" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("steps", [0, 12])
def test_ansi_says_islanded(steps):
    text = drawn("ansi", "islanded", steps).render()
    assert "ISLANDED" in text
    assert "balanced" not in text
    if steps == 0:  # later some are unserved
        assert [line.split()[-1] for line in text.splitlines() if line.startswith("agent_")] == ["islanded"] * 5


@pytest.mark.parametrize("scenario", ["community-5", "islanded", "suburb-40"])
def test_picture(scenario):
    picture = drawn("rgb_array", scenario).render()
    assert picture.shape == (600, 1000, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10  # something is drawn


def test_picture_before_the_first_step():
    assert drawn("rgb_array", steps=0).render().shape == (600, 1000, 3)


def test_link_flows_agree_with_the_ledger():
    sim = Simulator(GridConfig.load("suburb-40", **SHORT), 2)
    state, _ = sim.reset()
    action = 2 * torch.rand(2, sim.num_agents, sim.action_dim, generator=torch.Generator().manual_seed(0)) - 1
    _, out = sim.step(state, action)
    shown = snapshot(sim, state, out, grid=1)
    received = np.zeros(sim.num_agents)
    np.add.at(received, shown.pairs[:, 1], shown.link_kw)
    np.add.at(received, shown.pairs[:, 0], -shown.link_kw)
    expected = (out.ledger.received_kw - out.ledger.sent_kw)[1].numpy()
    assert np.abs(shown.link_kw).max() > 0
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_modes_are_checked():
    with pytest.raises(ValueError, match="'ansi' or 'rgb_array'"):
        parallel_env(render_mode="human")
    env = parallel_env(**SHORT, render_mode="ansi")
    with pytest.raises(RuntimeError, match="before reset"):
        env.render()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"trade_kw": 1.0, "battery_kw": 1.0, "unserved_kw": 0.0}, "importing"),
        ({"trade_kw": -1.0, "battery_kw": 0.0, "unserved_kw": 0.0}, "exporting"),
        ({"trade_kw": 0.0, "battery_kw": 1.0, "unserved_kw": 0.0}, "charging"),
        ({"trade_kw": 0.0, "battery_kw": -1.0, "unserved_kw": 0.0}, "discharging"),
        ({"trade_kw": 0.0, "battery_kw": 0.001, "unserved_kw": 0.0}, "balanced"),
        ({"trade_kw": 0.0, "battery_kw": 1.0, "unserved_kw": 0.0, "islanded": True}, "islanded"),
        ({"trade_kw": 0.0, "battery_kw": 1.0, "unserved_kw": 0.0, "energised": False}, "islanded"),
        ({"trade_kw": 0.0, "battery_kw": -1.0, "unserved_kw": 0.5, "islanded": True}, "unserved"),
    ],
)
def test_status(values, expected):
    assert agent_status(**{"islanded": False, **values}) == expected
