"""An exported policy acts as the checkpoint does, says what it is, and a bad export leaves nothing behind."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.export as export_module
from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.extras import MissingExtraError, require
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from trainer.__main__ import main
from trainer.actors import build_actor
from trainer.evaluate import evaluate
from trainer.exported import SUFFIXES
from trainer.policy import load_policy
from trainer.runs import RunFolder

pytestmark = pytest.mark.usefixtures("quick_profiles")

with_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the ONNX packages are not installed: pip install 'smartgrid-marl[export]'",
)
KINDS = [pytest.param("onnx", marks=with_onnx), "torch"]


@pytest.fixture
def sim() -> Simulator:
    torch.set_num_threads(1)
    return Simulator(community(3), 4)


def checkpoint(folder: Path, sim: Simulator, algorithm: str = "ippo", **fields: Any) -> Path:
    """A run folder with an untrained policy in it, its inputs standardised as training does."""
    about = {
        "algorithm": algorithm, "share_parameters": False, "levels": 5, "scenario": sim.config.name,
        "run": folder.name, "num_agents": sim.num_agents, "observation_dim": sim.observation_dim,
        "action_dim": sim.action_dim, "hidden": [16], "hold_h": 1.0, "observation_names": sim.observation_names,
        "action_names": sim.action_names, "validation_score": 0.5,
    } | fields  # fmt: skip
    torch.manual_seed(0)
    actor = build_actor(about)
    actor.network.standardise(torch.randn(20, sim.num_agents, sim.observation_dim) * 3 + 1)
    run = RunFolder(folder)
    run.create({}, resume=False)
    run.save("best", actor.state_dict(), None, about)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("algorithm", "shared"), [("ippo", False), ("shac", True), ("qmix", False)])
def test_round_trip(
    kind: str, algorithm: str, shared: bool, sim: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = checkpoint(tmp_path / "run", sim, algorithm, share_parameters=shared)
    out = tmp_path / f"policy{SUFFIXES[kind]}"
    assert main(["export", "--checkpoint", str(run), "--format", kind, "--out", str(out)]) == 0
    assert "max difference from the original" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"run", out.name}

    original, exported = load_policy(run), load_policy(out)
    state, obs = sim.reset(seed=3)
    for policy in (original, exported):
        policy.start(sim, state)
    for size in (4, 1):  # any batch
        actions = [policy.actor.decide(obs[:size]) for policy in (original, exported)]
        assert torch.allclose(*actions, rtol=0, atol=1e-5)
    assert actions[0].abs().max() > 0
    assert torch.equal(exported.act(state, obs), exported.act(state, obs + 1))  # held for an hour
    same = ("observation_names", "action_names", "hold_h", "scenario", "validation_score")
    assert {key: exported.about[key] for key in same} == {key: original.about[key] for key in same}
    assert algorithm in exported.name
    assert kind in exported.name


@with_onnx
def test_onnx_file_explains_itself_without_this_package(sim: Simulator, tmp_path: Path) -> None:
    run = checkpoint(tmp_path / "run", sim)
    out = export_module.export_policy(run, tmp_path / "policy.onnx").path
    model = require("onnx", "export").load(str(out))
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["observation_names"] == list(sim.observation_names)
    assert metadata["hold_h"] == 1.0
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", sim.num_agents, sim.observation_dim]
    assert "held for 1 h" in model.doc_string


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_that_acts_otherwise_is_refused(
    kind: str, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = checkpoint(tmp_path / "run", sim)
    out = tmp_path / f"policy{SUFFIXES[kind]}"
    out.write_bytes(b"the one before")
    trace = export_module._trace

    def wrong(actor: Any, about: Any) -> Any:
        other = copy.deepcopy(actor)
        other.network.layers()[-1][1].data += 1e-3
        return trace(other, about)

    monkeypatch.setattr(export_module, "_trace", wrong)
    with pytest.raises(export_module.ExportError, match="differ from the original"):
        export_module.export_policy(run, out)
    assert out.read_bytes() == b"the one before"
    assert {path.name for path in tmp_path.iterdir()} == {"run", out.name}


def test_an_exported_policy_is_scored_and_its_shape_is_checked(sim: Simulator, tmp_path: Path) -> None:
    run = checkpoint(tmp_path / "run", sim)
    out = export_module.export_policy(run, tmp_path / "policy.pt2").path
    policies = [load_policy(run), load_policy(out)]
    rows = evaluate(sim.config, policies, against="none", seeds=[7], cache=False).rows
    assert rows[0].cost_eur == pytest.approx(rows[1].cost_eur, abs=1e-3)
    four = Simulator(community(4), 1)
    with pytest.raises(ConfigError, match="num_agents = 3"):
        policies[1].start(four, four.reset()[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint", "nowhere", "--out", "p.pt2"], "no checkpoint at 'nowhere'"),
        (["--checkpoint", "run", "--out", "p.zip"], "ending in .onnx or .pt2"),
        (["--checkpoint", "run", "--out", "p.onnx", "--format", "torch"], "ending in .pt2"),
        (["--checkpoint", "run", "--out", "folder.pt2"], "is a folder"),
        (["--checkpoint", "run", "--out", "file/p.pt2"], "cannot be written"),
    ],
)
def test_mistakes_are_answered(
    arguments: list[str], words: str, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    checkpoint(Path("run"), sim)
    Path("folder.pt2").mkdir()
    Path("file").touch()
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run", "folder.pt2", "file"}


def test_a_missing_extra_is_named(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"{module} is not installed: pip install 'smartgrid-marl[{extra}]'")

    run = checkpoint(tmp_path / "run", sim)
    monkeypatch.setattr(export_module, "require", missing)
    with pytest.raises(MissingExtraError, match=r"smartgrid-marl\[export\]"):
        export_module.export_policy(run, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


@pytest.mark.parametrize("name", [pytest.param("p.onnx", marks=with_onnx), "p.pt2"])
def test_a_file_that_is_no_policy_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no exported policy"):
        load_policy(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="cannot be read as a policy"):
        load_policy(tmp_path / name)


def test_a_foreign_program_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(2),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(ConfigError, match="export_format is missing"):
        load_policy(tmp_path / "other.pt2")
