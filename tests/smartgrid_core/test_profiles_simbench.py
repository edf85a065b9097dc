"""SimBench grids read straight from the package's files, compared with what the package itself says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.profiles import simbench
from smartgrid_core.profiles.simbench import SimbenchProsumer, simbench_profiles
from smartgrid_core.profiles.types import ProfileError, Profiles

pytestmark = pytest.mark.skipif(importlib.util.find_spec("simbench") is None, reason="simbench is not installed")
CODE = "1-LV-rural1--0-sw"
WEEK = 672


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def rural(cache: Path) -> tuple[Profiles, list[SimbenchProsumer]]:
    return simbench_profiles(CODE, cache_dir=cache, progress=False)


def test_rural1_has_thirteen_prosumers_and_four_plants(rural: tuple[Profiles, list[SimbenchProsumer]]):
    profiles, people = rural
    assert profiles.num_agents == 13
    assert profiles.num_steps == 35136
    assert [person.name for person in people[:2]] == ["LV1.101 Load 1", "LV1.101 Load 2"]
    assert people[1].bus == "LV1.101 Bus 8"
    own = {person.name: person.solar_kwp for person in people if person.solar_kwp}
    assert own == pytest.approx(
        {"LV1.101 Load 2": 19.0, "LV1.101 Load 4": 23.0, "LV1.101 Load 9": 40.0, "LV1.101 Load 11": 78.381}
    )
    home = people[1]
    assert home.load_profile == "H0-C"
    assert 2500 < home.annual_demand_kwh < 4000
    assert home.peak_kw == pytest.approx(3.0)
    assert home.power_factor == pytest.approx(0.93, abs=1e-3)
    kw = profiles.demand_scale[1] * profiles.demand[profiles.demand_pool["train"][0, 1]]
    assert kw.mean() * 8760 == pytest.approx(home.annual_demand_kwh, rel=1e-4)


@pytest.mark.slow
def test_values_are_those_of_the_package(rural: tuple[Profiles, list[SimbenchProsumer]]):
    import simbench as package

    profiles, people = rural
    net = package.get_simbench_net(CODE)
    absolute = package.get_absolute_values(net, profiles_instead_of_study_cases=True)
    load_mw, sgen_mw = absolute["load", "p_mw"], absolute["sgen", "p_mw"]
    row = {name: index for index, name in enumerate(net.load.name)}
    for agent, person in enumerate(people):
        load = row[person.name]
        assert net.bus.name.at[net.load.bus.iloc[load]] == person.bus
        column = profiles.demand_pool["train"][:, agent].min()  # the unshifted one
        unshifted = profiles.demand_scale[agent] * profiles.demand[column]
        np.testing.assert_allclose(unshifted, 1e3 * load_mw.iloc[:, load], rtol=1e-5, atol=1e-6)
        plants = net.sgen.index[net.sgen.bus == net.load.bus.iloc[load]]
        if len(plants):
            plant_kw = (
                profiles.generation_scale[agent] * profiles.generation[profiles.generation_pool["train"][0, agent]]
            )
            np.testing.assert_allclose(plant_kw, 1e3 * sgen_mw[plants].sum(axis=1), rtol=1e-5, atol=1e-6)


def test_shifts_keep_every_weeks_split_and_weekday(rural: tuple[Profiles, list[SimbenchProsumer]]):
    profiles, _ = rural
    weeks = profiles.demand[:, : 52 * WEEK].reshape(-1, 5, 52, WEEK)  # columns are grouped by profile, then shift
    week = np.arange(52)
    for shift_index, shift in enumerate((0, 4, 8, 44, 48)):
        np.testing.assert_array_equal(weeks[:, shift_index], weeks[:, 0, (week + shift) % 52])
    split = profiles.split_of_step[: 52 * WEEK : WEEK]
    np.testing.assert_array_equal(split, split[(week + 44) % 52])


def test_corrupt_test_weeks_leave_training_columns_bit_identical(
    rural: tuple[Profiles, list[SimbenchProsumer]], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    profiles, _ = rural
    load = simbench._load_grid

    def corrupt(*args):
        data = load(*args)
        test = profiles.split_of_step == 2
        data.load_profile_values[:, test] = 7.0
        data.solar_profile_values[:, test] = 7.0
        return data

    monkeypatch.setattr(simbench, "_load_grid", corrupt)
    other, _ = simbench_profiles(CODE, cache_dir=cache, progress=False)
    train = profiles.split_of_step == 0
    np.testing.assert_array_equal(other.demand[:, train], profiles.demand[:, train])
    np.testing.assert_array_equal(other.generation[:, train], profiles.generation[:, train])
    np.testing.assert_array_equal(other.demand_scale, profiles.demand_scale)
    assert (other.demand[:, profiles.split_of_step == 2] == 7.0).all()


def test_no_two_prosumers_of_an_episode_carry_copies_of_one_load():
    sim = Simulator("rural-lv", num_grids=512, seed=3)
    state, _ = sim.reset()
    plan = sim.episodes.plan(sim.params, state.key, state.episode)
    for grid in plan.demand_column.T.tolist():
        assert len(set(grid)) == len(grid) == 13
    moves = plan.demand_column % 5
    for agent in range(13):  # every move comes to everyone
        assert set(moves[agent].tolist()) == set(range(5))
    groups = sim.table.profiles.groups
    first = [moves[np.flatnonzero(groups == g)[0]] for g in range(5)]
    together = {tuple(grid) for grid in torch.stack(first, 1).tolist()}
    assert len(together) > 400  # of the 512 that 3,125 ways make likely to differ: groups draw on their own


def test_a_connection_carries_the_roof_and_the_load_behind_it():
    """Nobody stores or sends anything: what every meter is left with is ordered in full, at every moment."""
    without = {"prosumers.*.battery.capacity_kwh": 0, "prosumers.*.battery.initial_soc": 0, "episode_days": 1}
    sim = Simulator(GridConfig.load("rural-lv", **without), num_grids=512, seed=5)
    state, _ = sim.reset()
    exported = torch.zeros(13)
    for _ in range(sim.config.episode_steps):
        exported = torch.maximum(exported, (state.generation_kw - state.demand_kw).amax(0))
        state, out = sim.step(state, torch.zeros(512, 13, sim.action_dim))
        assert out.imbalance_kw.abs().max() < 1e-4
    assert exported.max() > 40  # the largest roof has 78 kWp


def test_agents_with_one_profile_differ_in_every_row(rural: tuple[Profiles, list[SimbenchProsumer]]):
    profiles, people = rural
    farms = [agent for agent, person in enumerate(people) if person.load_profile == "L2-A"]
    for row in profiles.demand_pool["train"][:, farms]:
        assert len(set(row)) == len(farms) == 5
    # a community's PV moves together: one shift for all of a row
    shifts = profiles.generation_pool["train"] % 3
    assert (shifts == np.arange(3)[:, None]).all()


def test_the_second_use_reads_one_file(cache: Path, rural, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise AssertionError("read the package again")

    monkeypatch.setattr(simbench, "_extract", refuse)
    again, _ = simbench_profiles("1-LV-rural1--0-no_sw", cache_dir=cache, progress=False)
    np.testing.assert_array_equal(again.demand, rural[0].demand)
    assert [path.suffix for path in cache.iterdir()] == [".npz"] * len(list(cache.iterdir()))


def test_a_file_cut_short_is_extracted_again(cache: Path, rural, tmp_path: Path):
    stored = next(cache.glob("*rural1--0*.npz"))
    broken = tmp_path / stored.name
    broken.write_bytes(stored.read_bytes()[:5000])
    again, _ = simbench_profiles(CODE, cache_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(again.demand, rural[0].demand)
    assert broken.stat().st_size == stored.stat().st_size


def test_without_a_writable_cache_it_still_works(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.warns(UserWarning, match=r"not cached"):
        profiles, _ = simbench_profiles(CODE, cache_dir=blocked, progress=False)
    assert profiles.num_agents == 13


def test_chosen_prosumers_and_solar(cache: Path):
    names = ["LV1.101 Load 3", "LV1.101 Load 2"]
    profiles, people = simbench_profiles(CODE, prosumers=names, solar_kwp=[6.0, 0.0], cache_dir=cache)
    assert profiles.agent_names == tuple(names)
    assert [person.solar_kwp for person in people] == [6.0, 0.0]
    everyone = [person.solar_kwp for person in simbench_profiles(CODE, cache_dir=cache)[1]]
    owner = next(i for i, kwp in enumerate(everyone) if kwp > 0)
    other = next(i for i in range(len(everyone)) if i != owner)
    wanted = [5.0 if i == other else None for i in range(len(everyone))]
    mixed = simbench_profiles(CODE, solar_kwp=wanted, cache_dir=cache)[1]
    assert [person.solar_kwp for person in mixed] == [5.0 if i == other else x for i, x in enumerate(everyone)]
    sun = profiles.generation[profiles.generation_pool["test"][0, 0]]
    assert 0.5 < sun.max() <= 1.05
    assert 600 < sun.mean() * 8760 < 1300
    few, _ = simbench_profiles(CODE, prosumers=5, solar_kwp=4.0, step_minutes=60, cache_dir=cache)
    assert few.num_agents == 5
    assert few.num_steps == 366 * 24
    np.testing.assert_allclose(few.generation_scale, 4.0)


def test_longer_steps_take_means(cache: Path, rural):
    hourly, _ = simbench_profiles(CODE, step_minutes=60, cache_dir=cache)
    np.testing.assert_allclose(hourly.demand, rural[0].demand.reshape(-1, 8784, 4).mean(axis=2), rtol=1e-5, atol=1e-7)


def test_heat_pumps_and_charging_points_join_the_load_at_their_bus(cache: Path):
    profiles, people = simbench_profiles("1-LV-rural1--2-sw", cache_dir=cache, progress=False)
    assert profiles.num_agents == 13
    assert len({person.bus for person in people}) == 13
    electric = people[1]  # with a heat pump and charging points of 11 and 22 kW
    assert electric.load_profile == "H0-C"
    assert electric.peak_kw > 20
    assert electric.annual_demand_kwh > 6000


def test_requests_that_cannot_be_met_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ProfileError, match=r"unknown SimBench code '1-LV-rural1-0-sw'.*1-LV-rural1--0-sw"):
        simbench_profiles("1-LV-rural1-0-sw")
    with pytest.raises(ProfileError, match=r"different names of loads, like LV1\.101 Load 9"):
        simbench_profiles(CODE, prosumers=["LV1.101 Load 99"], cache_dir=cache)
    with pytest.raises(ProfileError, match=r"has 1 to 13"):
        simbench_profiles(CODE, prosumers=14, cache_dir=cache)
    with pytest.raises(ProfileError, match=r"multiples of 4"):
        simbench_profiles(CODE, demand_shifts_weeks=(0, 2), cache_dir=cache)
    with pytest.raises(ProfileError, match=r"15, 30 or 60"):
        simbench_profiles(CODE, step_minutes=5, cache_dir=cache)
    with pytest.raises(ProfileError, match=r"for each of 13 agents"):
        simbench_profiles(CODE, solar_kwp=[1.0], cache_dir=cache)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProfileError, match=r"pip install 'smartgrid-marl\[data\]'"):
        simbench_profiles(CODE, cache_dir=cache)
