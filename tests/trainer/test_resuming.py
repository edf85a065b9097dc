"""--resume goes on with what a run began with: options change what may change, and nothing else goes unsaid."""

from __future__ import annotations

import json
import math
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.train as train_module
from smartgrid_core import GridConfig, list_scenarios
from smartgrid_core.errors import ConfigError
from smartgrid_core.fused.build import compiler
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import CLI, SMALL, assert_same, community_5, lines, run
from tests.trainer.training_process import Unvalidated
from trainer import train_cli
from trainer.config import TrainConfig, load_train_config
from trainer.resuming import FREE, Settings, check, stored
from trainer.runs import RunFolder
from trainer.train import Training
from trainer.train_cli import main as train_main

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.fixture
def unvalidated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    monkeypatch.setattr(train_cli, "_announce", lambda *_: None)  # which asks for validation's simulator


def begun(folder: Path, *options: str) -> dict[str, Any]:
    """A run that the command began and ended; its config.json."""
    given = ["--scenario=high-solar", "--learning_rate=1e-3", "--gamma=0.95", "--iterations=2", *CLI]
    assert train_main([*given, *options, "--out", str(folder)]) == 0
    return json.loads((folder / "config.json").read_text())


# Bit for bit --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize(("algorithm", "shared"), [("ippo", False), ("mappo", False), ("qmix", True), ("shac", True)])
def test_resume_continues_bit_for_bit(tmp_path: Path, algorithm: str, shared: bool) -> None:
    fields: dict[str, Any] = {"scenario": community_5(), "algorithm": algorithm, "share_parameters": shared}
    whole = run(tmp_path / "whole", iterations=4, **fields)
    run(tmp_path / "parts", iterations=2, **fields)
    parts = run(tmp_path / "parts", resume=True, iterations=4, **fields)
    assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    assert torch.equal(whole.state.soc_kwh, parts.state.soc_kwh)
    assert [line["iteration"] for line in lines(tmp_path / "parts")] == [1, 2, 3, 4]


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize(
    "algorithm", ["ippo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mappo", "qmix", "shac"))]
)
def test_a_preset_resumes_bit_for_bit(tmp_path: Path, algorithm: str) -> None:
    """With the step compiled and the hold, horizon and minibatches it ships with."""
    fields = {"algorithm": algorithm, "num_grids": 8, "final_learning_rate": 1.0, "qmix.epsilon_end": 1.0}
    preset = load_train_config("cpu", fields | {"max_minutes": 60, "validations": 1})
    assert preset.compile

    def ended(folder: Path, iterations: int, resume: bool = False) -> Training:
        config = preset.model_copy(update={"iterations": iterations})
        made = Training(config, community_5(), folder, resume)
        made.run()
        return made

    whole = ended(tmp_path / "whole", 4)
    ended(tmp_path / "parts", 2)
    parts = ended(tmp_path / "parts", 4, resume=True)
    assert parts.tally.iteration == 4
    assert_same(whole.learner.state_dict(), parts.learner.state_dict())
    assert torch.equal(whole.state.soc_kwh, parts.state.soc_kwh)


