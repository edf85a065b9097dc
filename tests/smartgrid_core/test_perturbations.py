"""Events caused while episodes run: the identities hold, and afterwards the world is as it would have been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from smartgrid_core import ConfigError, GridConfig, Simulator
from smartgrid_core.config import EventConfig
from smartgrid_core.types import State
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401
from tests.smartgrid_core.test_identities import check_energy, check_grid, check_links, check_money, check_observations

torch.set_num_threads(1)
EVENTS: dict[str, dict[str, Any]] = {
    "cloud": {"factor": 0.25},
    "demand_surge": {"factor": 3.0},
    "price_spike": {"import_adder_eur_per_kwh": 2.0},
    "islanding": {},
    "branch_outage": {"branch": 1},
}
EXOGENOUS = (
    "demand_kw", "generation_kw", "import_eur_per_kwh", "export_eur_per_kwh", "islanded", "energised", "step",
    "episode",
)  # fmt: skip


def event(kind: str) -> EventConfig:
    return EventConfig.model_validate({"kind": kind, **EVENTS[kind]})


def config(**fields: Any) -> GridConfig:
    return community(4, network={"buses": 8, "power_flow": True}, **fields)


def same_world(a: State, b: State) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in EXOGENOUS)


def test_buses_behind_an_open_branch_have_no_voltage_without_power_flow_either() -> None:
    dead = []
    for power_flow in (True, False):
        sim = Simulator(community(4, network={"buses": 8, "power_flow": power_flow}), 2)
        state, _ = sim.perturb(sim.reset()[0], [event("branch_outage")], [4])
        _, out = sim.step(state, torch.zeros(2, 4, sim.action_dim))
        dead.append(out.network.voltage_pu == 0)
    assert torch.equal(*dead)
    assert dead[0].any()
    assert not dead[0].all()


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("drawn", [(), ({"kind": "branch_outage", "branch": 2, "hour": 1, "duration_h": 3},)])
def test_identities_hold_and_the_world_returns(quick_profiles: None, kind: str, drawn: tuple) -> None:  # noqa: F811
    sim, calm = (Simulator(config(events=drawn), num_grids=3, seed=5) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    state, _ = sim.reset()
    reference, _ = calm.reset()
    began, lasts = 3, 18  # longer than the steps read at once
    for k in range(30):
        if k == began:
            given = state
            state, obs = sim.perturb(state, [event(kind)], [lasts])
            assert same_world(given, reference), "the state given stays as it was"
            check_observations(sim, obs)
        perturbed = began <= k < began + lasts
        differs = {
            "cloud": state.generation_kw, "demand_surge": state.demand_kw, "price_spike": state.import_eur_per_kwh,
            "islanding": state.islanded.float(), "branch_outage": state.energised.float(),
        }[kind]  # fmt: skip
        usual = {
            "cloud": reference.generation_kw * (0.25 if perturbed else 1),
            "demand_surge": reference.demand_kw * (3 if perturbed else 1),
            "price_spike": reference.import_eur_per_kwh + (2 if perturbed else 0),
            "islanding": torch.full((3,), float(perturbed)),
            "branch_outage": reference.energised.float() * (not perturbed),
        }[kind]
        assert torch.allclose(differs, usual), f"step {k}"
        assert perturbed or same_world(state, reference), f"step {k}"
        action = torch.rand(3, 4, sim.action_dim, generator=generator) * 2 - 1
        before = state
        state, out = sim.step(state, action)
        reference, _ = calm.step(reference, action)
        check_energy(sim, before, out)
        check_links(sim, out)
        check_grid(sim, out)
        check_money(out)
        check_observations(sim, out.obs)


def test_several_at_once_add_up_and_end_one_by_one(quick_profiles: None) -> None:  # noqa: F811
    sim, calm = Simulator(config(), seed=1), Simulator(config(), seed=1)
    state, reference = sim.reset()[0], calm.reset()[0]
    state, _ = sim.perturb(state, [event("demand_surge"), event("islanding")], [2, 4])
    state, _ = sim.perturb(state, [event("demand_surge")], [3])
    factors, islanded = [], []
    for _ in range(5):
        factors.append(round(float((state.demand_kw / reference.demand_kw).mean())))
        islanded.append(bool(state.islanded))
        state, reference = (s.step(x, torch.zeros(1, 4, s.action_dim))[0] for s, x in ((sim, state), (calm, reference)))
    assert factors == [9, 9, 3, 1, 1]
    assert islanded == [True] * 4 + [False]


def test_it_ends_with_the_episode_on_request_and_with_a_reset(quick_profiles: None) -> None:  # noqa: F811
    sim = Simulator(config(episode_days=0.25), seed=1, auto_reset=True)
    state, _ = sim.perturb(sim.reset()[0], [event("islanding"), event("branch_outage")], [10_000, 10_000])
    seen = []
    for _ in range(sim.config.episode_steps + 1):
        seen.append(bool(state.islanded) and not state.energised.any())
        state, _ = sim.step(state, torch.zeros(1, 4, sim.action_dim))
    assert seen == [True] * sim.config.episode_steps + [False]
    state, _ = sim.perturb(state, [event("branch_outage")], [100])
    assert not state.energised.all()
    state, _ = sim.perturb(state)
    assert state.energised.all()
    assert state.branch_open.shape == (1, 0)
    state, _ = sim.perturb(state, [event("branch_outage")], [100])
    state, _ = sim.reset()
    assert state.energised.all()
    assert sim.step(state, torch.zeros(1, 4, sim.action_dim))[0].energised.all()


def test_it_ends_where_a_grid_begins_with_another_seed(quick_profiles: None) -> None:  # noqa: F811
    """Its new episode has the number of the one the event was caused in."""
    sim = Simulator(config(), num_grids=2, seed=1)
    state, _ = sim.perturb(sim.reset()[0], [event("islanding")], [100])
    state, _ = sim.reset(seed=[7, 8], mask=torch.tensor([True, False]), state=state)
    assert state.islanded.tolist() == [False, True]


def test_an_island_needs_one_way_to_the_utility(quick_profiles: None, tmp_path: Path) -> None:  # noqa: F811
    """Where two branches leave the slack bus, one of them would stay dead while its prosumers traded."""
    laterals = tmp_path / "laterals.csv"
    laterals.write_text("from_bus,to_bus,r_ohm,x_ohm,rating_a\nbar,a,0.01,0.01,200\nbar,b,0.01,0.01,200\n")
    feeder, island = {"feeder": str(laterals), "power_flow": True}, [{"kind": "islanding"}]
    sim = Simulator(community(4, network=feeder), seed=1)
    state, _ = sim.reset()
    with pytest.raises(ConfigError, match=r"feeder laterals: 2 branches leave its slack bus bar.*add the transformer"):
        sim.perturb(state, [event("islanding")], [4])
    sim.perturb(state, [event("branch_outage")], [4])
    with pytest.raises(ConfigError, match="2 branches leave"):
        Simulator(community(4, network=feeder, events=island))
    Simulator(community(4, network=feeder | {"power_flow": False}, events=island))


def test_what_cannot_be_caused_is_refused(quick_profiles: None) -> None:  # noqa: F811
    sim = Simulator(config(), seed=1)
    state, _ = sim.reset()
    with pytest.raises(ConfigError, match=r"branch = 99: expected one of 1 … 6"):
        sim.perturb(state, [EventConfig(kind="branch_outage", branch=99)], [4])
    for steps in (0, 3.5):
        with pytest.raises(ConfigError, match=f"steps = {steps}: .* whole number of steps, at least 1"):
            sim.perturb(state, [event("cloud")], [steps])
    compiled = Simulator(config(), seed=1, compile=True)
    with pytest.raises(ConfigError, match="compile=False"):
        compiled.perturb(state, [event("cloud")], [4])


def test_events_need_a_duration_each() -> None:
    sim = Simulator(config())
    with pytest.raises(ConfigError, match="steps holds 0 durations for 1 events: give one for each"):
        sim.perturb(sim.reset()[0], [event("cloud")], [])
