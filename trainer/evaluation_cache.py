"""What baselines did on test episodes, kept between runs under a hash of everything that decides it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

import smartgrid_core
from smartgrid_core.simulator import Simulator
from trainer.files import write_atomically
from trainer.scoreboard import Outcome

FORMAT = 1  # of the files here
KPI_PREFIX = "kpi."


def folder() -> Path:
    """Where results are kept; deleting it is always safe."""
    return Path(platformdirs.user_cache_dir("smartgrid-marl")) / "evaluation"


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of the source that decides: smartgrid_core's, and how baselines are run; without a version to forget."""
    root, how = Path(smartgrid_core.__file__).parent, Path(__file__).parent / "evaluate.py"
    digest = hashlib.blake2b(digest_size=16)
    for path in [*sorted(p for p in root.rglob("*") if p.suffix in (".py", ".cpp", ".h")), how]:
        digest.update(str(path.relative_to(root.parent)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def data_hash(sim: Simulator) -> str:
    """Hash of what a configuration only points at: the profiles' and the feeder's arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for container in (sim.table.profiles, sim.feeder):
        for item in fields(container):
            digest.update(item.name.encode())
            _update(digest, getattr(container, item.name))
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(np.ascontiguousarray(value).view(np.uint8).data)
    elif isinstance(value, dict):
        for key in sorted(value):
            digest.update(str(key).encode())
            _update(digest, value[key])
    else:
        digest.update(repr(value).encode())


def _version(package: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None


def path_for(sim: Simulator, name: str, seeds: Sequence[int]) -> Path:
    """File of a baseline's results on the episodes of `seeds` in the scenario of `sim`."""
    key = {
        "format": FORMAT,
        "source": source_hash(),
        "solver": _version("highspy"),
        "data": data_hash(sim),
        "config": sim.config.model_dump(mode="json", exclude={"description", "evaluation", "rewards"}),
        "device": sim.device.type,
        "controller": name,
        "seeds": [int(seed) for seed in seeds],
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    return folder() / f"{name}-{digest}.npz"


def load(path: Path) -> Outcome | None:
    """The outcome in a file; None where there is none or it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
        name, kind, forecast = (str(text) for text in data["about"])
        return Outcome(
            name=name, kind=kind, forecast=forecast or None, prosumer_j=data["prosumer_j"],
            kpis={k.removeprefix(KPI_PREFIX): v for k, v in data.items() if k.startswith(KPI_PREFIX)},
            bound_j=data.get("bound_j"), week=data.get("week"),
        )  # fmt: skip
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def save(path: Path, outcome: Outcome) -> None:
    """Keep an outcome; a folder that cannot be written costs a warning, not the evaluation."""
    data: dict[str, Any] = {KPI_PREFIX + name: values for name, values in outcome.kpis.items()}
    data["about"] = np.array([outcome.name, outcome.kind, outcome.forecast or ""])
    data["prosumer_j"] = outcome.prosumer_j
    for name in ("bound_j", "week"):
        if (values := getattr(outcome, name)) is not None:
            data[name] = values
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **data)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        warnings.warn(f"results of {outcome.name} are not kept: {error}", stacklevel=2)
