"""Training runs on disk, by name."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from server.errors import ApiError, scrub
from server.requests import NAME
from server.training.models import RunDetail, RunEntry, RunMetrics

TAIL_BYTES = 256 << 10
AT_END = ("iteration", "env_steps", "seconds")  # taken from a point's last row, not averaged


class Runs:
    """The folder of runs; it need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder

    def list(self) -> list[RunEntry]:
        """Every run, the newest first."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):  # a folder that may not be read, or that was just removed
                if re.match(NAME, path.name) and (path / "config.json").is_file():
                    found.append(RunEntry(**_entry(path)))
        return sorted(found, key=lambda run: -run.created)

    def path(self, name: str) -> Path:
        """Folder of a run; raises `ApiError` where there is none."""
        path = self.folder / name
        if not re.match(NAME, name) or not (path / "config.json").is_file():
            known = ", ".join(run.name for run in self.list()[:20]) or "none yet"
            raise ApiError(404, "not_found", f"there is no run {name!r}: there are {known}", "name")
        return path

    def get(self, name: str) -> RunDetail:
        """A run with its configuration."""
        path = self.path(name)
        config = _config(path)
        if config is not None:
            config = json.loads(scrub(json.dumps(config)))
        return RunDetail(**_entry(path), config=config)

    def metrics(self, name: str, points: int, fields: Sequence[str] | None = None) -> RunMetrics:
        """The columns of metrics.jsonl, all or some, in at most `points` points."""
        path = self.path(name) / "metrics.jsonl"
        rows = [row for row in map(row_of, path.read_bytes().splitlines()) if row] if path.exists() else []
        names = list(dict.fromkeys(key for row in rows for key in row))
        if fields is not None:
            unknown = [field for field in fields if rows and field not in names]
            if unknown:
                message = f"{unknown[0]!r} was not logged by {name}: there are {', '.join(names)}"
                raise ApiError(422, "invalid", message, "fields")
            names = [field for field in names if field in (*AT_END[:1], *fields)]
        count = min(points, len(rows))
        parts = [rows[k * len(rows) // count : (k + 1) * len(rows) // count] for k in range(count)]
        columns = {key: [_point(part, key) for part in parts] for key in names}
        return RunMetrics(run=name, rows=len(rows), columns=columns)

    def scoreboard(self, name: str) -> dict[str, Any]:
        """The scoreboard made at the end of training."""
        path = self.path(name) / "evaluation" / "scoreboard.json"
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError):
            message = f"run {name!r} has no scoreboard: it is made when training ends, or by python -m trainer evaluate"
            raise ApiError(404, "not_found", message, "name") from None


def latest(path: Path) -> dict[str, Any]:
    """Of a run folder: iteration, iterations, seconds, progress, score; those that are known."""
    rows = _tail(path / "metrics.jsonl")
    train = (_config(path) or {}).get("train", {})
    last = rows[-1] if rows else {}
    done = [0.0]
    if last.get("iteration") and train.get("iterations"):
        done.append(last["iteration"] / train["iterations"])
    if last.get("seconds") and train.get("max_minutes"):
        done.append(last["seconds"] / (60 * train["max_minutes"]))
    scores = [row["validation_score"] for row in rows if row.get("validation_score") is not None]
    return {
        "iteration": last.get("iteration"), "iterations": train.get("iterations"), "seconds": last.get("seconds"),
        "progress": min(1.0, max(done)), "score": _best(path, scores),
    }  # fmt: skip


def _entry(path: Path) -> dict[str, Any]:
    config, now = _config(path) or {}, latest(path)
    root = path / "checkpoints"
    checkpoints = []
    for checkpoint in sorted(root.iterdir()) if root.is_dir() else ():
        with contextlib.suppress(OSError):  # one that may not be read hides no other
            checkpoints += [checkpoint.name] if (checkpoint / "about.json").is_file() else []
    return {
        "name": path.name, "scenario": config.get("scenario", {}).get("name"),
        "algorithm": config.get("train", {}).get("algorithm"), "created": (path / "config.json").stat().st_mtime,
        "checkpoints": [name for name in checkpoints if not name.startswith(".")],
        "evaluated": (path / "evaluation" / "scoreboard.json").is_file(),
        **{key: now[key] for key in ("iteration", "iterations", "seconds", "score")},
    }  # fmt: skip


def _best(path: Path, scores: list[float]) -> float | None:
    try:
        score = json.loads((path / "checkpoints" / "best" / "about.json").read_bytes()).get("validation_score")
    except (OSError, ValueError):
        score = None
    known = [x for x in (score, *scores) if isinstance(x, int | float) and math.isfinite(x)]
    return max(known, default=None)


def _config(path: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def _tail(path: Path) -> list[dict[str, Any]]:
    """The last rows of a metrics.jsonl."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().splitlines()[1 if size > TAIL_BYTES else 0 :]
    except OSError:
        return []
    return [row for row in map(row_of, lines) if row]


def row_of(line: bytes) -> dict[str, Any] | None:
    """A row of metrics.jsonl; None where the line is being written."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _point(rows: list[dict[str, Any]], key: str) -> Any:
    values = [row[key] for row in rows if row.get(key) is not None]
    if not values:
        return None
    if key in AT_END or not isinstance(values[0], int | float | list):
        return values[-1]
    if isinstance(values[0], list):
        same = [v for v in values if isinstance(v, list) and len(v) == len(values[-1]) and None not in v]
        return [sum(column) / len(same) for column in zip(*same, strict=True)] if same else values[-1]
    return sum(values) / len(values)
