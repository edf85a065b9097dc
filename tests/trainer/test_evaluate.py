"""The evaluation end to end on tiny episodes: fairness, cache, command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from smartgrid_core.config import GridConfig
from smartgrid_core.controllers import SelfConsumptionController
from smartgrid_core.registry import ConfigError
from smartgrid_core.simulator import Simulator
from tests.smartgrid_core.communities import one_thread  # noqa: F401 (a fixture)
from trainer import evaluation_cache
from trainer.evaluate import baseline_names, evaluate
from trainer.evaluate_cli import main
from trainer.policy import load_policy
from trainer.runs import find_checkpoint, shipped_policies
from trainer.scoreboard import Scoreboard

pytestmark = pytest.mark.usefixtures("one_thread")

SEEDS = (1000, 1001)
SCENARIO = """base = "community-5"
name = "tiny"
episode_days = 1
[forecast]
window_edges_h = [1]
"""
TINY = {"episode_days": 1, "forecast.window_edges_h": [1.0]}  # short look-aheads are quick to tabulate


class Policy(SelfConsumptionController):
    """Stands in for a trained policy."""

    name = "ippo (test)"
    kind = "policy"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evaluation_cache, "folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def config() -> GridConfig:
    return GridConfig.load("community-5", **TINY)


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


def test_all_controllers_meet_the_same_episodes(config: GridConfig, cache: Path) -> None:
    board = evaluate(config, [Policy()], seeds=SEEDS, mpc_episodes=1)
    names = {row.name for row in board.rows}
    assert names == {"ippo (test)", *baseline_names(config, "all")}
    assert board.row("grid_only").score == 0.0
    assert board.row("idle").score == pytest.approx(0.0, abs=1e-6)
    assert all(row.score is not None and row.score <= 1 + 1e-3 for row in board.rows)
    policy, rule = board.row("ippo (test)"), board.row("self-consumption")
    assert (policy.score, policy.cost_eur) == (rule.score, rule.cost_eur)
    assert (policy.kind, policy.forecast, rule.forecast) == ("policy", "noisy 20 %", None)
    assert [board.row(f"mpc-{kind}").episodes for kind in ("persistence", "noisy", "perfect")] == [1, 1, 1]
    best = max(row.score or 0.0 for row in board.rows)
    assert board.row("optimum").score == pytest.approx(best, abs=1e-3), "which plans without losses, as foresight does"
    assert best < 1
    assert policy.kpis["gini_benefit"] is not None
    # A second run reads every baseline from the cache, and the file of one alone is written anew when it is broken.
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(kept) == len(names) - 1
    broken = next(path for path in kept if path.name.startswith("idle"))
    broken.write_bytes(b"not an archive")
    again = evaluate(config, seeds=SEEDS, mpc_episodes=1)
    for row in again.rows:
        if row.name != "idle":
            assert row == board.row(row.name)
    changed = {path for path, time in kept.items() if path.stat().st_mtime_ns != time}
    assert changed == {broken}


def test_cache_is_keyed_by_all_that_matters(config: GridConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulator(config, 2, split="test")
    dearer = Simulator(GridConfig.load("community-5", **TINY, **{"tariff.import_eur_per_kwh": 0.26}), 2, split="test")
    described = Simulator(config.model_copy(update={"description": "other words"}), 2, split="test")
    path = evaluation_cache.path_for(sim, "idle", SEEDS)
    assert path == evaluation_cache.path_for(described, "idle", SEEDS)
    others = [
        evaluation_cache.path_for(dearer, "idle", SEEDS),
        evaluation_cache.path_for(sim, "random", SEEDS),
        evaluation_cache.path_for(sim, "idle", SEEDS[:1]),
    ]
    monkeypatch.setattr(evaluation_cache, "source_hash", lambda: "other physics")
    others.append(evaluation_cache.path_for(sim, "idle", SEEDS))
    monkeypatch.setattr(evaluation_cache, "source_hash", evaluation_cache.source_hash)
    monkeypatch.setattr(evaluation_cache, "data_hash", lambda _: "other data")
    others.append(evaluation_cache.path_for(sim, "idle", SEEDS))
    assert len({path, *others}) == 6


def test_cache_that_cannot_be_written_costs_a_warning(
    config: GridConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(evaluation_cache, "folder", lambda: tmp_path / "file")
    with pytest.warns(UserWarning, match="are not kept"):
        assert evaluate(config, against="grid_only", seeds=SEEDS[:1]).row("grid_only").score == 0.0


def test_against_chooses_rows_and_names_mistakes(config: GridConfig) -> None:
    assert baseline_names(config, None) == baseline_names(config, "none") == []
    assert baseline_names(config, ("optimum", "rules"))[-2:] == ["time-of-use", "optimum"]
    assert baseline_names(config, "mpc, idle,idle") == ["idle", "mpc-persistence", "mpc-noisy", "mpc-perfect"]
    blind = GridConfig.load("community-5", **{"forecast.kind": "none"})
    assert baseline_names(blind, "mpc") == ["mpc-persistence", "mpc-perfect"]
    with pytest.raises(ConfigError, match=r"against = 'optimun': did you mean 'optimum'\?"):
        baseline_names(config, "rules,optimun")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": ()}, "at least one test episode"),
        ({"seeds": (3, 3)}, "seed 3 is listed twice"),
        ({"mpc_episodes": 0}, "mpc_episodes = 0"),
        ({"against": None}, "nothing to evaluate"),
    ],
)
def test_arguments_that_cannot_be(config: GridConfig, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        evaluate(config, **arguments)  # type: ignore[arg-type]


def test_repeated_names_are_numbered(config: GridConfig) -> None:
    board = evaluate(config, [Policy(), Policy()], against="none", seeds=SEEDS, cache=False)
    assert {row.name for row in board.rows} == {"ippo (test)", "ippo (test) (2)"}
    assert board.row("ippo (test)").score == board.row("ippo (test) (2)").score


def test_command_line_writes_what_it_is_asked_for(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    files = ["--json", str(out / "board.json"), "--csv", str(out / "board.csv"), "--plots", str(out / "plots")]
    asked = ["--scenario", scenario, "--against", "rules,optimum", "--episodes", "2", "--device", "cpu"]
    assert main([*asked, *files]) == 0
    board = Scoreboard.from_dict(json.loads((out / "board.json").read_text(encoding="utf-8")))
    assert (board.scenario, board.episodes, board.seeds) == ("tiny", 2, SEEDS)
    assert len(list(csv.DictReader((out / "board.csv").open(encoding="utf-8")))) == len(board.rows) == 6
    assert {path.name for path in (out / "plots").iterdir()} == {"scoreboard.png", "day-time-of-use.png"}
    assert {path.name for path in out.iterdir()} == {"board.json", "board.csv", "plots"}
    assert "tiny · 2 test episodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "comunity-5"], "did you mean 'community-5'"),
        (["--against", "rulez"], "did you mean 'rules'"),
        (["--against", "none"], "nothing to evaluate"),
        (["--checkpoint", "nowhere"], "no checkpoint at 'nowhere'"),
        (["--episodes", "none"], "'none' is not a whole number"),
        (["--json", "."], "is a folder"),
        (["--frobnicate"], "--frobnicate needs a value"),
        (["--chekpoint", "runs/a"], "did you mean --checkpoint?"),
        (["--scenario", "nope"], "unknown scenario 'nope': known are"),
    ],
)
def test_mistakes_are_said_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err


def test_results_that_could_not_be_written_are_refused_at_once(
    scenario: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_cache, "load", lambda path: pytest.fail("a baseline was begun"))
    for option in ("--json", "--csv"):
        assert main(["--scenario", scenario, option, "/dev/null/board"]) == 2
        assert f"{option} /dev/null: /dev/null is no folder; give another name" in capsys.readouterr().err


def test_a_policy_that_does_not_fit_is_refused_before_baselines_are_run(
    config: GridConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_cache, "load", lambda path: pytest.fail("a baseline was begun"))
    with pytest.raises(ConfigError, match="rural-lv"):
        evaluate(config, [load_policy("rural-lv")], seeds=SEEDS)


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--checkpoint" in capsys.readouterr().out


def test_a_shipped_policy_is_found_by_name_and_fits_the_scenarios_of_its_shape() -> None:
    """Every shipped policy loads, says how it was made, and acts; where a folder has its name, the folder wins."""

    assert "community-5" in shipped_policies()
    for name, folder in shipped_policies().items():
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
        policy = load_policy(name)
        assert policy.about["scenario"] == name
        assert "python -m trainer train" in policy.about["made_by"]
        sim = Simulator(name, num_grids=2)
        state, obs = sim.reset()
        policy.start(sim, state)
        assert policy.act(state, obs).shape == (2, sim.num_agents, sim.action_dim)
    with pytest.raises(ConfigError, match="community-5"):
        find_checkpoint("no-such-run")


def test_a_community_too_large_to_plan_is_told_by_its_costs(tmp_path: Path) -> None:
    town = GridConfig.load("community-5", **TINY, prosumers=[{"name": "home", "count": 65}])
    board = evaluate(town, [Policy()], seeds=SEEDS, cache=False)
    assert board.optimum_eur is None
    assert [row.name for row in board.rows] == sorted((r.name for r in board.rows), key=lambda n: board.row(n).cost_eur)
    assert {row.name for row in board.rows} == {"ippo (test)", *baseline_names(town, "rules")}
    assert all(row.score is None for row in board.rows)
    assert Scoreboard.from_dict(json.loads(board.to_json())) == board
    with pytest.raises(ConfigError, match="65 prosumers, planning takes at most 64"):
        evaluate(town, seeds=SEEDS, against="optimum")