@pytest.mark.usefixtures("unvalidated")
def test_resume_of_nothing_or_of_another_shape_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        run(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()
    run(tmp_path / "run", iterations=1)
    before = (tmp_path / "run/config.json").read_bytes()
    for field, value in (("num_grids", 8), ("algorithm", "shac")):
        with pytest.raises(ConfigError, match=field):
            run(tmp_path / "run", resume=True, **{field: value})
    assert (tmp_path / "run/config.json").read_bytes() == before


@pytest.mark.usefixtures("unvalidated")
def test_a_run_of_another_layout_is_refused_in_words(tmp_path: Path) -> None:
    """Before all weights of an agent were a row, optimisers kept moments layer by layer."""
    run(tmp_path / "run", iterations=1)
    for file in (tmp_path / "run").glob("checkpoints/*/training.pt"):
        saved = torch.load(file, weights_only=True)
        del saved["shape"]["optimiser"]
        torch.save(saved, file)
    with pytest.raises(ConfigError, match=r"optimiser = that of an older version, and this run has one row .*anew"):
        run(tmp_path / "run", resume=True, iterations=2)


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("fault", ["list", "stranger", "other batch", "other weights", "not a number"])
def test_a_training_state_that_loads_but_is_of_no_use_is_refused_with_a_way_on(
    tmp_path: Path, fault: str, kept: bool
) -> None:
    """Nothing is written, and what the message says to do works."""
    folder = tmp_path / "run"
    run(folder, iterations=2, validations=2)
    last = folder / "checkpoints/last"
    if not kept:
        shutil.rmtree(folder / "checkpoints/previous")
    saved = torch.load(last / "training.pt", weights_only=True)
    if fault == "list":
        saved = [saved]
    elif fault == "stranger":
        saved = {"model": torch.zeros(3), "step": 7}
    elif fault == "other batch":
        saved["shape"]["num_grids"] = 99
    elif fault == "other weights":
        saved["learner"]["actor"].popitem()
    else:
        saved["learner"]["actor"]["network.layers.0.weight"][0, 0, 0] = math.nan
    torch.save(saved, last / "training.pt")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name}
    way_on = "remove the folder .*checkpoints/last, and --resume goes on" if kept else "begin anew with another --out"
    with pytest.raises(ConfigError, match=f"checkpoints/last/training.pt .*{way_on}"):
        run(folder, resume=True, iterations=3)
    assert before == {path: path.read_bytes() for path in before}
    if kept:
        shutil.rmtree(last)
        assert run(folder, resume=True, iterations=3).tally.iteration == 3


@pytest.mark.usefixtures("unvalidated")
def test_a_longer_run_tells_what_its_length_sets_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"algorithm": "qmix", "final_learning_rate": 0.1, "learning_rate": 1e-3}
    fields["qmix"] = {"replay": 40, "batch": 16, "updates": 2, "epsilon_start": 0.8, "epsilon_end": 0.0}
    run(tmp_path / "run", iterations=2, **fields)
    run(tmp_path / "run", resume=True, iterations=10, **fields)
    said = " ".join(capsys.readouterr().out.split())
    assert "100 % of the run was done, 20 % is of its new length" in said
    assert "the step size from 0.0001 to 0.00082, ε from 0 to 0.4" in said


