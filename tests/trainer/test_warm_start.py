"""A run that starts with another's actors acts as they do, or says why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trainer.train as train_module
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.runs_small import SMALL
from tests.trainer.training_process import Unvalidated
from trainer.config import ALGORITHMS, TrainConfig
from trainer.policy import load_policy
from trainer.runs import load_checkpoint
from trainer.train import Training

pytestmark = pytest.mark.usefixtures("quick_profiles")
N = 3


def start(folder: Path, algorithm: str, agents: int = N, **fields: Any) -> Training:
    fields = {"learning_rate": 1e-12, "iterations": 1, "algorithm": algorithm} | fields
    return Training(TrainConfig.model_validate(SMALL | fields), community(agents), folder, resume=False)


def trained(folder: Path, algorithm: str, **fields: Any) -> str:
    """A run folder with weights that are not those another run draws."""
    training = start(folder, algorithm, seed=7, **fields)
    training._open()
    training.learner.actor.network.standardise(torch.randn(50, N, training.sim.observation_dim) + 1)
    training.save("best", resumable=False)
    return str(folder)


@pytest.mark.parametrize(
    ("before", "after", "shared"),
    [("shac", "ippo", False), ("ippo", "shac", False), ("ippo", "mappo", True), ("qmix", "qmix", False)],
)
def test_a_warm_run_acts_like_its_start(tmp_path: Path, before: str, after: str, shared: bool) -> None:
    path = trained(tmp_path / "a", before, share_parameters=shared)
    warm = start(tmp_path / "b", after, share_parameters=shared, warm_start=path)
    cold = start(tmp_path / "c", after, share_parameters=shared)
    expected = load_policy(path).actor.decide(warm.obs)
    assert torch.equal(warm.learner.actor.decide(warm.obs), expected)
    assert not torch.equal(cold.learner.actor.decide(warm.obs), expected)
    warm.learner.collect(warm.state, warm.obs, 0.0)  # which takes units from data where none were loaded
    warm.learner.update(0.0)
    torch.testing.assert_close(warm.learner.actor.decide(warm.obs), expected, atol=1e-4, rtol=0)
    assert "starting with the actors" in warm.news[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_loaded_units_outlive_an_end_before_the_first_batch(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the step is compiled: what is resumed still begins with the weights' own units."""
    monkeypatch.setattr(train_module, "Validation", Unvalidated)
    path = trained(tmp_path / "a", algorithm)
    warm = start(tmp_path / "b", algorithm, warm_start=path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_warm_up", interrupted)
        warm.run()
    assert warm.tally.iteration == 0
    again = Training(warm.config, warm.scenario, tmp_path / "b", resume=True)
    again.run()
    assert again.tally.iteration == 1
    weights, _ = load_checkpoint(path)
    for name in ("mean", "inverse_spread"):
        assert torch.equal(getattr(again.learner.actor.network, name), weights[f"network.{name}"])


def test_another_hold_is_told(tmp_path: Path) -> None:
    path = trained(tmp_path / "a", "shac", hold_h=0.25)
    told = start(tmp_path / "b", "ippo", warm_start=path).news[0]
    assert "held actions for 0.25 h and now do for 1 h" in told
    assert "--hold_h 0.25" in told
    assert "held" not in start(tmp_path / "c", "ippo", warm_start=path, hold_h=0.25).news[0]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"algorithm": "qmix"}, {}, "qmix values levels"),
        ({}, {"hidden": (8,)}, r"hidden = \[16\], this run \[8\]: add --hidden"),
        ({}, {"share_parameters": True}, "add --share_parameters false"),
        ({}, {"agents": N + 1}, "num_agents = 3, this run 4: train on a scenario"),
        ({"algorithm": "qmix", "qmix": {"levels": 5}}, {"algorithm": "qmix"}, "add --qmix.levels 5"),
    ],
)
def test_what_does_not_fit_is_named_with_a_remedy(
    tmp_path: Path, before: dict[str, Any], now: dict[str, Any], words: str
) -> None:
    path = trained(tmp_path / "a", **({"algorithm": "ippo"} | before))
    with pytest.raises(ConfigError, match=words):
        start(tmp_path / "b", **({"algorithm": "shac", "warm_start": path} | now))
    with pytest.raises(ConfigError, match="no checkpoint"):
        start(tmp_path / "b", "shac", warm_start="nowhere")


@pytest.mark.parametrize("algorithm", ["ippo", "qmix"])
def test_weights_of_another_program_are_told_in_a_line(tmp_path: Path, algorithm: str) -> None:
    path = trained(tmp_path / "a", algorithm)
    file = tmp_path / "a/checkpoints/best/weights.safetensors"
    own = load_file(file)
    save_file({f"model.{name}": x for name, x in own.items()}, file)
    others = r"holds other tensors.*: no '\w.*' and \d more; unknown 'model\..*' and \d more: .*give"
    with pytest.raises(ConfigError, match=rf"^warm_start = '{path}' \({algorithm} on .*\) {others}") as told:
        start(tmp_path / "b", algorithm, warm_start=path)
    assert "\n" not in str(told.value)
    with pytest.raises(ConfigError, match=rf"^{file} {others}"):
        load_policy(path)
    save_file(own | {"network.layers.0.weight": torch.zeros(2, 3)}, file)
    with pytest.raises(ConfigError, match=r"'network\.layers\.0\.weight' of shape \[2, 3\] instead of \[3, "):
        start(tmp_path / "c", algorithm, warm_start=path)


def test_powers_in_other_units_are_told(tmp_path: Path) -> None:
    path = trained(tmp_path / "a", "shac")
    config = TrainConfig.model_validate(SMALL | {"algorithm": "shac", "warm_start": path})
    told = [
        Training(config, community(N, {"trade_kw": limit_kw}), tmp_path / f"{limit_kw}", resume=False).news[0]
        for limit_kw in (8.0, 30.0)
    ]
    assert "their powers" not in told[0]
    assert "their powers were in units of prosumers.0.trade_kw = 8 kW and now are of 30" in told[1]
