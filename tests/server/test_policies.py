"""Policies by name: what is found, what it is said to fit, and what is never read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from server.errors import ApiError
from server.policies import Policies, misfit
from server.scenarios import Scenarios
from server.training.runs import Runs
from smartgrid_core import GridConfig
from smartgrid_core.errors import ConfigError
from tests.server.serving import write_scenario
from trainer.runs import shipped_policies


def make_run(runs: Path, name: str, checkpoint: str = "best") -> Path:
    folder = runs / name / "checkpoints" / checkpoint
    shutil.copytree(shipped_policies()["community-5"], folder)
    return folder


def test_runs_are_found_with_their_checkpoints(folder: Path) -> None:
    make_run(folder, "mine")
    make_run(folder, "mine", "last")
    make_run(folder, "mine", "0010")
    (folder / "empty").mkdir()
    found = {entry.name: entry for entry in Policies(folder).list()}
    assert found["mine"].checkpoints == ["best", "last", "0010"]
    assert (found["mine"].source, found["mine"].num_agents, found["mine"].scenario) == ("run", 5, "community-5")
    assert "empty" not in found
    assert {"community-5", "random", "mpc-noisy", "optimum"} <= set(found)
    assert Policies(folder).load("mine@last").kind == "policy"


def test_names_are_no_paths(folder: Path) -> None:
    make_run(folder / "elsewhere", "secret")
    (folder / "runs").mkdir()
    for name in ("../elsewhere/secret", str(folder / "elsewhere" / "secret"), "mine@../..", "mine", ".."):
        with pytest.raises(ApiError) as error:
            Policies(folder / "runs").load(name)
        assert error.value.status == 404


def test_a_checkpoint_that_cannot_be_read_is_listed_with_the_reason(folder: Path) -> None:
    about = make_run(folder, "old") / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 1}))
    (make_run(folder, "broken") / "about.json").write_text("{")
    (make_run(folder, "cut") / "weights.safetensors").write_bytes(b"\x80\x04pickle")
    policies = Policies(folder)
    assert "checkpoint format 1" in (policies.entry("old").reason or "")
    assert "cannot be read" in (policies.entry("broken").reason or "")
    with pytest.raises(ApiError) as error:
        policies.load("cut")
    assert error.value.status == 422
    assert str(folder) not in error.value.message


def test_what_may_not_be_read_is_listed_with_the_reason_and_hides_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints of another user: those of one run, the last of another, and a whole run folder."""
    make_run(folder, "mine")
    closed = [make_run(folder, "theirs"), make_run(folder, "half"), make_run(folder, "half", "last")]
    (folder / "shut" / "checkpoints").mkdir(parents=True)
    denied = {closed[0], closed[2], folder / "shut"}
    stat = Path.stat

    def refused(self: Path, **options: Any) -> Any:
        if denied & set(self.parents):
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    found = {entry.name: entry for entry in Policies(folder).list()}
    assert found["mine"].reason is None
    assert "cannot be read: [Errno 13] Permission denied" in (found["theirs"].reason or "")
    assert "cannot be read" in (found["shut"].reason or "")
    assert (found["half"].reason, found["half"].checkpoints) == (None, ["best"])
    (folder / "mine" / "config.json").write_text('{"train": {}, "scenario": {}}')
    (folder / "half" / "config.json").write_text('{"train": {}, "scenario": {}}')
    runs = {run.name: run.checkpoints for run in Runs(folder).list()}
    assert runs == {"mine": ["best"], "half": ["best"]}


def test_a_score_that_is_no_number_is_not_told(folder: Path) -> None:
    """Older versions wrote −∞ where a run ended before its first validation."""
    about = make_run(folder, "old") / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"validation_score": float("-inf")}))
    assert Policies(folder).entry("old").score is None


def test_the_operator_may_give_a_path(folder: Path) -> None:
    make_run(folder, "mine")
    assert Policies(folder / "none", str(folder / "mine")).default == "mine"
    assert Policies(folder, str(folder / "mine")).default == "mine"
    assert Policies(folder).default == "community-5"
    with pytest.raises(ConfigError, match="no checkpoint"):
        Policies(folder, str(folder / "nothing"))


def test_a_checkpoint_among_the_runs_that_is_no_listed_run_is_the_operators(folder: Path) -> None:
    """The folder of several seeds, names of another form, and a run that is called like a shipped policy."""
    make_run(folder / "many", "seed-3")
    make_run(folder / "many", "seed-4")
    (folder / "many" / "seeds.json").write_text('{"best": "seed-4"}')
    for name in ("my run", "a+b", "community-5", "x" * 130, "idle"):
        make_run(folder, name)
    for name, listed, source in (
        ("many", "many", "operator"), ("my run", "my-run", "operator"), ("x" * 130, "x" * 100, "operator"),
        ("idle", "idle-policy", "operator"), ("a+b", "a+b", "run"), ("community-5", "community-5", "run"),
    ):  # fmt: skip
        policies = Policies(folder, str(folder / name))
        entry = policies.entry(policies.default)
        assert (entry.name, entry.source, entry.reason) == (listed, source, None)
        assert policies.load(policies.default).kind == "policy"
    assert Policies(folder, str(folder / "many")).weights("many") == folder / "many" / "seed-4" / "checkpoints" / "best"


