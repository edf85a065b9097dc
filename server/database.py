"""SQLite files of the server: how they are opened, what their failures mean.

Write-ahead logging: readers never wait for a writer nor it for them, and what was committed survives the death of the
process (`synchronous = NORMAL`: a power cut may take the last commits, it cannot damage the file).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from server.errors import ApiError

WAL_LIMIT_BYTES = 16 << 20
CREATE_ATTEMPTS = 100
PAGES_A_STEP = 1000  # given back while others wait, some 50 ms


class Layout(NamedTuple):
    """What a file holds."""

    noun: str  # for messages and codes, e.g. "recordings"
    version: int  # raised when files written before can no longer be read; a file of a newer version is refused
    application_id: int  # marks the file as ours
    tables: str  # statements separated by semicolons


def connect(path: Path, layout: Layout, *, timeout_s: float = 5.0, max_pages: int | None = None) -> sqlite3.Connection:
    """Open the file, making it and its tables where there is none.

    Args:
        path: of the file; its folder is made.
        layout: what is in it.
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
            _create(db, path, layout)
        elif owner != layout.application_id:
            raise _foreign(path, layout)
        elif version > layout.version:
            raise ApiError(
                503,
                f"{layout.noun}_newer",
                f"{path.name} was written by a newer version (schema {version}, this one reads up to "
                f"{layout.version}): update the server, or move the file away",
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


def _create(db: sqlite3.Connection, path: Path, layout: Layout) -> None:
    """Make the tables, unless another process or thread is quicker."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            raise _foreign(path, layout)
        return
    for attempt in range(CREATE_ATTEMPTS):  # changing the journal's mode does not wait for another who does the same
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table: what is deleted shrinks the file
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if not is_busy(error) or attempt == CREATE_ATTEMPTS - 1:
                raise
            time.sleep(0.02)
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in layout.tables.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {layout.application_id}")
            db.execute(f"PRAGMA user_version = {layout.version}")


def _foreign(path: Path, layout: Layout) -> ApiError:
    message = f"{path.name} is the database of another program: move it away, or choose another data folder"
    return ApiError(503, f"{layout.noun}_foreign", message)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; begins as a writer, so that it cannot fail halfway for a lock."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise


def used_bytes(db: sqlite3.Connection) -> int:
    """Size of what the file holds, free pages not counted."""
    return file_bytes(db) - _pragma(db, "freelist_count") * _pragma(db, "page_size")


def file_bytes(db: sqlite3.Connection) -> int:
    """Size of the file, free pages counted."""
    return _pragma(db, "page_count") * _pragma(db, "page_size")


def shrink(db: sqlite3.Connection, steps: int | None = None) -> None:
    """Give free pages back to the file system, all of them or those of so many steps. Not within a transaction.

    Between two steps others have as long for themselves as the first took. Where one of them holds the file longer, the
    rest stays free for the next time.
    """
    done, free = 0, _pragma(db, "freelist_count")
    try:
        while free > 0 and done != steps:
            began, before = time.monotonic(), free
            db.executescript(f"PRAGMA incremental_vacuum({PAGES_A_STEP})")  # execute() would free a single page
            free, done = _pragma(db, "freelist_count"), done + 1
            if free >= before:
                break
            if done != steps:
                time.sleep(time.monotonic() - began)
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # waits for nobody; it cuts the file off
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another writer holds the file: it may be tried again."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def explained(error: Exception, noun: str) -> str:
    """What an SQLite or file error means for a user and what to do."""
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith("SQLITE_FULL"):
        return f"the disk, or the room allowed for {noun}, is full: delete some or raise the limit"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"the file of {noun} is locked by another process: end that process, or give this server its own folder"
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"the file of {noun} is damaged: move it away (a new one is made when it is needed), or restore it"
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or isinstance(error, OSError):
        return f"the file of {noun} cannot be written: check the rights of the data folder"
    return f"the file of {noun} fails ({code or type(error).__name__}): check the disk and the data folder"


@contextmanager
def explaining(noun: str) -> Iterator[None]:
    """Turn SQLite's and the file system's errors into a `ApiError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ApiError(503, f"{noun}_unavailable", explained(error, noun)) from error
