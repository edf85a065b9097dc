"""The frame's shortcuts against the rules they stand for."""

from __future__ import annotations

import itertools

import numpy as np

from server.frames import _statuses
from server.live import LiveRun
from server.settings import Settings
from server.wire import STATUSES, HelloPolicy, RunInfo
from smartgrid_core import GridConfig
from smartgrid_core.controllers import make_controller
from smartgrid_core.render import agent_status


def test_statuses_of_all_at_once_are_those_of_each() -> None:
    values = (-1.0, -0.01, 0.0, 0.005, 0.02)
    cases = list(itertools.product(values, values, (0.0, 0.5), (True, False)))
    trade, battery, unserved, off = (np.array(column) for column in zip(*cases, strict=True))
    found = [STATUSES[k] for k in _statuses(trade, battery, unserved, off)]
    assert found == [agent_status(t, b, u, islanded) for t, b, u, islanded in cases]


def begun(config: GridConfig, seed: int) -> LiveRun:
    """A run under a rule."""
    about = {"scenario": "x", "policy": "self-consumption", "days": None, "steps": None, "started_at": ""}
    info = RunInfo(id="r", seed=seed, autostarted=False, **about)
    controller = HelloPolicy(name="self-consumption", kind="rule", title="rule")
    return LiveRun(config, make_controller("self-consumption"), info, controller, Settings())


def test_batteries_are_those_the_seed_drew() -> None:
    """Capacities drawn from a range are drawn anew with every seed; a frame's and hello's are of the run's."""
    config = GridConfig.load("community-5", **{"prosumers.*.battery.capacity_kwh": [4, 12]})
    seen = []
    for seed in (1, 2):
        run = begun(config, seed)
        drawn = run.sim.params.capacity_kwh[:, 0].tolist()
        frame = run.step(seq=0).data
        for agents in (run.hello["agents"], frame["agents"]):
            np.testing.assert_allclose([a["capacity_kwh"] for a in agents], drawn, atol=1e-3)
        assert all(0 <= a["energy_level"] <= 1 for a in frame["agents"])
        seen.append(drawn)
    assert seen[0] != seen[1]


def test_solar_is_what_the_seed_drew() -> None:
    """The middle of a range is nobody's; a prosumer's share of it is its generation's, as the simulator scales it."""
    config = GridConfig.load("community-5", **{"prosumers.*.solar.capacity_kwp": [10, 20]})
    seen = []
    for seed in (1, 2):
        run = begun(config, seed)
        kwp = [agent["pv_kwp"] for agent in run.hello["agents"]]
        assert all(10 <= x <= 20 for x in kwp)
        scale = run.sim.params.generation_scale[:, 0].numpy() / run.sim.table.profiles.generation_scale
        np.testing.assert_allclose(kwp, 15 * scale, atol=1e-3)
        seen.append(kwp)
    assert seen[0] != seen[1]
