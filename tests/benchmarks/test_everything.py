"""All suites one after the other: options by signature, failures told at the end, nothing lost."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import everything
from benchmarks.__main__ import COMMANDS, SUITES, main

ROOT = Path(__file__).parents[2]


def test_a_failing_and_a_missing_suite_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []

    def call(command: list[str]) -> subprocess.CompletedProcess[str]:
        """A child process: `serve` fails, `train` ends well and writes nothing, the others write their results."""
        called.append(command[2:])
        name = command[3]
        if name not in ("serve", "train"):
            path = Path(command[command.index("--json") + 1])
            path.write_text(json.dumps({"benchmark": name}), encoding="utf-8")
        return subprocess.CompletedProcess(command, 3 if name == "serve" else 0)

    monkeypatch.setattr(everything.subprocess, "run", call)
    suites = ["serve", "nowhere", "train", "learning", "power-flow", "env"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    code = main(["all", "--quick", "--device", "cuda:1", "--out", str(tmp_path), "--suites", *suites])
    assert code == 2
    said = capsys.readouterr()
    assert "serve, nowhere, train failed" in said.err
    assert "no such suite: nowhere" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"learning-cuda.json", "power-flow-cpu.json", "env-cuda.json"}
    power_flow, env = called[-2:]
    assert power_flow[1:] == ["power-flow", "--json", str(tmp_path / "power-flow-cpu.json"), "--quick"]
    assert env[-3:] == ["--quick", "--device", "cuda:1"]


def test_every_suite_is_run_and_quick_ones_have_a_quick_form() -> None:
    assert set(COMMANDS) - set(SUITES) == set(everything.NOT_SUITES)
    for suite in SUITES.values():
        assert {"json", "quick"} <= set(inspect.signature(suite).parameters)


@pytest.mark.slow
def test_all_suites_run_quickly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "all", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for path in tmp_path.iterdir():
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["cases"], path.name
    assert {path.stem.rpartition("-")[0] for path in tmp_path.iterdir()} == set(SUITES)
    rendered = main(
        ["report", "--results", str(tmp_path), "--out", str(tmp_path / "page.md"), "--images", str(tmp_path)]
    )
    assert rendered == 0
    assert "Environment stepping" in (tmp_path / "page.md").read_text(encoding="utf-8")