def test_what_fits_what(folder: Path) -> None:
    write_scenario(folder, "tiny")
    write_scenario(folder, "wide", agents=120, days=2, buses=10)
    scenarios, policies = Scenarios(folder), Policies(folder / "none")

    def reason(policy: str, scenario: str) -> str | None:
        return misfit(policies.entry(policy), scenarios.load(scenario), scenarios.interface(scenario))

    assert reason("community-5", "price-spike") is None
    assert "num_agents = 5; tiny has 3" in (reason("community-5", "tiny") or "")
    assert reason("mpc-perfect", "tiny") is None
    assert "at most 100 prosumers here, wide has 120" in (reason("mpc-perfect", "wide") or "")
    assert reason("self-consumption", "wide") is None


def test_a_saved_scenario_cannot_take_a_shipped_name_and_a_faulty_one_says_why(folder: Path) -> None:
    write_scenario(folder, "community-5")
    (folder / "faulty.toml").write_text("step_minutes = 7\n")
    scenarios = Scenarios(folder)
    assert scenarios.names()["community-5"] == "shipped"
    assert scenarios.load("community-5").num_agents == 5
    faulty = next(s for s in scenarios.summaries() if s["name"] == "faulty")
    assert "prosumers: required but missing" in faulty["fault"]
    assert str(folder) not in faulty["fault"]


def test_what_a_policy_must_fit_follows_a_change_of_a_base_and_of_a_feeder(folder: Path) -> None:
    write_scenario(folder, "tiny", agents=4)
    (folder / "child.toml").write_text('base = "tiny.toml"\n')
    feeder = "from_bus,to_bus,r_ohm,x_ohm,rating_a\n" + "".join(f"b{k},b{k + 1},0.1,0.1,100\n" for k in range(4))
    (folder / "feeder.csv").write_text(feeder)
    write_scenario(folder, "other", agents=4)
    text = (folder / "other.toml").read_text().replace("buses = 6", 'feeder = "feeder.csv"')
    near = '[links]\ntopology = "nearest:1"\n'
    (folder / "near.toml").write_text(text + near)
    scenarios = Scenarios(folder)
    assert scenarios.interface("child").num_agents == 4
    write_scenario(folder, "tiny", agents=5)
    assert scenarios.interface("child").num_agents == 5, "it is as its base is now"
    before = scenarios.interface("near")
    assert scenarios.interface("near") is before
    (folder / "feeder.csv").write_text(feeder + "b4,b5,0.1,0.1,100\n")
    assert scenarios.interface("near") is not before
    for days in range(1, 80):
        (folder / "child.toml").write_text(f'base = "tiny.toml"\nepisode_days = {days}\n')
        scenarios.interface("child")
    assert len(scenarios._interfaces) <= 64


def test_a_policy_whose_hold_is_no_multiple_of_a_step_does_not_fit(tmp_path: Path) -> None:
    policies = Policies(tmp_path)
    there = Scenarios(tmp_path).interface("community-5")
    for minutes, fits in ((15, True), (5, True), (30, True), (10, False), (6, False)):
        config = GridConfig.load("community-5", step_minutes=minutes)
        reason = misfit(policies.entry("community-5"), config, there)
        assert (reason is None) == fits, minutes
        if not fits:
            assert reason is not None
            assert f"0.25 h, community-5 has steps of {minutes} min" in reason
        assert policies.default_for(config, there).name == ("community-5" if fits else "time-of-use")


def test_who_names_no_policy_gets_one_that_fits(tmp_path: Path) -> None:
    policies, scenarios = Policies(tmp_path), Scenarios(tmp_path)
    chosen = {
        name: policies.default_for(scenarios.load(name), scenarios.interface(name)).name
        for name in ("community-5", "price-spike", "outage", "high-demand", "rural-lv", "suburb-40")
    }
    assert chosen == {
        "community-5": "community-5",
        "price-spike": "price-spike",
        "outage": "outage",
        "high-demand": "high-demand",
        "rural-lv": "rural-lv",
        "suburb-40": "suburb-40",
    }


def test_a_policy_does_not_fit_where_the_unit_of_its_powers_is_another(folder: Path) -> None:
    """`trade_kw` scales what is read and ordered: 78 kW taken for 8 lose a third of the score without a word."""
    about = make_run(folder, "drawn") / "about.json"
    (folder / "wide.toml").write_text('base = "community-5"\n[override]\n"prosumers.2.trade_kw" = 78\n')
    (folder / "tiny.toml").write_text('base = "community-5"\n[override]\n"prosumers.2.trade_kw" = [7, 9]\n')
    scenarios, policies = Scenarios(folder), Policies(folder)

    def reason(policy: str, scenario: str) -> str | None:
        return misfit(policies.entry(policy), scenarios.load(scenario), scenarios.interface(scenario))

    assert reason("community-5", "community-5") is None
    assert "with prosumers.2.trade_kw = 8, the unit of its powers; wide has 78" in (reason("community-5", "wide") or "")
    assert "tiny has 7 to 9" in (reason("drawn", "tiny") or "")
    trained = json.loads(about.read_text())
    about.write_text(json.dumps(trained | {"trade_limits_kw": [[6, 10]] * 5}))
    assert reason("drawn", "tiny") is None, "units within those it met"
    assert reason("drawn", "community-5") is None
    del trained["trade_limits_kw"]
    about.write_text(json.dumps(trained))
    assert reason("drawn", "wide") is None, "an older version did not say"
