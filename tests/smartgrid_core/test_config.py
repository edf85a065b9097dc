"""Bad input is refused with the field, the value, what was expected and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.config import NetworkConfig
from smartgrid_core.errors import InvalidConfigError
from smartgrid_core.network import load_feeder
from smartgrid_core.registry import ConfigError, overridden, validate_config
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401

torch.set_num_threads(1)

FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"prosumers.*.battery.charge_efficiency": 1.05}, ["charge_efficiency", "1.05", "(0.0, 1.0]"]),
    ({"prosumers.1.battery.discharge_efficiency": 0}, ["prosumers.1.battery", "discharge_efficiency", "0"]),
    ({"prosumers.0.battery.soc_min": 0.9, "prosumers.0.battery.soc_max": 0.4}, ["soc_min = 0.9", "soc_max = 0.4"]),
    ({"prosumers.*.battery.initial_soc": 1.4}, ["initial_soc", "1.4"]),
    ({"prosumers.*.battery.capacity_kwh": -1}, ["capacity_kwh", "-1"]),
    ({"prosumers.*.battery.capacity_kwh": [5, 2]}, ["capacity_kwh", "[5", "crossed"]),
    ({"prosumers.*.battery.capacity_kwh": [1, "two"]}, ["capacity_kwh"]),
    ({"prosumers.*.battery.capacity_kwh": ["one", 2]}, ["capacity_kwh"]),
    ({"prosumers.*.battery.capacity_kwh": [1, 2, 3]}, ["capacity_kwh"]),
    ({"prosumers.*.battery.capacity_kwh": True}, ["capacity_kwh", "boolean"]),
    ({"prosumers.*.battery.capacity_kwh": float("nan")}, ["capacity_kwh"]),
    ({"prosumers.*.trade_kw": [float("nan"), 2]}, ["trade_kw"]),
    ({"tariff.export_eur_per_kwh": 0.3}, ["export", "0.3", "exceeds", "import"]),
    ({"tariff.import_eur_per_kwh": -0.1, "tariff.export_eur_per_kwh": -0.05}, ["export", "-0.05", "exceeds"]),
    (
        {"tariff.bands": [{"from_hour": 7.05, "to_hour": 7.2, "export_eur_per_kwh": 0.9}], "step_minutes": 1},
        ["export", "0.9", "exceeds"],
    ),
    ({"tariff.imbalance_penalty_eur_per_kwh": 0}, ["imbalance_penalty_eur_per_kwh", "greater than 0"]),
    ({"tariff.lost_load_eur_per_kwh": -5}, ["lost_load_eur_per_kwh"]),
    ({"tariff.co2_g_per_kwh": [1, 2]}, ["co2_g_per_kwh", "24"]),
    ({"prosumers.*.batery.capacity_kwh": 5}, ["batery", "battery"]),
    ({"prosumers.0.battery.capacity": 5}, ["capacity", "capacity_kwh"]),
    ({"tarif": {}}, ["tarif", "tariff"]),
    ({"links.topology": "star"}, ["star", "ring", "nearest:K"]),
    ({"links.topology": "nearest:0"}, ["nearest:0"]),
    ({"step_minutes": 7}, ["step_minutes = 7"]),
    ({"episode_days": 0.013}, ["episode_days = 0.013"]),
    ({"forecast.window_edges_h": [2, 1]}, ["window_edges_h", "increasing"]),
    ({"forecast.window_edges_h": [0.1]}, ["window_edges_h", "0.1"]),
    ({"events": [{"kind": "flood"}]}, ["events.0.kind", "flood"]),
    ({"events": [{"kind": "cloud", "factor": 2}]}, ["factor = 2", "cloud"]),
    ({"events": [{"kind": "branch_outage", "branch": 0}]}, ["branch"]),
    ({"events": [{"kind": "price_spike"}]}, ["import_adder_eur_per_kwh is missing", "changes nothing"]),
    ({"events": [{"kind": "demand_surge"}]}, ["factor is missing"]),
    ({"events": [{"kind": "islanding", "day": 7}]}, ["events.0.day = [7.0, 7.0]", "episode_days = 7 ends before"]),
    ({"events": [{"kind": "islanding", "day": 0.5}]}, ["day = [0.5, 0.5]", "expected whole days"]),
    ({"events": [{"kind": "islanding", "factor": 3}]}, ["factor = 3", "demand_surge and cloud"]),
    ({"forecast.kind": "persistence", "forecast.window_edges_h": [1, 24, 48]}, ["ends at 48 h", "24 hours before"]),
    ({"stability": {"voltage": 0, "loading": 0, "balance": 0, "reserve": 0}}, ["weights are 0"]),
    ({"prosumers": []}, ["prosumers"]),
    ({"prosumers.*.name": "same"}, ["'same'", "twice"]),
    ({"network.power_factor": 0}, ["power_factor"]),
    ({"profiles.source": "csv"}, ["path"]),
    ({"profiles.source": "simbench"}, ["code"]),
    ({"prosumers.9.trade_kw": 5}, ["prosumers.9.trade_kw", "'9'"]),
    ({"name.x": 5}, ["name.x"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "words"), FAULTS, ids=[str(next(iter(f))) + str(i) for i, (f, _) in enumerate(FAULTS)]
)
def test_a_fault_is_named(overrides: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        GridConfig.load("community-5", **overrides)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


@pytest.mark.usefixtures("quick_profiles")
def test_an_outage_needs_a_branch_that_can_open() -> None:
    """Which there are the feeder says, so it is asked; an event that never comes would be overlooked."""
    for branch, buses, told in (
        (99, 8, r"events\.0\.branch = 99.*1 … 6"),
        (None, 2, r"events\.0\.branch = None.*only"),
    ):
        event = {"kind": "branch_outage", "branch": branch}
        with pytest.raises(ConfigError, match=told):
            Simulator(community(2, events=[event], network={"buses": buses, "power_flow": False}))
    Simulator(community(2, events=[{"kind": "branch_outage", "branch": 6}]))


def test_an_unknown_scenario_offers_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="community-5"):
        GridConfig.load("comunity5")
    with pytest.raises(ConfigError, match="does not exist"):
        GridConfig.load("no/such/file.toml")


def test_bases_are_inherited_and_a_circle_of_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'base = "outage"\n[override]\n"prosumers.1.trade_kw" = 3\n[links]\nrating_kw = 2\n'
    )
    config = GridConfig.load(tmp_path / "mine.toml", episode_days=2)
    parent = GridConfig.load("outage")
    assert config.name == "mine"
    assert config.events == parent.events
    assert config.prosumers[1].trade_kw == (3.0, 3.0)
    assert config.prosumers[0] == parent.prosumers[0]
    assert config.links.rating_kw == 2
    assert config.links.topology == "ring"
    assert config.episode_days == 2
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(ConfigError, match="circle"):
        GridConfig.load(tmp_path / "a.toml")
    (tmp_path / "broken.toml").write_text("name = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        GridConfig.load(tmp_path / "broken.toml")


def test_overrides_reach_inside() -> None:
    config = GridConfig.load(
        "community-5", episode_days=1, **{"prosumers.*.battery.capacity_kwh": [5, 8], "prosumers.2.trade_kw": 3}
    )
    assert all(p.battery.capacity_kwh == (5.0, 8.0) for p in config.prosumers)
    assert [p.trade_kw for p in config.prosumers] == [None, None, (3.0, 3.0), None, None]
    assert GridConfig.load("community-5").prosumers[0].battery.capacity_kwh == (10.0, 10.0)


def test_overrides_reach_into_lists_and_tables_that_only_defaults_have() -> None:
    fields = {"tariff.bands.1.import_eur_per_kwh": 0.5, "evaluation.seeds.0": 7, "tariff.co2_g_per_kwh.*": 50}
    config, plain = GridConfig.load("community-5", **fields), GridConfig.load("community-5")
    assert config.tariff.bands[1].import_eur_per_kwh == 0.5
    assert config.tariff.bands[0] == plain.tariff.bands[0]
    assert config.evaluation.seeds == (7, *plain.evaluation.seeds[1:])
    assert set(config.tariff.co2_g_per_kwh) == {50.0}
    bare = next(k for k, p in enumerate(plain.prosumers) if p.solar is None)
    roof = overridden(plain, {f"prosumers.{bare}.solar.capacity_kwp": 5}).prosumers[bare].solar
    assert roof is not None
    assert roof.capacity_kwp == (5.0, 5.0)
    with pytest.raises(ConfigError, match="'9' is not an index below 2"):
        GridConfig.load("community-5", **{"tariff.bands.9.import_eur_per_kwh": 0.5})


def test_the_generated_feeder_is_of_the_sizes_given() -> None:
    fields = {"buses": 6, "v0_pu": 1.03, "transformer_kva": 160, "section_m": 80}
    feeder, plain = load_feeder(NetworkConfig.model_validate(fields)), load_feeder(NetworkConfig(buses=6))
    assert (feeder.v0_pu, plain.v0_pu) == (1.03, 1.0)
    np.testing.assert_allclose(feeder.r_pu[1:], 2 * plain.r_pu[1:])  # cables of 40 m
    assert feeder.rating_from_kva[0] == 160 != plain.rating_from_kva[0]
    with pytest.raises(ValueError, match=r"section_m = 80 is of the generated feeder, and 'simbench:x' has its own"):
        NetworkConfig(feeder="simbench:x", section_m=80)


@pytest.mark.parametrize(
    ("pairs", "word"),
    [([[0, 0]], "itself"), ([[0, 1], [1, 0]], "twice"), ([[0, 7]], "outside"), ([[-1, 0]], "outside")],
)
def test_impossible_links_are_refused(quick_profiles: None, pairs: list[list[int]], word: str) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match=word):
        Simulator(community(3, links={"topology": pairs}))


@pytest.mark.parametrize(
    ("n", "topology", "links", "slots"),
    [(1, "ring", 0, 0), (2, "ring", 1, 1), (3, "ring", 3, 2), (6, "ring", 6, 2), (1, "complete", 0, 0),
     (4, "complete", 6, 3), (4, "none", 0, 0), (2, "nearest:5", 1, 1), (4, [(2, 0)], 1, 1)],
)  # fmt: skip
def test_topologies(quick_profiles: None, n: int, topology: Any, links: int, slots: int) -> None:  # noqa: F811
    sim = Simulator(community(n, links={"topology": topology}))
    assert len(sim.links.pairs) == links
    assert sim.num_slots == slots
    assert sim.action_dim == slots + 1 == len(sim.action_names)
    state, obs = sim.reset()
    assert obs.shape == (1, n, sim.observation_dim)
    _, out = sim.step(state, torch.rand(1, n, sim.action_dim))
    assert out.transfers_kw.shape == (1, n, slots)


def test_a_prosumer_sits_where_the_configuration_says(quick_profiles: None) -> None:  # noqa: F811
    sim = Simulator(community(2, {"bus": "lv1.2"}, network={"buses": 8}))
    assert [sim.feeder.bus_names[b] for b in sim.agent_bus] == ["lv1.2", "lv1.2"]
    with pytest.raises(ConfigError, match=r"bus = 'nowhere'"):
        Simulator(community(2, {"bus": "nowhere"}))
    with pytest.raises(ConfigError, match="slack"):
        Simulator(community(2, {"bus": "mv"}))


def test_devices_are_checked(quick_profiles: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="device = 'foo': torch knows no such device; use cpu, cuda or cuda:1"):
        Simulator(community(2), device="foo")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device = 'cuda': torch sees no CUDA GPU here; use cpu"):
        Simulator(community(2), device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="device = 'cuda:3': torch sees 1 CUDA GPUs here"):
        Simulator(community(2), device="cuda:3")


def test_arguments_of_the_simulator_are_checked(quick_profiles: None) -> None:  # noqa: F811
    config = community(2)
    with pytest.raises(ConfigError, match="GiB"):
        Simulator(config, num_grids=10**10)
    for wrong in (0, -1, 1.5, "many"):
        with pytest.raises(ConfigError, match="num_grids"):
            Simulator(config, num_grids=wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="feeder"):
        Simulator(config.model_copy(update={"network": config.network.model_copy(update={"feeder": "nowhere.csv"})}))
    with pytest.raises(ValueError, match="split"):
        Simulator(config, split="holdout")
    sim = Simulator(config, num_grids=3)
    state, _ = sim.reset()
    for shape in ((3, 2), (3, 2, 1), (1, 2, 2), (2, 3, 2), (3, 2, 3)):
        with pytest.raises(ValueError, match=r"expected \[3 grids, 2 agents, 2 = 1 link slots"):
            sim.step(state, torch.zeros(shape))
    with pytest.raises(ValueError, match="state"):
        sim.reset(mask=torch.tensor([True, False, False]))
    with pytest.raises(ValueError, match="mask"):
        sim.reset(mask=torch.tensor([True]), state=state)
    with pytest.raises(ConfigError, match="seed"):
        sim.reset(seed=[1, 2])
    for wrong in ("a", [0, "a", 1], 2**70):
        with pytest.raises(ConfigError, match=r"seed = .*expected a whole number, or a list"):
            sim.reset(seed=wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="seed = 'a'"):
        Simulator(config, seed="a")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="config = None: expected a GridConfig, or the name or path"):
        Simulator(None)  # pyright: ignore[reportArgumentType]
    for action, kind in ((np.zeros((3, 2, 2)), "ndarray"), (None, "NoneType")):
        with pytest.raises(ValueError, match=f"action is a {kind}: expected a tensor"):
            sim.step(state, action)  # pyright: ignore[reportArgumentType]
    other, _ = Simulator(config, num_grids=2).reset()
    said = "state holds 2 grids of 2 agents, this simulator 3 of 2"
    for use in (
        lambda: sim.step(other, torch.zeros(3, 2, 2)),
        lambda: sim.reset(mask=torch.tensor([True, False, False]), state=other),
        lambda: sim.perturb(other),
    ):
        with pytest.raises(ValueError, match=said):
            use()
    with pytest.raises(ValueError, match="state is a tuple: expected the State"):
        sim.step(sim.reset(), torch.zeros(3, 2, 2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="weight"):
        sim.set_reward_weights(kindness=1.0)
    with pytest.raises(ConfigError, match="weight"):
        sim.set_reward_weights(cost=-1.0)


@pytest.mark.parametrize("name", list_scenarios())
def test_every_scenario_loads_and_steps(name: str) -> None:
    config = GridConfig.load(name)
    assert config.name == name
    assert config.description
    if config.profiles.source == "simbench":
        pytest.importorskip("simbench")
    sim = Simulator(config, num_grids=2)
    state, obs = sim.reset()
    state, out = sim.step(state, torch.zeros(2, sim.num_agents, sim.action_dim))
    assert torch.isfinite(obs).all()
    assert torch.isfinite(out.reward).all()
    assert out.obs.shape == (2, sim.num_agents, sim.observation_dim)


def test_a_fault_of_the_only_prosumer_is_told_once_and_a_far_name_is_not_offered() -> None:
    with pytest.raises(InvalidConfigError) as error:
        validate_config({"prosumers": [{"name": "home", "battery": {"capacity_kwh": -1}}]}, "mine")
    assert [field for field, _ in error.value.faults] == ["prosumers.0.battery"]
    with pytest.raises(InvalidConfigError, match="at least 1 item"):
        validate_config({"prosumers": []})
    with pytest.raises(ConfigError, match="unknown scenario 'nope': known are"):
        GridConfig.load("nope")
