"""Users' csv files: what is read, and that each fault is told with file, row, column and remedy."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.__main__ import describe
from smartgrid_core.errors import ConfigError
from smartgrid_core.profiles.csv_prices import with_prices
from smartgrid_core.profiles.csv_source import csv_profiles
from smartgrid_core.profiles.load import load_profiles
from smartgrid_core.profiles.types import ProfileError

BERLIN = ZoneInfo("Europe/Berlin")
HEADER = "timestamp,agent,demand_kw,generation_kw"


def _lines(
    start: datetime,
    days: int,
    *,
    agents: tuple[str, ...] = ("home", "shop"),
    step_minutes: int = 60,
    scale: float = 1.0,
    stamp: Callable[[datetime], str] = lambda moment: moment.strftime("%Y-%m-%dT%H:%M"),
) -> list[str]:
    """Rows in time order; demand counts the steps, generation is a tenth of it."""
    lines = [HEADER]
    for step in range(days * 1440 // step_minutes):
        moment = start + step * timedelta(minutes=step_minutes)
        lines += [
            f"{stamp(moment)},{agent},{scale * (step + index / 4)},{scale * step / 10}"
            for index, agent in enumerate(agents)
        ]
    return lines


def _write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def month() -> list[str]:
    return _lines(datetime(2024, 1, 8), 28)


def _read(tmp_path: Path, lines: list[str], **options):
    return csv_profiles(_write(tmp_path / "load.csv", lines), **{"step_minutes": 60, **options})


def test_reads_what_was_written(tmp_path: Path, month: list[str]):
    profiles = _read(tmp_path, month)
    assert profiles.agent_names == ("home", "shop")
    assert profiles.start == np.datetime64("2024-01-08T00:00")
    steps = np.arange(28 * 24, dtype=np.float32)
    np.testing.assert_array_equal(profiles.demand, [steps, steps + 0.25])
    np.testing.assert_allclose(profiles.generation[1], steps / 10, rtol=1e-6)
    assert (profiles.demand_scale == 1).all()
    assert (profiles.generation_scale == 1).all()
    assert profiles.demand_pool["train"].tolist() == [[0, 1]]
    assert [(profiles.split_of_step == code).sum() for code in (0, 1, 2)] == [336, 168, 168]


def test_a_file_written_anew_is_read_anew(tmp_path: Path, month: list[str]):
    """Profiles are built once per process: a notebook, or a server that takes uploads, replaces files under it."""
    path = _write(tmp_path / "load.csv", month)
    config = GridConfig.model_validate(
        {
            "profiles": {"source": "csv", "path": str(path), "hold_out": False}, "step_minutes": 60,
            "prosumers": [{"name": "home"}, {"name": "shop"}],
        }
    )  # fmt: skip
    first = load_profiles(config)
    assert load_profiles(config) is first
    _write(path, _lines(datetime(2024, 1, 8), 28, scale=2.0))
    np.testing.assert_array_equal(load_profiles(config).profiles.demand, 2 * first.profiles.demand)


def test_what_a_scenario_says_of_energy_is_the_file_s_to_say(tmp_path: Path, month: list[str]):
    """A base scenario's numbers do not change measured data, and `describe` does not claim them."""
    path = str(_write(tmp_path / "load.csv", month))
    said = {"annual_demand_kwh": 9000, "solar": {"capacity_kwp": 8}}
    config = GridConfig.model_validate(
        {
            "profiles": {"source": "csv", "path": path, "hold_out": False}, "step_minutes": 60,
            "prosumers": [{"name": "home", **said}, {"name": "shop", **said}],
        }
    )  # fmt: skip
    sim = Simulator(config)
    assert sim.params.demand_scale.eq(1).all()
    assert sim.params.generation_scale.eq(1).all()
    assert [(p["annual_demand_kwh"], p["solar_kwp"]) for p in describe(sim)["prosumers"]] == [(None, None)] * 2


