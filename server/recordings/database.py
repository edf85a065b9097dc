"""The recordings' SQLite file: its tables, how it is opened, and what its failures mean.

Write-ahead logging: readers never wait for the recorder nor it for them, and what was committed survives the death
of the process (`synchronous = NORMAL`: a power cut may take the last commits, it cannot damage the file).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.errors import ApiError

SCHEMA_VERSION = 1  # raised when a file written before can no longer be read; a file of a newer version is refused
APPLICATION_ID = 0x53474D52  # marks the file as ours
WAL_LIMIT_BYTES = 16 << 20

_TABLES = """
CREATE TABLE recording (
    number INTEGER PRIMARY KEY,           -- in the order of recording
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,                   -- for people
    pinned INTEGER NOT NULL DEFAULT 0,    -- 1: kept when room is made
    scenario TEXT NOT NULL,
    policy TEXT NOT NULL,
    seed INTEGER,
    started REAL NOT NULL,                -- s since 1970 UTC
    ended REAL,                           -- NULL: being recorded, or the server died
    end_reason TEXT,
    first INTEGER NOT NULL DEFAULT 0,     -- number of the oldest frame that is still there
    next INTEGER NOT NULL DEFAULT 0,      -- number of the frame after the newest
    bytes INTEGER NOT NULL DEFAULT 0,     -- of compressed frames
    dropped INTEGER NOT NULL DEFAULT 0,   -- frames that came faster than they could be written
    about BLOB NOT NULL                   -- JSON: hello message, scenario configuration
);
CREATE TABLE chunk (
    recording INTEGER NOT NULL REFERENCES recording(number),
    first INTEGER NOT NULL,               -- number of its first frame
    frames INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    last_sim_time TEXT NOT NULL,
    last_wall REAL NOT NULL,              -- s since 1970 UTC
    data BLOB NOT NULL,                   -- zlib of the frames' JSON, one a line
    UNIQUE (recording, first)
);
CREATE TABLE event (
    recording INTEGER NOT NULL REFERENCES recording(number),
    frame INTEGER NOT NULL,               -- in which it begins
    until INTEGER,                        -- frame in which it is over, NULL: it lasts to the end
    step INTEGER NOT NULL,
    sim_time TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,                    -- tells apart events of one kind
    detail TEXT NOT NULL
);
CREATE INDEX event_of_recording ON event (recording, frame);
"""


def connect(path: Path, *, timeout_s: float = 5.0, max_pages: int | None = None) -> sqlite3.Connection:
    """Open the file, making it and its tables where there is none.

    Args:
        path: of the file; its folder is made.
        timeout_s: how long to wait for another writer.
        max_pages: upper limit of the file's size in pages, for this connection.

    Raises:
        ApiError: another program's file, or one of a newer version.
        sqlite3.Error: see `explained`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (owner,) = db.execute("PRAGMA application_id").fetchone()
        if version == 0:
            _create(db, path)
        elif owner != APPLICATION_ID:
            raise _foreign(path)
        elif version > SCHEMA_VERSION:
            raise ApiError(
                503,
                "recordings_newer",
                f"{path.name} was written by a newer version (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}): update the server, or move the file away",
            )
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        if max_pages is not None:
            db.execute(f"PRAGMA max_page_count = {max_pages}")
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise _foreign(path)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table: what is deleted shrinks the file
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been quicker
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")


def _foreign(path: Path) -> ApiError:
    message = f"{path.name} is the database of another program: move it away, or choose another data folder"
    return ApiError(503, "recordings_foreign", message)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; begins as a writer, so that it cannot fail halfway for a lock."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def used_bytes(db: sqlite3.Connection) -> int:
    """Size of what the file holds, free pages not counted."""
    pages, free, size = (db.execute(f"PRAGMA {x}").fetchone()[0] for x in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def delete_recording(db: sqlite3.Connection, number: int) -> None:
    """Remove a recording with all its frames and give the room back."""
    with transaction(db):
        for table in ("chunk", "event"):
            db.execute(f"DELETE FROM {table} WHERE recording = ?", (number,))
        db.execute("DELETE FROM recording WHERE number = ?", (number,))
    shrink(db)


def shrink(db: sqlite3.Connection) -> None:
    """Give free pages back to the file system, at most 4,096 at a time."""
    db.execute("PRAGMA incremental_vacuum(4096)").fetchall()


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another writer holds the file: it may be tried again."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def explained(error: Exception) -> str:
    """What an SQLite or file error means for a user and what to do."""
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith("SQLITE_FULL"):
        return "the disk, or the room allowed for recordings, is full: delete recordings or raise the limit"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "the recordings' file is locked by another process: end that process, or give this server its own folder"
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return "the recordings' file is damaged: move it away (a new one is made at the next start), or restore it"
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or isinstance(error, OSError):
        return "the recordings' file cannot be written: check the rights of the data folder"
    return f"the recordings' file fails ({code or type(error).__name__}): check the disk and the data folder"


@contextmanager
def explaining() -> Iterator[None]:
    """Turn SQLite's and the file system's errors into a `ApiError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ApiError(503, "recordings_unavailable", explained(error)) from error