# With options -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unvalidated")
def test_options_lie_over_the_stored_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the default scenario nor the preset of an algorithm or device takes a field's place."""
    before = begun(tmp_path / "run")
    given = ["--iterations=3", "--learning_rate=5e-4", "--threads=1"]
    assert train_main(["--resume", *given, "--no-evaluate", "--out", str(tmp_path / "run")]) == 0
    after = json.loads((tmp_path / "run/config.json").read_text())
    assert after["scenario"] == before["scenario"]
    assert after["train"] == before["train"] | {"iterations": 3, "learning_rate": 5e-4, "threads": 1}
    assert [line["iteration"] for line in lines(tmp_path / "run")] == [1, 2, 3]
    said = " ".join(capsys.readouterr().out.split())
    assert "changed by --resume: learning_rate 0.001 → 0.0005" in said
    assert "gamma" not in said


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("--iterations=1", "2 of 1 iterations are done; give a larger --iterations"),
        ("--max_minutes=1e-4", "of 0.0001 minutes are used; give a larger --max_minutes"),
    ],
)
def test_a_run_with_nothing_left_to_do_says_so_and_keeps_its_settings(
    tmp_path: Path, limit: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "run", "--max_minutes=9")
    before, picture = ((tmp_path / "run" / name).read_bytes() for name in ("config.json", "learning.png"))
    capsys.readouterr()
    given = [limit, "--learning_rate=1e-4", "--no-evaluate", "--out", str(tmp_path / "run")]
    assert train_main(["--resume", *given]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing left to do: " in said
    assert words in said
    assert "wrote" not in said
    assert "resumed" not in said
    assert (tmp_path / "run/config.json").read_bytes() == before
    assert (tmp_path / "run/learning.png").read_bytes() == picture
    assert train_main(["--resume", "--iterations=3", *given[1:]]) == 0, "with a larger limit it goes on"
    assert [line["iteration"] for line in lines(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gamma=0.9"], "gamma = 0.95, now 0.9"),
        (["--hold_h=0.25"], "hold_h"),
        (["--seed=4"], "seed = 0, now 4"),
        (["--scenario=community-5", "--episode_days=1"], "scenario.name = 'high-solar', now 'community-5'"),
        (["--tariff.import_eur_per_kwh=0.9"], "scenario.tariff.import_eur_per_kwh"),
        (["--algorithm=mappo"], "algorithm = 'ippo', now 'mappo'"),
        (["--shac.adam_betas=[0.9, 0.99]"], "shac.adam_betas"),
        (["--qmix.replay=80"], "qmix.replay"),
        (["--qmix.mixing=8"], "qmix.mixing"),
        (["--validation_episodes=3"], "validation_episodes"),
    ],
)
def test_what_would_change_what_is_learned_is_refused(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "run")
    before = (tmp_path / "run/config.json").read_bytes()
    assert train_main(["--resume", "--iterations=4", *options, "--no-evaluate", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_another_scenario_is_named_and_not_spelt_out(tmp_path: Path) -> None:
    """rural-lv differs from community-5 in all of its prosumers: 3,000 characters of nested tables."""
    before, other = Settings(TrainConfig(), community_5()), Settings(TrainConfig(), GridConfig.load("rural-lv"))
    with pytest.raises(ConfigError, match=r"scenario\.name = 'community-5', now 'rural-lv'") as error:
        check(tmp_path, before, other)
    assert len(str(error.value)) < 400
    same_name = before._replace(scenario=other.scenario.model_copy(update={"name": "community-5"}))
    with pytest.raises(ConfigError, match=r"scenario\..* entries, now .* and \d+ more: what is learned") as error:
        check(tmp_path, before, same_name)
    assert len(str(error.value)) < 1000


def test_a_limit_that_is_said_and_one_that_follows_are_the_same(tmp_path: Path) -> None:
    """Runs stored 8 kW before `trade_kw` could be left out."""
    said = GridConfig.load("community-5", **{"prosumers.*.trade_kw": 8})
    check(tmp_path, Settings(TrainConfig(), said), Settings(TrainConfig(), GridConfig.load("community-5")))
    for other in ({"prosumers.*.trade_kw": 9}, {"prosumers.4.trade_kw": 8, "prosumers.4.solar.capacity_kwp": 18}):
        above = GridConfig.load("community-5", **{"prosumers.4.solar.capacity_kwp": 18} if len(other) > 1 else {})
        with pytest.raises(ConfigError, match=r"scenario\.prosumers\.\d\.trade_kw"):
            check(tmp_path, Settings(TrainConfig(), GridConfig.load("community-5", **other)),
                  Settings(TrainConfig(), above))  # fmt: skip


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("fields", [{"qmix": SMALL["qmix"] | {"replay": 80}}, {"qmix": SMALL["qmix"] | {"mixing": 8}}])
def test_another_memory_is_refused_before_anything_is_written(tmp_path: Path, fields: dict[str, Any]) -> None:
    run(tmp_path / "run", algorithm="qmix")
    before = (tmp_path / "run/config.json").read_bytes()
    with pytest.raises(ConfigError, match="qmix"):
        run(tmp_path / "run", resume=True, **({"algorithm": "qmix", "iterations": 5} | fields))
    assert (tmp_path / "run/config.json").read_bytes() == before


@pytest.mark.usefixtures("unvalidated")
def test_training_state_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run(tmp_path / "run")
    path, before = tmp_path / "run/checkpoints/last/training.pt", (tmp_path / "run/config.json").read_bytes()
    content = torch.load(path, weights_only=True)
    content["learner"]["actor"]["log_std"] = torch.zeros(7, 1)
    torch.save(content, path)
    with pytest.raises(ConfigError, match=r"training.pt is damaged.*log_std.*begin anew"):
        run(tmp_path / "run", resume=True, iterations=5)
    del content["obs"]
    torch.save(content, path)
    with pytest.raises(ConfigError, match="begin anew"):
        run(tmp_path / "run", resume=True, iterations=5)
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_a_longer_run_is_validated_and_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    fields = {"iterations": 4, "validations": 4, "keep_checkpoints": 9}
    run(tmp_path / "run", **fields)
    run(tmp_path / "run", resume=True, **(fields | {"iterations": 8}))
    validated = [line["iteration"] for line in lines(tmp_path / "run") if "validation_score" in line]
    assert validated == [1, 2, 3, 4, 6, 8]
    assert (tmp_path / "run/checkpoints/000006").is_dir()


def test_every_scenario_and_preset_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    for name in list_scenarios():
        folder, settings = RunFolder(tmp_path / name), Settings(TrainConfig(), GridConfig.load(name))
        folder.create(settings.plain(), resume=False)
        assert check(folder.path, stored(folder.path), settings) == []


def test_free_fields_are_fields() -> None:
    plain = TrainConfig().model_dump()
    for name in FREE:
        table, _, field = name.rpartition(".")
        assert field in (plain[table] if table else plain), name


def test_data_may_move_and_a_run_of_an_older_version_is_read(tmp_path: Path) -> None:
    before, after = (community(2, profiles={"source": "csv", "path": path}) for path in ("/a/load.csv", "/b/load.csv"))
    config = TrainConfig()
    assert check(tmp_path, Settings(config, before), Settings(config, after)) == []
    other = community(2, profiles={"source": "csv", "path": "/b/other.csv"})
    with pytest.raises(ConfigError, match=r"scenario\.profiles\.path"):
        check(tmp_path, Settings(config, before), Settings(config, other))
    described = before.model_copy(update={"description": "in other words"})
    assert check(tmp_path, Settings(config, before), Settings(config, described)) == []
    plain = Settings(config, before).plain()
    del plain["train"]["checkpoint_minutes"], plain["train"]["patience"]
    (tmp_path / "config.json").write_text(json.dumps(plain))
    assert stored(tmp_path) == Settings(config, before)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": {}}', '{"train": {"epochz": 1}, "scenario": {}}'])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        stored(tmp_path)
    with pytest.raises(ConfigError, match="nothing to resume"):
        stored(tmp_path / "none")


def test_seeds_that_have_not_begun_are_trained_like_the_others_or_not_at_all(tmp_path: Path) -> None:
    arguments = Namespace(scenario=None, algorithm=None, device=None, out=tmp_path, seeds=2, resume=True)
    fresh = train_cli._begun(arguments, {"gamma": 0.9}, {})
    for seed in (0, 1):
        config = fresh.train.model_copy(update={"seed": seed, "threads": 1})
        folder = RunFolder(tmp_path / f"seed-{seed}")
        folder.create(fresh._replace(train=config).plain(), resume=False)
        folder.save("last", {"w": torch.ones(1)}, {"iteration": 1}, {"iteration": 1})
    more = train_cli._settings_of_seeds(tmp_path, arguments, {"iterations": 7}, {})
    assert (more.train.gamma, more.train.iterations, more.train.seed) == (0.9, 7, 0)
    arguments.seeds = 3
    with pytest.raises(ConfigError, match=r"not every seed has begun.*gamma"):
        train_cli._settings_of_seeds(tmp_path, arguments, {}, {})
    same = train_cli._settings_of_seeds(tmp_path, arguments, {"gamma": 0.9}, {})
    assert same.train.gamma == 0.9