def test_a_connection_carries_the_peaks_of_a_file_unless_its_limit_is_said(tmp_path: Path, month: list[str]):
    path = str(_write(tmp_path / "load.csv", month))  # up to 671 and 671.25 kW
    agents = [{"name": "home", "demand_scale": [0.5, 2]}, {"name": "shop"}]
    data = {"profiles": {"source": "csv", "path": path, "hold_out": False}, "step_minutes": 60}
    sim = Simulator(GridConfig.model_validate({**data, "prosumers": agents}), num_grids=3)
    assert sim.params.trade_kw.tolist() == [[1342.0], [672.0]]
    assert [p["trade_kw"] for p in describe(sim)["prosumers"]] == [1342.0, 672.0]
    agents[1]["trade_kw"] = 5.0
    sim = Simulator(GridConfig.model_validate({**data, "prosumers": agents}), num_grids=3)
    assert sim.params.trade_kw.tolist() == [[1342.0], [5.0]]


def test_order_of_agents_blank_lines_and_further_columns(tmp_path: Path, month: list[str]):
    lines = [month[0] + ",note"] + [line + ",x" for line in month[1:]]
    by_agent = [lines[0], *sorted(lines[1:], key=lambda line: line.split(",")[1]), "", ""]
    profiles = _read(tmp_path, by_agent, agents=["shop", "home"])
    assert profiles.agent_names == ("shop", "home")
    assert profiles.demand[0, 0] == 0.25


def test_data_are_cut_to_whole_days(tmp_path: Path):
    profiles = _read(tmp_path, _lines(datetime(2024, 1, 7, 15), 30))
    assert profiles.start == np.datetime64("2024-01-08T00:00")
    assert profiles.num_steps == 29 * 24
    assert profiles.demand[0, 0] == 9


def test_short_data_need_to_be_asked_for(tmp_path: Path):
    lines = _lines(datetime(2024, 1, 8), 10)
    with pytest.raises(ProfileError, match=r"load.csv: 10 whole days.*at least 28 days"):
        _read(tmp_path, lines)
    profiles = _read(tmp_path, lines, split="all")
    assert set(profiles.demand_pool) == {"all"}
    assert not profiles.block.any()
    with pytest.raises(ProfileError, match=r"no whole day"):
        _read(tmp_path, _lines(datetime(2024, 1, 8, 1), 1), split="all")


# ---- Clock -----------------------------------------------------------------------------------------------


def _on_the_clock_of_berlin(first: datetime, days: int, stamp: Callable[[datetime], str]) -> list[str]:
    """The same rows with stamps of Berlin's clock; `first` is in UTC."""
    return _lines(
        first.replace(tzinfo=UTC),
        days,
        agents=("home",),
        stamp=lambda moment: stamp(moment.astimezone(BERLIN)),
    )


@pytest.mark.parametrize("month_of_change", [3, 10])
@pytest.mark.parametrize("offset", [True, False])
def test_both_changes_of_the_clock(tmp_path: Path, month_of_change: int, offset: bool):
    first = datetime(2024, month_of_change, 10) - timedelta(hours=2 if month_of_change == 10 else 1)  # local midnight
    lines = _on_the_clock_of_berlin(
        first, 28, lambda moment: moment.isoformat() if offset else moment.strftime("%Y-%m-%d %H:%M")
    )
    profiles = _read(tmp_path, lines, time_zone="Europe/Berlin", split="all")
    steps = profiles.demand[0]
    np.testing.assert_array_equal(np.diff(steps), 1.0)
    # standard time is UTC+1 all year: in October the data begin at 23 h standard time, whose hour is left out
    assert profiles.start == np.datetime64(f"2024-{month_of_change:02}-10T00:00")
    assert steps[0] == (1 if month_of_change == 10 else 0)


def test_stamps_with_an_offset_need_a_clock_for_tariffs_and_days(tmp_path: Path):
    lines = _on_the_clock_of_berlin(datetime(2024, 6, 1, 22), 28, lambda moment: moment.isoformat())
    with pytest.raises(ProfileError, match=r"value '2024-06-02T00:00:00\+02:00'.*set time_zone to the place's zone"):
        _read(tmp_path, lines)
    assert _read(tmp_path, lines, time_zone="UTC", split="all").start == np.datetime64("2024-06-02T00:00")
    file = tmp_path / "load.csv"
    fields = {"prosumers": [{"name": "home"}], "step_minutes": 60}
    fields["profiles"] = {"source": "csv", "path": str(file), "hold_out": False}
    with pytest.raises(ProfileError, match="set time_zone"):
        load_profiles(GridConfig.model_validate(fields))
    fields["profiles"]["time_zone"] = "Europe/Berlin"  # type: ignore[index]
    assert load_profiles(GridConfig.model_validate(fields)).profiles.num_agents == 1


