"""What a server finds on its disk: training runs and jobs as they are left there, without the work."""

from __future__ import annotations

import json
import secrets
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from server.database import connect, transaction
from server.jobs.store import LAYOUT, Kind
from tests.server.serving import Serving


def write_run(server: Serving, name: str, rows: int) -> Path:
    """A run as training leaves it; returns its metrics file."""
    folder = server.data.parent / "runs" / name
    folder.mkdir(parents=True)
    prosumers = [{"name": f"p{i}", "count": 1} for i in range(3)]
    weights = {"stability": 0.1, "efficiency": 0.1, "cost": 1.0, "cooperation": 0.1}
    scenario = {"name": "tiny", "prosumers": prosumers, "rewards": weights}
    train = {"algorithm": "ippo", "iterations": 100, "max_minutes": None}
    path = folder / "metrics.jsonl"
    path.write_text("".join(metrics_line(k) for k in range(1, rows + 1)))
    (folder / "config.json").write_text(json.dumps({"train": train, "scenario": scenario}))
    return path


def metrics_line(k: int, **more: Any) -> str:
    """Line k of a run's metrics."""
    parts = {f"reward_{part}": [-1 / k, -2 / k, -3 / k] for part in ("stability", "efficiency", "cost", "cooperation")}
    score = {"validation_score": 1 - 1 / k} if k % 5 == 0 else {}
    basics = {"iteration": k, "env_steps": k * 100, "seconds": k * 0.5, "agent_steps_per_s": 1000.0}
    return json.dumps(basics | parts | score | {"loss_critic": 0.1} | more) + "\n"


def write_scoreboard(server: Serving, run: str) -> None:
    """The scoreboard that the end of a training makes."""
    rows = [
        {"name": "idle", "kind": "rule", "score": 0.125}, {"name": "time-of-use", "kind": "rule", "score": 0.625},
        {"name": "mpc-noisy", "kind": "mpc", "score": 0.875}, {"name": "optimum", "kind": "optimum", "score": 1.0},
    ]  # fmt: skip
    folder = server.data.parent / "runs" / run / "evaluation"
    folder.mkdir()
    whole = folder / "scoreboard.new"
    whole.write_text(json.dumps({"scenario": "tiny", "episodes": 32, "rows": rows}))
    whole.rename(folder / "scoreboard.json")


def store_job(server: Serving, kind: Kind, request: dict[str, Any], result: dict[str, Any]) -> str:
    """A job that is done; returns its id."""
    now = time.time()
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(4)
    texts = (json.dumps(request).encode(), b"{}", zlib.compress(json.dumps(result).encode()))
    with closing(connect(server.data / "jobs.sqlite", LAYOUT)) as db, transaction(db):
        db.execute(
            "INSERT INTO job (id, kind, state, request, work, result, progress, created, started, ended) "
            "VALUES (?, ?, 'done', ?, ?, ?, 1, ?, ?, ?)",
            (name, kind, *texts, now, now, now),
        )
    return name
