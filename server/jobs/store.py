"""Jobs and their results in SQLite: what was asked, how far it is, what came out."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from server.database import Layout, connect, explaining, shrink, transaction
from server.errors import ApiError, ErrorDetail
from server.ids import new_id

KEPT = 200  # jobs that are over; the oldest go first
WAITING = 20  # jobs that may wait

Kind = Literal["comparison", "scalability"]
State = Literal["queued", "running", "done", "failed", "cancelled"]

LAYOUT = Layout(
    "jobs",
    version=1,
    application_id=0x53474A42,
    tables="""
CREATE TABLE job (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    request BLOB NOT NULL,            -- JSON, as asked
    work BLOB NOT NULL,               -- JSON, what the process gets
    progress REAL NOT NULL DEFAULT 0, -- 0 to 1
    message TEXT NOT NULL DEFAULT '',
    error BLOB,                       -- JSON of ErrorDetail
    created REAL NOT NULL,            -- s since 1970 UTC
    started REAL,
    ended REAL,
    result BLOB                       -- zlib of JSON
);
CREATE INDEX job_of_state ON job (state, number)
""",
)


class Job(BaseModel):
    """A job as the API shows it."""

    id: str
    kind: Kind
    state: State
    request: dict[str, Any] = Field(description="What was asked for.")
    progress: float = Field(description="Part done, 0 to 1.")
    message: str = Field(description="What it is at.")
    error: ErrorDetail | None = Field(description="Why it failed.")
    created: float = Field(description="When it was asked for, s since 1970 UTC.")
    started: float | None = Field(description="When it began, s since 1970 UTC.")
    ended: float | None = Field(description="When it was over, s since 1970 UTC.")


class JobList(BaseModel):
    """Jobs of a kind, the newest first."""

    jobs: list[Job]
    total: int = Field(description="All there are, of which this is a page.")


_COLUMNS = "id, kind, state, request, progress, message, error, created, started, ended"


class JobStore:
    """The jobs of one data folder. Every call opens the file anew: calls come from any thread."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, kind: Kind, request: Mapping[str, Any], work: Mapping[str, Any]) -> Job:
        """Queue a job.

        Raises:
            ApiError: too many wait.
        """
        now = time.time()
        name = new_id(now)
        with self._open() as db, transaction(db):
            (waiting,) = db.execute("SELECT count(*) FROM job WHERE state = 'queued'").fetchone()
            if waiting >= WAITING:
                message = f"{waiting} jobs wait already, at most {WAITING} may: cancel some, or ask again later"
                raise ApiError(429, "too_many_requests", message)
            db.execute(
                "INSERT INTO job (id, kind, state, request, work, created) VALUES (?, ?, 'queued', ?, ?, ?)",
                (name, kind, orjson.dumps(request), orjson.dumps(work), now),
            )
        return self.get(name)

    def get(self, name: str, kind: Kind | None = None) -> Job:
        """A job by id; raises `ApiError` where there is none (of the kind)."""
        with self._open() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM job WHERE id = ?", (name,)).fetchone()
        if row is None or (kind is not None and row["kind"] != kind):
            raise ApiError(404, "not_found", f"there is no {kind or 'job'} {name!r}")
        return _job(row)

    def list(self, kind: Kind, offset: int = 0, limit: int = 100) -> JobList:
        """A page of jobs of a kind, the newest first."""
        with self._open() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM job WHERE kind = ? ORDER BY number DESC LIMIT ? OFFSET ?",
                (kind, limit, offset),
            ).fetchall()
            (total,) = db.execute("SELECT count(*) FROM job WHERE kind = ?", (kind,)).fetchone()
        return JobList(jobs=[_job(row) for row in rows], total=total)

    def result(self, name: str, kind: Kind) -> dict[str, Any]:
        """What came out of a job; raises `ApiError` where nothing did (yet)."""
        job = self.get(name, kind)
        if job.state != "done":
            reason = f": {job.error.message}" if job.error else ""
            raise ApiError(
                409, "not_done", f"{kind} {name} is {job.state}{reason}; only a job that is done has a result"
            )
        with self._open() as db:
            (data,) = db.execute("SELECT result FROM job WHERE id = ?", (name,)).fetchone()
        try:
            return orjson.loads(zlib.decompress(data))
        except (zlib.error, orjson.JSONDecodeError, TypeError):
            raise ApiError(
                500, "result_damaged", f"the result of {name} is damaged: delete it and run it again"
            ) from None

    def delete(self, name: str) -> None:
        """Forget a job."""
        with self._open() as db:
            with transaction(db):
                db.execute("DELETE FROM job WHERE id = ?", (name,))
            shrink(db)

    # For the queue --------------------------------------------------------------------------------------

    def next(self) -> tuple[str, Kind, bytes] | None:
        """The job that has waited longest, marked as running: id, kind, what its process gets."""
        with self._open() as db, transaction(db):
            row = db.execute("SELECT id, kind, work FROM job WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute("UPDATE job SET state = 'running', started = ? WHERE id = ?", (time.time(), row["id"]))
        return row["id"], row["kind"], row["work"]

    def report(self, name: str, progress: float, message: str) -> None:
        """How far a running job is."""
        with self._open() as db:
            db.execute("UPDATE job SET progress = ?, message = ? WHERE id = ?", (progress, message, name))

    def finish(self, name: str, state: State, *, result: bytes | None = None, error: ErrorDetail | None = None) -> None:
        """End a job; only one that is queued or running."""
        blob = None if result is None else zlib.compress(result)
        detail = None if error is None else orjson.dumps(error.model_dump())
        with self._open() as db, transaction(db):
            db.execute(
                "UPDATE job SET state = ?, error = ?, result = ?, ended = ?, message = '', "
                "progress = CASE WHEN ? = 'done' THEN 1 ELSE progress END "
                "WHERE id = ? AND state IN ('queued', 'running')",
                (state, detail, blob, time.time(), state, name),
            )
            db.execute(
                "DELETE FROM job WHERE state IN ('done', 'failed', 'cancelled') AND number <= "
                "(SELECT number FROM job WHERE state IN ('done', 'failed', 'cancelled') "
                "ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (KEPT,),
            )

    def fail_abandoned(self) -> None:
        """Jobs that a server that died left running."""
        error = ErrorDetail(code="interrupted", message="the server ended before the job was done: start it again")
        with self._open() as db, transaction(db):
            db.execute(
                "UPDATE job SET state = 'failed', error = ?, ended = ? WHERE state = 'running'",
                (orjson.dumps(error.model_dump()), time.time()),
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with explaining(LAYOUT.noun), closing(connect(self.path, LAYOUT)) as db:
            db.row_factory = sqlite3.Row
            yield db


def _job(row: sqlite3.Row) -> Job:
    fields = dict(row)
    fields["request"] = orjson.loads(fields["request"])
    fields["error"] = None if fields["error"] is None else orjson.loads(fields["error"])
    return Job(**fields)