def test_stamps_that_ignore_summer_time_are_explained(tmp_path: Path):
    spring = _lines(datetime(2024, 3, 20), 28, agents=("home",))
    with pytest.raises(
        ProfileError, match=r"row 268, column timestamp, value '2024-03-31T02:00'.*jumps over.*Etc/GMT-1"
    ):
        _read(tmp_path, spring, time_zone="Europe/Berlin")
    assert _read(tmp_path, spring, time_zone="Etc/GMT-1").num_steps == 28 * 24
    autumn = _lines(datetime(2024, 10, 20), 28, agents=("home",))
    with pytest.raises(ProfileError, match=r"row 173.*120 min after the row before.*change of the clock"):
        _read(tmp_path, autumn, time_zone="Europe/Berlin")


def test_an_hour_that_the_clock_shows_twice_needs_the_zone(tmp_path: Path):
    lines = _on_the_clock_of_berlin(datetime(2024, 10, 19, 22), 28, lambda moment: moment.strftime("%Y-%m-%dT%H:%M"))
    with pytest.raises(ProfileError, match=r"value '2024-10-27T02:00'.*has this moment already.*shows one hour twice"):
        _read(tmp_path, lines, time_zone="UTC")


def test_unknown_zone(tmp_path: Path, month: list[str]):
    with pytest.raises(ProfileError, match=r"time_zone = 'Europe/Bonn'.*IANA"):
        _read(tmp_path, month, time_zone="Europe/Bonn")


# ---- Faults ----------------------------------------------------------------------------------------------


def _edit(lines: list[str], row: int, column: int, text: str) -> list[str]:
    """Replace a field; rows count from 1, the header."""
    fields = lines[row - 1].split(",")
    fields[column] = text
    return [*lines[: row - 1], ",".join(fields), *lines[row:]]


@pytest.mark.parametrize(
    ("row", "column", "text", "told"),
    [
        (10, 2, "", r"row 10, column demand_kw, value '': is empty; expected kW"),
        (10, 2, "nan", r"row 10, column demand_kw, value 'nan': is not a finite number"),
        (11, 3, "inf", r"row 11, column generation_kw, value 'inf'"),
        (11, 3, "1.5 kW", r"row 11, column generation_kw, value '1.5 kW': is not a finite number"),
        (12, 2, "-0.5", r"row 12, column demand_kw, value '-0.5': is negative.*Take a net value apart"),
        (12, 3, "-0.5", r"row 12, column generation_kw, value '-0.5': is negative"),
        (13, 2, "4800", r"row 13, column demand_kw, value '4800': above 2,000 kW: is the column in W"),
        (14, 0, "8.1.2024 06:00", r"row 14, column timestamp, value '8.1.2024 06:00': not an ISO 8601 stamp"),
        (14, 0, "2024-01-08T06:00:30", r"row 14.*has seconds"),
        (14, 0, "2024-01-08T06:20", r"row 14, column timestamp.*not on the grid of 60 min"),
        (14, 0, "2024-01-08T05:00", r"row 14, column timestamp.*agent 'home' has this moment already"),
        (14, 0, "2024-01-07T06:00", r"row 14, column timestamp.*earlier than the row before it.*sort"),
        (14, 1, "hom", r"row 14, column agent, value 'hom': unknown agent.*did you mean 'home'"),
        (15, 1, " ", r"row 15, column agent, value ' ': is empty"),
        (16, 2, "1.5,7", r"row 16: 5 fields, but the header names 4 columns.*decimal comma"),
    ],
)  # fmt: skip
def test_a_faulty_field_is_named(tmp_path: Path, month: list[str], row: int, column: int, text: str, told: str):
    with pytest.raises(ProfileError, match=r"load.csv, " + told):
        _read(tmp_path, _edit(month, row, column, text), agents=["home", "shop"])


