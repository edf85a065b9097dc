"""What `pip install` of a built wheel gives: a server with its page and policies, away from any checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from server.vendor import VENDOR

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("smartgrid_core", "trainer", "server", "benchmarks", "web")


def checkout(target: Path) -> Path:
    """The files a build reads, with the page's libraries where they are installed."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, target / name)
    for file in map(Path, VENDOR.values()):
        for path in (ROOT / "web/node_modules" / file, ROOT / "web/node_modules" / file.parts[0] / "LICENSE"):
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return target


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "web/node_modules/d3").is_dir(), reason="the page's libraries: npm ci in web/")
def test_a_wheel_serves_its_page(tmp_path: Path) -> None:
    source = checkout(tmp_path / "source")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    assert not (site / "web").exists()
    assert (site / "server/page/node_modules/three/LICENSE").is_file()
    assert not list(site.rglob("tests"))

    command = [sys.executable, "-m", "server", "--port", "0", "--data-dir", str(tmp_path / "data"), "--no-autostart"]
    env = {"PYTHONPATH": str(site), "PATH": ""}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = server.stdout.readline().split(": ", 1)[1].split("/web/")[0]
        try:
            for path in ("/web/", "/web/js/app.js", "/web/css/base.css", *(f"/vendor/{name}" for name in VENDOR)):
                with urllib.request.urlopen(base + path, timeout=30) as answer:
                    assert answer.status == 200, path
            with urllib.request.urlopen(base + "/api/policies", timeout=30) as answer:
                assert b"community-5" in answer.read()
        finally:
            server.terminate()
