"""What is asked for: presets, devices, and mistakes, which are answered before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.config import ALGORITHMS, load_train_config
from trainer.train import TrainingError, resolve_device
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
    ],
)
def test_mistakes_are_answered_before_anything_is_written(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main([*arguments, "--device", "cpu", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_presets_load_and_cuda_is_refused_where_there_is_none() -> None:
    for algorithm in ALGORITHMS:
        cpu, cuda = (load_train_config(device, {"algorithm": algorithm}) for device in ("cpu", "cuda"))
        assert cpu.num_grids < cuda.num_grids
        assert cpu.algorithm == algorithm
    assert load_train_config("cpu", {"ppo.epochs": 2, "shac.critic_batch": 64}).ppo.epochs == 2
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="--device cpu"):
            resolve_device("cuda")


def test_a_device_nothing_can_be_computed_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="'meta': torch cannot compute there"):
        resolve_device("meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="'cuda:7': torch sees 2 CUDA GPUs here, cuda:0 to cuda:1"):
        resolve_device("cuda:7")
    assert [str(resolve_device(name)) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