def test_gaps_and_unequal_spans(tmp_path: Path, month: list[str]):
    with pytest.raises(ProfileError, match=r"row 40, column timestamp.*'shop': 120 min after.*gap of 1 rows"):
        _read(tmp_path, month[:38] + month[39:])
    with pytest.raises(
        ProfileError, match=r"row 1344.*agent 'home' has data from 2024-01-08 00:00 to 2024-02-04 23:00"
    ):
        _read(tmp_path, month[:-1])


def test_another_step_than_asked_for(tmp_path: Path, month: list[str]):
    with pytest.raises(ProfileError, match=r"row 4.*a row every 60 min, but step_minutes = 15; set step_minutes = 60"):
        _read(tmp_path, month, step_minutes=15)
    with pytest.raises(ProfileError, match=r"divisor of 1440"):
        _read(tmp_path, month, step_minutes=7)


def test_megawatts_are_noticed(tmp_path: Path, month: list[str]):
    lines = [month[0]]
    for line in month[1:]:
        stamp, agent, demand, generation = line.split(",")
        lines.append(f"{stamp},{agent},{float(demand) * 1e-6},{generation}")
    with pytest.raises(ProfileError, match=r"column demand_kw.*highest value of agent 'home'.*in MW"):
        _read(tmp_path, lines)


def test_agents_are_compared_with_the_file(tmp_path: Path, month: list[str]):
    with pytest.raises(
        ProfileError, match=r"column agent: no row for agent 'Shop'; the file has home, shop; did you mean"
    ):
        _read(tmp_path, month, agents=["home", "Shop"])
    with pytest.raises(ProfileError, match=r"row 3, column agent, value 'shop': unknown agent.*remove its rows"):
        _read(tmp_path, month, agents=["home"])


def test_agents_may_be_called_by_their_ids(tmp_path: Path):
    """As everything else calls them; in the scenario's order, wherever the rows stand in the file."""
    ids = _lines(datetime(2024, 1, 8), 28, agents=("agent_1", "agent_0"))
    profiles = _read(tmp_path, ids, agents=["home", "shop"])
    assert profiles.agent_names == ("home", "shop")
    assert profiles.demand[:, 0].tolist() == [0.25, 0.0]
    named_so = _read(tmp_path, ids, agents=["agent_1", "agent_0"])
    assert named_so.demand[:, 0].tolist() == [0.0, 0.25], "names go before ids"
    with pytest.raises(ProfileError, match=r"no row for agent 'agent_2'; the file has agent_1, agent_0$"):
        _read(tmp_path, ids, agents=["home", "shop", "pub"])
    with pytest.raises(ProfileError, match="no row for agent 'home'; the file has agent_1, shop"):
        _read(tmp_path, _lines(datetime(2024, 1, 8), 28, agents=("agent_1", "shop")), agents=["home", "shop"])


def test_what_is_said_of_a_short_file_helps(tmp_path: Path):
    path = _write(tmp_path / "load.csv", _lines(datetime(2024, 1, 8), 10))
    fields = {"source": "csv", "path": str(path)}
    prosumers = [{"name": "home"}, {"name": "shop"}]
    with pytest.raises(ProfileError, match=r"10 whole days.*profiles\.hold_out = false.*episode_days to at most 8$"):
        load_profiles(GridConfig.model_validate({"prosumers": prosumers, "step_minutes": 60, "profiles": fields}))
    data = {"prosumers": prosumers, "step_minutes": 60, "profiles": fields | {"hold_out": False}, "episode_days": 8}
    short = GridConfig.model_validate(data)
    Simulator(short).reset()
    with pytest.raises(ProfileError, match=r"does not fit into the data of.*set episode_days to at most 8$"):
        Simulator(short.model_copy(update={"episode_days": 8.5}))


