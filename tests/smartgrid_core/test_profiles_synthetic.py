"""Synthetic demand and solar against published ranges (sources in `archetypes` and `solar`)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.profiles import synthetic
from smartgrid_core.profiles.solar import (
    air_temperature_c,
    clear_sky_w_per_m2,
    diffuse_fraction,
    horizontal_irradiance,
    photovoltaic_kw_per_kwp,
    sun_path,
)
from smartgrid_core.profiles.synthetic import synthetic_profiles
from smartgrid_core.profiles.types import ARCHETYPES, ProfileError, Profiles, ProsumerProfileSpec

SPECS = [ProsumerProfileSpec(name, name, 4000.0, 5.0) for name in ARCHETYPES]


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return synthetic_profiles(SPECS, seed=0)


def _days(profiles: Profiles, archetype: str) -> np.ndarray:
    """All columns of an archetype, [columns, days, 96]."""
    agent = ARCHETYPES.index(archetype)
    columns = profiles.demand_pool["all"][:, agent]
    return profiles.demand[columns].astype(np.float64).reshape(len(columns), 366, 96)


WEEKDAY = (4 + np.arange(366)) % 7  # 1 January 2016 was a Friday
WINTER, SUMMER = np.r_[0:59, 335:366], np.r_[152:244]


def test_shapes_and_pools(profiles: Profiles):
    assert profiles.demand.shape == (5 * 14, 35136)
    assert profiles.generation.shape == (14, 35136)
    assert profiles.demand.dtype == profiles.generation.dtype == np.float32
    assert profiles.demand_pool["train"].shape == (8, 5)
    assert profiles.generation_pool["test"].shape == (4, 5)
    assert profiles.start == np.datetime64("2016-01-01T00:00")
    np.testing.assert_allclose(profiles.demand_scale, 4.0)


def test_columns_and_clouds_of_the_splits_are_disjoint(profiles: Profiles):
    for pools in (profiles.demand_pool, profiles.generation_pool):
        sets = [set(pools[split].ravel()) for split in ("train", "validation", "test")]
        assert not (sets[0] & sets[1])
        assert not (sets[0] & sets[2])
        assert not (sets[1] & sets[2])
    assert len(np.unique(profiles.demand[:, 5000:6000], axis=0)) == len(profiles.demand)


@pytest.mark.parametrize("homes", [2, 5, 12])
def test_no_two_prosumers_of_an_episode_carry_copies_of_one_load(homes: int):
    specs = [ProsumerProfileSpec(f"home {k}", "residential", 4000.0, 0.0) for k in range(homes)]
    specs.insert(1, ProsumerProfileSpec("shop", "commercial", 9000.0, 0.0))
    found = synthetic_profiles(specs, columns=(4, 2, 2))
    assert found.groups.tolist() == [0, 1] + [0] * (homes - 1)
    for split, pool in found.demand_pool.items():
        for row in pool:
            assert len(set(row)) == homes + 1, split
        own = [set(pool[:, agent]) for agent in range(homes + 1) if agent != 1]
        assert own.count(own[0]) == homes, "every column comes to every home"
        assert own[0].isdisjoint(pool[:, 1])


def test_of_more_prosumers_than_columns_as_few_as_can_be_share_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synthetic, "MOST_CUSTOMERS", 4)
    specs = [ProsumerProfileSpec(f"shop {k}", "commercial", 9000.0, 0.0) for k in range(10)]
    for row in synthetic_profiles(specs, columns=(1, 1, 1)).demand_pool["test"]:
        assert sorted(Counter(row.tolist()).values()) == [2, 2, 3, 3]


def test_a_column_depends_on_nothing_but_its_name(profiles: Profiles):
    alone = synthetic_profiles([SPECS[2]], seed=0, columns=(2, 1, 1), cloud_sequences=(3, 1, 1))
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            alone.demand[alone.demand_pool[split][0, 0]], profiles.demand[profiles.demand_pool[split][0, 2]]
        )
        np.testing.assert_array_equal(
            alone.generation[alone.generation_pool[split][0, 0]],
            profiles.generation[profiles.generation_pool[split][0, 2]],
        )
    other = synthetic_profiles([SPECS[2]], seed=1, columns=(1, 1, 1), cloud_sequences=(1, 1, 1))
    assert not np.array_equal(other.demand[0], alone.demand[0])


def test_annual_energy_is_exact(profiles: Profiles):
    kwh = profiles.demand.mean(axis=1, dtype=np.float64) * 8760
    np.testing.assert_allclose(kwh, 1000.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("archetype", "load_factor", "lag_one"),
    [
        ("residential", (0.05, 0.14), (0.60, 0.88)),
        ("commercial", (0.25, 0.40), (0.90, 0.99)),
        ("industrial", (0.15, 0.42), (0.85, 0.98)),
        ("mixed", (0.10, 0.30), (0.65, 0.95)),
        ("suburban", (0.06, 0.16), (0.75, 0.95)),
    ],
)
def test_load_factor_and_autocorrelation(
    profiles: Profiles, archetype: str, load_factor: tuple[float, float], lag_one: tuple[float, float]
):
    for series in _days(profiles, archetype).reshape(-1, 35136):
        assert load_factor[0] < series.mean() / series.max() < load_factor[1]
        assert lag_one[0] < np.corrcoef(series[1:], series[:-1])[0, 1] < lag_one[1]


def test_peaks_come_at_the_hours_they_should(profiles: Profiles):
    for archetype, first, last in (("residential", 17, 21), ("suburban", 17, 21), ("commercial", 8, 13)):
        day = _days(profiles, archetype)[:, WEEKDAY < 5].mean(axis=(0, 1))
        assert first <= day.argmax() / 4 < last, archetype
    home = _days(profiles, "residential")[:, WEEKDAY < 5].mean(axis=(0, 1))
    assert home[6 * 4 : 9 * 4].max() > 1.8 * home[3 * 4 : 5 * 4].mean()  # a morning peak


def test_weekends_close_shops_and_workshops_but_not_homes(profiles: Profiles):
    ratio = {
        name: _days(profiles, name)[:, WEEKDAY < 5].mean() / _days(profiles, name)[:, WEEKDAY == 6].mean()
        for name in ARCHETYPES
    }
    assert ratio["commercial"] > 1.6
    assert ratio["industrial"] > 1.8
    assert 0.85 < ratio["residential"] < 1.1
    assert 1.1 < ratio["mixed"] < ratio["commercial"]


def test_winter_over_summer(profiles: Profiles):
    def ratio(name: str) -> float:
        return _days(profiles, name)[:, WINTER].mean() / _days(profiles, name)[:, SUMMER].mean()

    assert 1.15 < ratio("residential") < 1.7
    assert 1.6 < ratio("suburban") < 2.6  # heat pump
    assert 0.75 < ratio("commercial") < 0.95  # cooling


def test_other_steps_keep_energy_and_shape():
    for step_minutes in (5, 60):
        other = synthetic_profiles(SPECS[:1], step_minutes=step_minutes, columns=(2, 1, 1), cloud_sequences=(1, 1, 1))
        assert other.demand.shape[1] == 366 * 1440 // step_minutes
        np.testing.assert_allclose(other.demand.mean(axis=1, dtype=np.float64) * 8760, 1000.0, rtol=1e-5)
        day = other.demand.mean(axis=0).reshape(366, -1).mean(axis=0)
        assert 16 <= day.argmax() * step_minutes / 60 < 22


def test_the_default_pool_takes_about_a_second():
    begin = time.process_time()
    synthetic_profiles(SPECS)
    assert time.process_time() - begin < 4.0  # 0.8 s where nothing else runs


def test_requests_that_cannot_be_met_are_refused():
    with pytest.raises(ProfileError, match=r"archetype = 'villa'.*residential"):
        replace(SPECS[0], archetype="villa")
    with pytest.raises(ProfileError, match=r"tilt_deg = 120"):
        replace(SPECS[0], tilt_deg=120.0)
    with pytest.raises(ProfileError, match=r"at least one prosumer"):
        synthetic_profiles([])
    with pytest.raises(ProfileError, match=r"divisor of 60"):
        synthetic_profiles(SPECS, step_minutes=7)
    with pytest.raises(ProfileError, match=r"three numbers >= 1"):
        synthetic_profiles(SPECS, columns=(8, 0, 4))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"demand": lambda p: -p.demand}, r"demand holds a negative"),
        (
            {"generation": lambda p: np.where(p.generation > 0.5, np.nan, p.generation)},
            r"generation holds .* non-finite",
        ),
        (
            {"generation": lambda p: p.generation[:, :-96]},
            r"generation has shape .* expected \[columns, 35136\]",
        ),
        ({"demand_pool": lambda p: {**p.demand_pool, "test": p.demand_pool["test"] + 60}}, r"outside 0 … 69"),
        (
            {"demand_pool": lambda p: {"train": p.demand_pool["train"]}},
            r"demand_pool has the splits \['train'\]",
        ),
        ({"demand_scale": lambda p: p.demand_scale[:2]}, r"one entry per agent"),
        ({"start": lambda p: np.datetime64("2016-01-01T06:00")}, r"start at a local midnight"),
        ({"step_minutes": lambda p: 7}, r"divisor of 1440"),
        ({"block": lambda p: p.block[1:]}, r"block has shape"),
        ({"import_price": lambda p: np.ones(35136)}, r"give both or none"),
        ({"demand_group": lambda p: np.zeros(4, int)}, r"demand_group = \[0, 0, 0, 0\]: expected \d+ numbers"),
        ({"demand_group": lambda p: 2 * np.arange(p.num_agents)}, r"demand_group = \[0, 2, .*none left out"),
        ({"demand_group": lambda p: np.arange(p.num_agents) - 1}, r"demand_group = \[-1, 0, .*from 0 on"),
    ],
)
def test_profiles_that_do_not_fit_together_are_refused(profiles: Profiles, change: dict, told: str):
    with pytest.raises(ProfileError, match=told):
        replace(profiles, **{name: make(profiles) for name, make in change.items()})


# ---- Sun -------------------------------------------------------------------------------------------------


def _london(step_minutes: int = 15):
    return sun_path(
        np.datetime64("2016-01-01T00:00", "m"), 366 * 1440 // step_minutes, step_minutes,
        latitude_deg=51.5, longitude_deg=-0.1, utc_offset_h=0.0,
    )  # fmt: skip


def test_sun_stands_where_the_almanac_says():
    sun = _london(step_minutes=1)
    elevation = np.rad2deg(np.arcsin(sun.cos_zenith)).reshape(366, 1440)
    solstice = {"June": 172, "December": 355}  # day of the year, 0 on 1 January 2016: 21 June, 21 December
    assert elevation[solstice["June"]].max() == pytest.approx(90 - 51.5 + 23.44, abs=0.1)
    assert elevation[solstice["December"]].max() == pytest.approx(90 - 51.5 - 23.44, abs=0.1)
    noon = elevation.argmax(axis=1) / 60
    # Equation of time: 14.2 min late on 11 February, 16.4 min early on 3 November (Meeus 1998, chapter 28)
    assert noon[41] == pytest.approx(12 + (14.2 + 0.4) / 60, abs=0.04)
    assert noon[307] == pytest.approx(12 - (16.4 - 0.4) / 60, abs=0.04)
    daylight_h = (elevation > 0).sum(axis=1) / 60
    assert daylight_h[79] == pytest.approx(12.0, abs=0.2)  # 20 March
    # in the morning the sun is in the east
    assert sun.sin_azimuth.reshape(366, 1440)[100, 8 * 60] > 0.9


def test_irradiance_models_keep_their_published_values():
    assert clear_sky_w_per_m2(np.array([1.0]))[0] == pytest.approx(1035, abs=5)
    assert clear_sky_w_per_m2(np.array([-0.1]))[0] == 0
    fraction = diffuse_fraction(np.array([0.0, 0.22, 0.2201, 0.5, 0.8, 0.9]))
    assert fraction[0] == 1
    assert fraction[1] == pytest.approx(fraction[2], abs=0.01)  # Erbs' pieces meet
    assert fraction[3] == pytest.approx(0.658, abs=0.01)
    assert fraction[5] == 0.165
    heathrow = air_temperature_c(_london(60)).reshape(366, 24)
    assert heathrow[:31].mean() == pytest.approx(5.2, abs=1.0)
    assert heathrow[182:213].mean() == pytest.approx(18.8, abs=1.0)


def test_solar_yield_night_and_seasons(profiles: Profiles):
    # PVGIS 5 for London, 35° south, 14 % losses: about 950–1,000 kWh/kWp; single years spread by some 8 %
    kwh_per_kwp = profiles.generation.mean(axis=1, dtype=np.float64) * 8760
    assert (kwh_per_kwp > 850).all()
    assert (kwh_per_kwp < 1100).all()
    day = profiles.generation.reshape(-1, 366, 96)
    assert not day[:, :, : 3 * 4].any()
    assert not day[:, :, 22 * 4 :].any()
    assert not day[:, WINTER, : 7 * 4].any()
    assert not day[:, WINTER, 18 * 4 :].any()
    assert 2.5 < day[:, SUMMER].mean() / day[:, WINTER].mean() < 6
    assert 0.75 < profiles.generation.max() <= 1.0
    assert 11 <= day.mean(axis=(0, 1)).argmax() / 4 <= 13


def test_orientation_moves_the_day():
    sun = _london()
    beam, diffuse = horizontal_irradiance(sun, np.ones((1, sun.hour.size)))
    output = {
        azimuth: photovoltaic_kw_per_kwp(sun, beam, diffuse, tilt_deg=35, azimuth_deg=azimuth)[0].reshape(366, 96)
        for azimuth in (90, 180, 270)
    }
    morning = slice(0, 48)
    assert output[90][:, morning].sum() > 1.3 * output[270][:, morning].sum()
    assert output[180].sum() > 1.1 * output[90].sum()
    flat = photovoltaic_kw_per_kwp(sun, beam, diffuse, tilt_deg=0, azimuth_deg=90)
    np.testing.assert_allclose(flat, photovoltaic_kw_per_kwp(sun, beam, diffuse, tilt_deg=0, azimuth_deg=270))


def test_a_community_shares_its_clouds():
    specs = [
        replace(SPECS[0], name="south"),
        replace(SPECS[1], name="west", azimuth_deg=240.0, tilt_deg=20.0),
    ]
    profiles = synthetic_profiles(specs, columns=(1, 1, 1), cloud_sequences=(2, 1, 1))
    day = profiles.generation.reshape(-1, 366, 96).sum(axis=2)
    (first, second) = profiles.generation_pool["train"]
    summer = slice(120, 240)
    shared = np.corrcoef(day[first[0], summer], day[first[1], summer])[0, 1]
    foreign = np.corrcoef(day[first[0], summer], day[second[1], summer])[0, 1]
    assert shared > 0.95 > 0.5 > foreign


def test_a_connection_carries_its_roof_but_not_a_chance_of_the_seed():
    """Powers are observed in units of the limit: 8 kW where no roof exceeds it, whatever data are drawn."""
    for seed in (1, 2):
        config = GridConfig.load("community-5", **{"profiles.seed": seed, "prosumers.*.demand_scale": 3.0})
        assert Simulator(config).params.trade_kw.tolist() == [[8.0]] * 5
    sim = Simulator(GridConfig.load("high-solar"), num_grids=64)
    a_kwp = torch.from_numpy(sim.table.profiles.generation).amax()
    most = sim.params.generation_scale * a_kwp  # [5, 64] kW of roofs of 10 to 20 kWp
    assert most.max() > 17
    assert (sim.params.trade_kw >= most).all()
    assert (sim.params.trade_kw <= 20).all()
