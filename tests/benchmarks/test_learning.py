"""The learning benchmark trains, scores, reads again what it has, and draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import learning
from benchmarks.__main__ import main
from benchmarks.decisions import times_a_plan
from benchmarks.learning_plot import plot_learning
from smartgrid_core import GridConfig
from smartgrid_core.errors import ConfigError
from trainer.config import load_train_config

TINY = ("--episode_days=1", "--evaluation.seeds=[1, 2]", "--num_grids=4", "--horizon=4", "--compile=false")


@pytest.mark.slow
def test_what_is_trained_is_scored_kept_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> list[dict[str, Any]]:
        return learning.run(
            ["shac"], ["community-5"], ["no-links"], seeds=2, jobs=2, minutes=0.02, out=tmp_path, options=TINY
        )

    (case,) = run()
    assert [r["seed"] for r in case["runs"]] == [0, 1]
    assert case["summary"]["score"]["seeds"] == 2
    assert case["summary"]["transferred_kwh"]["max"] == 0  # nobody is linked
    assert {"optimum", "time-of-use", "mpc-noisy"} <= {row["name"] for row in case["baselines"]}
    assert "--links.topology" in case["command"]
    assert case["settings"]["train"]["num_grids"] == 4
    assert case["settings"]["scenario"]["links"]["topology"] == "none"
    assert case["trained_on"]
    assert times_a_plan(case) == pytest.approx(4 * case["decision"]["ratio"])  # every quarter of an hour
    assert "shac, 2 seeds" in capsys.readouterr().out

    monkeypatch.setattr(learning.subprocess, "run", lambda *_: pytest.fail("trained again"))
    (again,) = run()
    decisions = [record.pop("decision") for record in (case, again)]
    assert all(d["ratio"] == d["mpc_us"] / d["policy_us"] > 0 for d in decisions)
    assert again == case
    picture = plot_learning([case, case | {"variant": "default"}], tmp_path / "learning.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_of_other_settings_are_refused(tmp_path: Path) -> None:
    """A preset that was changed since would be read as the present one's score."""
    grid, train = GridConfig.load("community-5"), load_train_config("cpu", {"algorithm": "shac"})
    folder = tmp_path / "seed-3"
    folder.mkdir()
    stored = {"train": train.model_dump(mode="json") | {"seed": 3}, "scenario": grid.model_dump(mode="json")}
    (folder / "config.json").write_text(json.dumps(stored))
    learning._same(tmp_path, train, grid)
    cheaper = GridConfig.load("community-5", **{"tariff.import_eur_per_kwh": 0.1})
    with pytest.raises(ConfigError, match=r"\(gamma, tariff\): remove"):
        learning._same(tmp_path, train.model_copy(update={"gamma": 0.9}), cheaper)


def test_figures_of_former_presets_are_told() -> None:
    """Results are kept case by case; what a case was trained with is in it, so that a later preset cannot claim it."""
    of = {"scenario": "community-5", "variant": "cost-only", "algorithm": "shac", "minutes": 4.0}
    train, grid = learning.settings_now(*of.values(), "cpu")  # type: ignore[arg-type]
    stored = {"train": train.model_dump(mode="json") | {"seed": 7}, "scenario": grid.model_dump(mode="json")}
    assert learning.changed_since(of | {"settings": stored}) == []
    stored["train"]["gamma"] = 0.9
    stored["scenario"]["rewards"]["cost"] = 3.0
    assert learning.changed_since(of | {"settings": stored}) == ["gamma", "rewards"]
    stored["train"]["shac"]["warmth"] = 1.0
    stored["train"]["qmix"]["menu"] = 31
    told = learning.changed_since(of | {"settings": stored})
    assert told == ["gamma", "rewards", "shac.warmth"], "a field that is no more is told, another learner's is not"


def test_results_grow_case_by_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is kept stands beside the controllers as they are now."""
    rules = [{"name": "time-of-use", "score": 0.3}]
    monkeypatch.setattr(learning, "baselines", lambda scenario: rules if scenario == "its own" else [])

    def case(algorithm: str, variant: str, score: float) -> dict[str, Any]:
        of = {"scenario": "rural-lv", "variant": variant, "algorithm": algorithm, "minutes": 5.0}
        return of | {"score": score, "settings": {"scenario": "its own"}, "baselines": rules}

    path = tmp_path / "learning.json"
    assert learning.merged(path, [case("ippo", "default", 1)]) == [case("ippo", "default", 1)]
    earlier = [case("ippo", "default", 1), case("shac", "cost-only", 2) | {"baselines": ["of the time"]}]
    path.write_text(json.dumps({"machine": {"cpu": "another"}, "cases": earlier}))
    again = learning.merged(path, [case("ippo", "default", 3), case("mappo", "default", 4)])
    kept = case("shac", "cost-only", 2) | {"trained_on": "another"}
    assert again == [case("ippo", "default", 3), case("mappo", "default", 4), kept]


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learning", "--algorithms", "sac"]) == 2
    assert "known are shac, ippo, mappo, qmix" in capsys.readouterr().err
    assert main(["learning", "--variants", "free-lunch"]) == 2
    assert "no-links" in capsys.readouterr().err