def test_files_that_are_no_such_csv(tmp_path: Path, month: list[str]):
    with pytest.raises(ProfileError, match=r"none.csv: cannot be read \(No such file"):
        csv_profiles(tmp_path / "none.csv")
    with pytest.raises(ProfileError, match=r"row 1: column demand_kw is missing.*called 'demand'\? Rename it"):
        _read(tmp_path, [month[0].replace("demand_kw", "demand"), *month[1:]])
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        with pytest.raises(ProfileError, match=rf"row 1: fields are separated by {name}; separate them by commas$"):
            _read(tmp_path, [line.replace(",", separator) for line in month])
    with pytest.raises(ProfileError, match=r"no rows below the header"):
        _read(tmp_path, [HEADER])
    (tmp_path / "load.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(ProfileError, match=r"UTF-8"):
        csv_profiles(tmp_path / "load.xlsx")
    (tmp_path / "bom.csv").write_text("\n".join(month), encoding="utf-8-sig")
    assert csv_profiles(tmp_path / "bom.csv", step_minutes=60).num_agents == 2


# ---- Prices ----------------------------------------------------------------------------------------------


def _price_lines(days: int, step_minutes: int = 60, start: datetime = datetime(2024, 1, 8)) -> list[str]:
    moments = [start + step * timedelta(minutes=step_minutes) for step in range(days * 1440 // step_minutes)]
    rows = [f"{moment.isoformat()},{0.2 + 0.001 * moment.hour},{0.08}" for moment in moments]
    return ["timestamp,import_eur_per_kwh,export_eur_per_kwh", *rows]


def test_hourly_prices_hold_over_shorter_steps(tmp_path: Path):
    load = _lines(datetime(2024, 1, 8), 28, step_minutes=30)
    prices = _write(tmp_path / "price.csv", _price_lines(31, start=datetime(2024, 1, 7)))
    profiles = with_prices(_read(tmp_path, load, step_minutes=30), prices)
    assert profiles.import_price is not None
    assert profiles.export_price is not None
    hour = np.arange(28 * 48) // 2 % 24
    np.testing.assert_allclose(profiles.import_price, 0.2 + 0.001 * hour)
    np.testing.assert_allclose(profiles.export_price, 0.08)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda lines: lines[:-30], r"row 643, column timestamp.*prices cover .* to 2024-02-03 18:00"),
        (lambda lines: lines[:1] + lines[5:], r"row 2, column timestamp.*prices cover 2024-01-08 04:00"),
        (lambda lines: _edit(lines, 9, 2, "0.5"), r"row 9, column export_eur_per_kwh, value '0.5': above"),
        (lambda lines: _edit(lines, 9, 1, "95.2"), r"row 9, column import_eur_per_kwh.*EUR/MWh"),
        (lambda lines: _edit(lines, 9, 1, "x"), r"row 9, column import_eur_per_kwh, value 'x'"),
        (lambda lines: lines[:20] + lines[21:], r"row 21, column timestamp.*the price file: 120 min after"),
        (lambda lines: ["time" + lines[0][9:], *lines[1:]], r"column timestamp is missing"),
    ],
)  # fmt: skip
def test_faulty_prices_are_named(tmp_path: Path, month: list[str], edit, told: str):
    prices = _write(tmp_path / "price.csv", edit(_price_lines(28)))
    with pytest.raises(ProfileError, match=r"price.csv, .*" + told):
        with_prices(_read(tmp_path, month), prices)


def test_prices_of_a_file_replace_the_tariff_whatever_the_load_comes_from(tmp_path: Path):
    own = GridConfig.load("community-5")
    start = load_profiles(own).profiles.start.astype(datetime)
    path = _write(tmp_path / "price.csv", _price_lines(366, start=start))
    config = GridConfig.load("community-5", **{"profiles.price_path": str(path)})
    sim = Simulator(config, 3, seed=2, stagger=True)
    state, _ = sim.reset()
    hour = state.row // 4 % 24
    torch.testing.assert_close(state.import_eur_per_kwh, 0.2 + 0.001 * hour)
    _write(path, _price_lines(30, start=start))
    with pytest.raises(ProfileError, match=r"price\.csv, .*prices cover"):
        Simulator(config)


def test_a_load_file_that_nobody_reads_is_told():
    with pytest.raises(ConfigError, match=r"path = load\.csv: synthetic data have no file; set source = csv"):
        GridConfig.load("community-5", **{"profiles.path": "load.csv"})


def test_fifty_thousand_rows_take_a_second(tmp_path: Path):
    lines = _lines(datetime(2023, 1, 1), 26 * 7, agents=tuple("abc"), step_minutes=15, scale=1e-3)
    path = _write(tmp_path / "half_year.csv", lines)
    begin = time.process_time()
    profiles = csv_profiles(path)
    assert profiles.demand.shape == (3, 26 * 672)
    assert time.process_time() - begin < 3.0  # 0.3 s where nothing else runs
