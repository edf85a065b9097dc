"""Virtual environments of the peers: made by `python -m benchmarks peers install`, each with its own pinned packages.

Peers want versions of the same packages that exclude one another, and none of them is a dependency of this package.
What is installed for a peer stands in peers/NAME.txt; the environments lie in the user's cache folder. Node's `ws`,
which `serve` measures, is installed by npm beside its server, peers/broadcast.mjs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path
from rich.console import Console

from smartgrid_core.errors import ConfigError

FOLDER = Path(__file__).parent / "peers"
INSTALLED = "installed.txt"  # in an environment: the requirements it was made of, written when all of them are in


class PeerEnvironment(NamedTuple):
    """One virtual environment and the environments stepped in it; without any it is for training (`stacks`)."""

    name: str
    runners: tuple[str, ...] = ()  # run_….py in peers/ that step an environment
    data: str | None = None  # a wheel kept whole beside the packages, for the data in it


NODE = "ws"
ENVIRONMENTS = {
    e.name: e
    for e in (
        PeerEnvironment("citylearn", ("citylearn",), "citylearn==2.1.2"),  # later wheels leave the data out
        PeerEnvironment("grid2op", ("grid2op", "lightsim2grid")),
        PeerEnvironment("python-microgrid", ("python-microgrid",)),
        PeerEnvironment("ethical-smart-grid", ("ethical-smart-grid",)),
        PeerEnvironment("vmas", ("vmas",)),
        PeerEnvironment("jax", ("jax",)),
        PeerEnvironment("benchmarl"),
        PeerEnvironment("rllib"),
        PeerEnvironment(NODE),
    )
}


def root() -> Path:
    """Folder of all environments."""
    return user_cache_path("smartgrid-marl") / "peers"


def interpreter(name: str) -> Path:
    """The environment's Python."""
    return root() / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def requirements(name: str) -> str:
    """Pinned packages of an environment, one a line."""
    if name == NODE:
        packages = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
        return "\n".join(f"{package}=={version}" for package, version in packages.items())
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def is_installed(name: str) -> bool:
    """The environment is whole and of the requirements as they stand now."""
    if name == NODE:
        return (FOLDER / "node_modules" / NODE).is_dir()
    mark = root() / name / INSTALLED
    return mark.is_file() and mark.read_text(encoding="utf-8") == requirements(name) and interpreter(name).exists()


def install(names: Sequence[str] = ()) -> list[str]:
    """Make the environments named, by default all; those that are there stay. Returns the names that failed.

    Raises:
        ConfigError: an unknown name.
    """
    console, failed = Console(stderr=True), []
    for name in _known(names):
        if is_installed(name):
            console.print(f"{name}: there already")
            continue
        console.print(f"[bold]{name}[/]: installing into {FOLDER if name == NODE else root() / name}")
        try:
            _make(name)
        except (subprocess.CalledProcessError, OSError) as error:
            console.print(f"[red]{name}: not installed[/]: {error}")
            failed.append(name)
    return failed


def _make(name: str) -> None:
    if name == NODE:
        subprocess.run(["npm", "ci", "--no-fund", "--no-audit"], cwd=FOLDER, check=True)
        return
    folder = root() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(interpreter(name)), "-m", "pip"]
    for line in requirements(name).splitlines():
        if line.startswith("torch=="):  # alone and first: together with others a build for GPUs may be resolved
            subprocess.run([*pip, "install", "-q", line], check=True)
    subprocess.run([*pip, "install", "-q", "-r", str(FOLDER / f"{name}.txt")], check=True)
    if wheel := ENVIRONMENTS[name].data:
        subprocess.run([*pip, "download", "-q", "--no-deps", "-d", str(folder / "data"), wheel], check=True)
    (folder / INSTALLED).write_text(requirements(name), encoding="utf-8")


def show() -> None:
    """Print what there is and what is not."""
    console = Console()
    for name in ENVIRONMENTS:
        packages = ", ".join(requirements(name).split())
        there = "[green]installed[/]" if is_installed(name) else "not installed"
        console.print(f"{name}: {there} ({packages})")
    console.print(f"in {root()}")


def _known(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in ENVIRONMENTS:
            raise ConfigError(f"peer {name!r}: known are {', '.join(ENVIRONMENTS)}")
    return list(names or ENVIRONMENTS)
