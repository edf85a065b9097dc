"""The examples run as they are printed in the documentation."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, shrunk: dict[str, str] | None = None) -> str:
    """What an example prints, with some of its text replaced to take less time."""
    text = (ROOT / "examples" / name).read_text()
    for old, new in (shrunk or {}).items():
        assert text.count(old) == 1, f"{name} no longer says {old!r}"
        text = text.replace(old, new)
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchrl_collector_learns() -> None:
    said = run("torchrl_collector.py", {"= 32, 32 * 96, 5, 4, 4": "= 8, 8 * 96, 3, 4, 4"})
    found = re.findall(r"iteration (\d)  mean reward ([+-][\d.]+)  critic loss ([\d.]+)", said)
    assert [int(k) for k, _, _ in found] == [0, 1, 2]
    assert all(math.isfinite(float(reward)) for _, reward, _ in found)
    assert float(found[-1][2]) < float(found[0][2]), "the critic fits better after three iterations"


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name != "torchrl_collector.py"], ids=lambda p: p.name)
def test_example_runs(path: Path) -> None:
    assert run(path.name).strip()
