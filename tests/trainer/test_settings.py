"""What is asked for: presets, devices, and mistakes, which are answered before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smartgrid_core.errors import ConfigError
from trainer.config import ALGORITHMS, TrainConfig, load_train_config
from trainer.overrides import parse_overrides
from trainer.train import resolve_device
from trainer.train_cli import main as train_main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "comunity-5"], "did you mean 'community-5'"),
        (["--learning_rate", "fast"], "learning_rate"),
        (["--hold_h", "5"], "hold_h"),
        (["--learning_rat", "1e-3"], "learning_rat"),
        (["--ppo.epochs", "0"], "ppo.epochs"),
        (["--ppo.initial_std", "1.7"], "ppo.initial_std"),
        (["--ppo.initial_std", "0.01"], "ppo.initial_std"),
        (["--algorithm", "dqn"], "algorithm"),
        (["--prosumers.0.battery.charge_efficiency", "1.3"], "charge_efficiency"),
        (["--num_grids", "100000000000"], "GiB"),
        (["stray"], "unexpected argument"),
        (["--minutes", "0.3"], "unknown option --minutes: did you mean --max_minutes?"),
        (["--episode_dayz=1"], "did you mean --episode_days?"),
        (["--epochs", "2"], "did you mean --ppo.epochs?"),
        (["--no_evaluate", "true"], "it is spelt --no-evaluate"),
        (["--frobnicate", "2"], "--help-all lists the fields of training"),
        (["--ppo.discount", "1"], "ppo.discount: unknown field; known here: clip_epsilon, "),
        (["--ppo.epoch", "1"], "ppo.epoch: unknown field; did you mean 'epochs'?"),
        (["--jobs", "3"], "--jobs 3 is of several seeds: give --seeds K too"),
        (["--algorithm", "shac", "--ppo.credit", "own"], "--ppo.credit is no setting of shac, whose own are --shac.…"),
        (["--algorithm", "mappo", "--qmix.levels", "5"], "--qmix.levels is no setting of mappo, whose own are --ppo.…"),
        (["--algorithm", "qmix", "--lmbda", "0.5"], "--lmbda is no setting of qmix"),
        (["--algorithm", "shac", "--shac.adam_betas", "[1.5, 2]"], "shac.adam_betas"),
        (["--learning_rate", "Infinity"], "learning_rate"),
        (["--max-minutes=-1"], "max_minutes = -1: Input should be greater than 0"),
        (["--seed", "99999999999999999999"], "seed = 99999999999999999999"),
        (["--threads", "100000"], "threads = 100000"),
        (["--hidden", "64"], "hidden = 64: expected a list, in brackets"),
    ],
)
def test_mistakes_are_answered_before_anything_is_written(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main([*arguments, "--device", "cpu", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_needs_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty shell variable would spread a run over the folder one is in."""
    monkeypatch.chdir(tmp_path)
    for out in ("", "."):
        assert train_main(["--device", "cpu", "--out", out]) == 2
        assert "--out is empty, or the folder you are in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_may_be_written_as_people_write_them() -> None:
    given = ["--max-minutes=0.05", "--hidden", "128,64", "--ppo.target-kl", "0.1", "--tariff.level=0.8, 1.2"]
    expected = {"max_minutes": 0.05, "hidden": [128, 64], "ppo.target_kl": 0.1, "tariff.level": [0.8, 1.2]}
    assert parse_overrides(given) == expected
    assert parse_overrides(["--profiles.path=a,b.csv"]) == {"profiles.path": "a,b.csv"}
    assert parse_overrides(["--max_minutes=0,5"]) == {"max_minutes": [0, 5]}, "said to be no number, not guessed"


def test_every_field_of_training_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--help-all", "--algorithm", "qmix"]) == 0
    said = capsys.readouterr().out
    for name, field in TrainConfig.model_fields.items():
        if name not in ("ppo", "shac", "qmix"):
            assert f"\n  --{name} " in said
        assert (field.description or "?").split(";")[0].split("\n")[0][:60] in said
    assert "\n  --qmix.levels 9\n" in said
    assert "--ppo.credit own (one of own, neighbours, team)" in said
    with pytest.raises(SystemExit):
        train_main(["--help"])
    assert "--help-all" in capsys.readouterr().out


def test_presets_load_and_cuda_is_refused_where_there_is_none() -> None:
    for algorithm in ALGORITHMS:
        cpu, cuda = (load_train_config(device, {"algorithm": algorithm}) for device in ("cpu", "cuda"))
        assert cpu.num_grids < cuda.num_grids
        assert cpu.algorithm == algorithm
    assert load_train_config("cpu", {"ppo.epochs": 2, "shac.critic_batch": 64}).ppo.epochs == 2
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="--device cpu"):
            resolve_device("cuda")


def test_a_device_nothing_can_be_computed_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'meta': torch cannot compute there"):
        resolve_device("meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="'cuda:7': torch sees 2 CUDA GPUs here, cuda:0 to cuda:1"):
        resolve_device("cuda:7")
    assert [str(resolve_device(name)) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]


def test_a_folder_no_run_can_be_in_is_refused_before_anything_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    (tmp_path / "file").write_text("")
    for out, words in (
        (tmp_path / "run", "already holds a run: add --resume to continue it, or give another folder with --out"),
        (tmp_path / "file/x/y", f"{tmp_path / 'file'} is no folder; give another folder with --out"),
        (Path("/dev/null/x"), "error: --out /dev/null/x: /dev/null is no folder; give another folder with --out"),
    ):
        assert train_main(["--device", "cpu", "--out", str(out)]) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert said.out == ""
