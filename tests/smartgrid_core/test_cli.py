"""`python -m smartgrid_core`: scenarios, describe, validate."""

import json
import subprocess
import sys

import pytest

from smartgrid_core import GridConfig, list_scenarios
from smartgrid_core.__main__ import main

WITHOUT_EXTRAS = [name for name in list_scenarios() if GridConfig.load(name).profiles.source == "synthetic"]


def test_scenarios_lists_every_scenario(capsys):
    assert main(["scenarios"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in list_scenarios())


@pytest.mark.parametrize("name", WITHOUT_EXTRAS)
def test_describe(capsys, name):
    config = GridConfig.load(name)
    assert main(["describe", name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    sizes = facts["sizes"]
    assert sizes["agents"] == len(facts["prosumers"]) == config.num_agents
    assert sizes["action_entries"] == sizes["link_slots"] + 1 == len(facts["actions"])
    assert sizes["observation_entries"] == len(facts["observations"])
    assert sizes["episode_steps"] == config.episode_steps
    assert sizes["bytes_per_grid"] > 0
    assert facts["feeder"]["branches"] == facts["feeder"]["buses"] - 1 == config.network.buses - 1
    assert [event["kind"] for event in facts["events"]] == [event.kind for event in config.events]


def test_describe_tells_community_5_in_words(capsys):
    assert main(["describe", "community-5", "--observations"]) == 0
    printed = capsys.readouterr().out
    for word in ("workshop", "ring", "radial-15", "17:00", "0.45", "672", "net_forecast_16-24h", "stability"):
        assert word in printed


def test_prices_of_the_day_are_bands_without_gaps(capsys):
    main(["describe", "community-5", "--json"])
    bands = json.loads(capsys.readouterr().out)["tariff"]["day"]
    assert [band["hours"] for band in bands] == [[0, 7], [7, 17], [17, 21], [21, 22], [22, 24]]
    assert [band["import_eur_per_kwh"] for band in bands] == [0.12, 0.25, 0.45, 0.25, 0.12]


def test_validate_accepts_a_good_file(capsys, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('base = "community-5"\nepisode_days = 1\n')
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out.startswith("OK")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('base = "community-5"\nepisode_dayz = 1\n', ["episode_dayz", "did you mean 'episode_days'"]),
        ('base = "community-5"\nstep_minutes = 7\n', ["step_minutes = 7"]),
        ('base = "community-5"\n[links]\ntopology = [[0, 9]]\n', ["links.topology", "outside 0 … 4"]),
        ('base = "community-5"\n[network]\nfeeder = "nowhere.csv"\n', ["network.feeder = 'nowhere.csv'"]),
        ('base = "comunity-5"\n', ["did you mean 'community-5'"]),
        ("base = \n", ["not valid TOML"]),
        ('base = "community-5"\nepisode_days = 10\n', ["test block of 672 steps (7 days)", "at most 7"]),
    ],
)
def test_validate_names_the_fault(capsys, tmp_path, text, expected):
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    assert main(["validate", str(file)]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    for words in expected:
        assert words in printed.err


def test_as_a_command_there_is_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "smartgrid_core", "describe", "communty-5"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "did you mean 'community-5'" in done.stderr
    assert "Traceback" not in done.stderr
