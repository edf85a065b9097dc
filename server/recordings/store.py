"""Recordings found, read, renamed, pinned and deleted. Every call opens the file anew: calls come from any thread."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from server.database import connect, explaining, shrink, transaction, used_bytes
from server.errors import ApiError
from server.recordings.database import LAYOUT, delete_recording
from server.recordings.models import (
    EventList,
    Position,
    RecordedEvent,
    Recording,
    RecordingList,
    RecordingSummary,
    State,
)

PAGE_BYTES = 8 << 20  # a page of frames ends after this much JSON, whatever was asked for
STRETCH, STRETCH_BYTES = 64, 4 << 20  # chunks, and bytes of them, read from the file at a time


class Chunk(NamedTuple):
    """Frames as they lie in the file."""

    first: int  # number of the first
    frames: list[bytes]  # their JSON


class RecordingStore:
    """The recordings of one data folder.

    Args:
        path: of the recordings' file.
        cap_bytes: what it may hold, for display.
        live: id of the recording being written, None where none is.
    """

    def __init__(self, path: Path, cap_bytes: int, live: Callable[[], str | None] = lambda: None):
        self.path, self.cap_bytes, self.live = path, cap_bytes, live

    def check(self) -> str | None:
        """What is wrong with the file, None if nothing."""
        try:
            with self._open() as db:
                db.execute("SELECT id, about FROM recording ORDER BY number LIMIT 1").fetchone()
        except ApiError as error:
            return error.message
        return None

    def list(self, offset: int = 0, limit: int = 100) -> RecordingList:
        """A page of recordings, the newest first."""
        with self._open() as db:
            rows = db.execute(f"{_SUMMARY} ORDER BY number DESC LIMIT ? OFFSET ?", (limit, offset)).fetchall()
            (total,) = db.execute("SELECT count(*) FROM recording").fetchone()
            used = used_bytes(db)
        summaries = [RecordingSummary(**self._fields(row)) for row in rows]
        return RecordingList(recordings=summaries, total=total, used_bytes=used, cap_bytes=self.cap_bytes)

    def get(self, name: str) -> Recording:
        """Everything about a recording; raises `ApiError` where there is none of the id."""
        with self._open() as db:
            row = _found(db, name)
            (events,) = db.execute("SELECT count(*) FROM event WHERE recording = ?", (row["number"],)).fetchone()
            (about,) = db.execute("SELECT about FROM recording WHERE number = ?", (row["number"],)).fetchone()
        try:
            return Recording(**self._fields(row), about=orjson.loads(about), events=events)
        except orjson.JSONDecodeError:
            raise _damaged(name, "its description") from None

    def change(self, name: str, new_name: str | None, pinned: bool | None) -> Recording:
        """Rename, pin, unpin; None leaves a field as it is."""
        with self._open() as db:
            number = _found(db, name)["number"]
            with transaction(db):
                if new_name is not None:
                    db.execute("UPDATE recording SET name = ? WHERE number = ?", (new_name, number))
                if pinned is not None:
                    db.execute("UPDATE recording SET pinned = ? WHERE number = ?", (int(pinned), number))
        return self.get(name)

    def delete(self, name: str) -> None:
        """Remove a recording and give its room back; the one being written is refused."""
        with self._open() as db:
            number = _found(db, name)["number"]
            if name == self.live():
                raise ApiError(409, "conflict", f"recording {name} is being written: stop the run first")
            delete_recording(db, number)
            shrink(db)

    def events(self, name: str, kind: str | None = None, offset: int = 0, limit: int = 1000) -> EventList:
        """A page of its events."""
        with self._open() as db:
            where, values = "WHERE recording = ?", [_found(db, name)["number"]]
            if kind is not None:
                where, values = f"{where} AND kind = ?", [*values, kind]
            columns = "kind, frame, until, step, sim_time, detail"
            rows = db.execute(
                f"SELECT {columns} FROM event {where} ORDER BY frame, rowid LIMIT ? OFFSET ?", (*values, limit, offset)
            ).fetchall()
            (total,) = db.execute(f"SELECT count(*) FROM event {where}", values).fetchone()
        return EventList(events=[RecordedEvent(**dict(row)) for row in rows], total=total)

    def page(self, name: str, first: int | None, limit: int) -> tuple[int, list[bytes], int | None]:
        """Frames from number `first` (None: the oldest).

        Returns:
            number of the first frame returned, the frames' JSON, number to ask for next (None at the end).
        """
        recording = self.get(name)
        end = recording.first + recording.frames
        begin = recording.first if first is None else max(first, recording.first)
        frames: list[bytes] = []
        size = 0
        for chunk in self.chunks(name, begin, min(begin + limit, end)):
            for frame in chunk.frames:
                frames.append(frame)
                size += len(frame)
                if size >= PAGE_BYTES:
                    break
            if size >= PAGE_BYTES:
                break
        following = begin + len(frames)
        return begin, frames, following if frames and following < end else None

    def chunks(self, name: str, first: int = 0, end: int | None = None) -> Iterator[Chunk]:
        """Frames from number `first` up to before `end`, piece by piece; the file is not held open between them.

        Raises:
            ApiError: no such recording, or one whose frames cannot be read.
        """
        with self._open() as db:
            number = _found(db, name)["number"]
        at, end, count = first, 2**63 - 1 if end is None else end, 1
        while rows := self._stretch(number, at, end, count):
            for row in rows:
                chunk = _unpacked(name, row)
                skip = max(at - chunk.first, 0)
                yield Chunk(chunk.first + skip, chunk.frames[skip : end - chunk.first])
                at = chunk.first + len(chunk.frames)
            count = min(2 * count, STRETCH)  # who asks for a single chunk gets no more read

    def _stretch(self, number: int, at: int, end: int, count: int) -> Sequence[sqlite3.Row]:
        """Chunks as they lie in the file, from that of frame `at`, or else the next one, on; none after the last."""
        found, size = [], 0
        with self._open() as db:
            cursor = db.execute(
                "SELECT first, frames, data, length(data) AS size FROM chunk "
                "WHERE recording = ? AND first + frames > ? AND first < ? "
                "AND first >= coalesce((SELECT max(first) FROM chunk WHERE recording = ? AND first <= ?), 0) "
                "ORDER BY first LIMIT ?",
                (number, at, end, number, at, count),
            )
            for row in cursor:
                found.append(row)
                size += row["size"]
                if size >= STRETCH_BYTES:
                    break
        return found

    def seek(
        self, name: str, *, step: int | None = None, sim_time: str | None = None, elapsed_s: float | None = None
    ) -> Position:
        """The first frame at or after each of: a step, a simulated time, a time since the beginning.

        Raises:
            ApiError: nothing is recorded so late.
        """
        started = self.get(name).started
        wall = None if elapsed_s is None else started + elapsed_s
        asked = {"last_step": step, "last_sim_time": sim_time, "last_wall": wall}
        given = [(column, value) for column, value in asked.items() if value is not None] or [("last_step", 0)]
        return max((self._first_at(name, started, *pair) for pair in given), key=lambda position: position.frame)

    def _first_at(self, name: str, started: float, column: str, value: float | str) -> Position:
        with self._open() as db:
            row = db.execute(
                f"SELECT first FROM chunk WHERE recording = ? AND {column} >= ? ORDER BY first LIMIT 1",
                (_found(db, name)["number"], value),
            ).fetchone()
        chunk = None if row is None else next(self.chunks(name, row["first"]), None)
        if chunk is None:
            field, shown = column.removeprefix("last_").replace("wall", "elapsed_s"), value
            if column == "last_wall" and isinstance(value, float):
                shown = value - started
            raise ApiError(404, "not_found", f"recording {name} ends before {field} = {shown}", field)
        frames = [parsed(name, number, text) for number, text in enumerate(chunk.frames, start=chunk.first)]
        walls = [wall_clock(frame) for frame in frames]
        series = {
            "last_step": [f["step"] for f in frames], "last_sim_time": [f["sim_time"] for f in frames],
            "last_wall": walls,
        }[column]  # fmt: skip
        k = next((k for k, reached in enumerate(series) if reached >= value), len(frames) - 1)
        return Position(
            recording=name, frame=chunk.first + k, step=frames[k]["step"], sim_time=frames[k]["sim_time"],
            elapsed_s=max(walls[k] - started, 0.0),
        )  # fmt: skip

    def _fields(self, row: sqlite3.Row) -> dict[str, Any]:
        state: State = "complete" if row["ended"] is not None else "interrupted"
        if row["id"] == self.live():
            state = "recording"
        names = ("id", "name", "scenario", "policy", "seed", "started", "end_reason", "first", "dropped")
        ended = row["ended"] if row["ended"] is not None or state == "recording" else row["last_wall"]
        return {
            **{name: row[name] for name in names}, "pinned": bool(row["pinned"]), "state": state, "ended": ended,
            "frames": row["next"] - row["first"], "size_bytes": row["bytes"],
        }  # fmt: skip

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with explaining(LAYOUT.noun), closing(connect(self.path, LAYOUT)) as db:
            db.row_factory = sqlite3.Row
            yield db


_SUMMARY = """SELECT number, id, name, pinned, scenario, policy, seed, started, ended, end_reason, first, next, bytes,
dropped, (SELECT last_wall FROM chunk WHERE recording = number ORDER BY first DESC LIMIT 1) AS last_wall
FROM recording"""


def _found(db: sqlite3.Connection, name: str) -> sqlite3.Row:
    row = db.execute(f"{_SUMMARY} WHERE id = ?", (name,)).fetchone()
    if row is None:
        raise ApiError(404, "not_found", f"there is no recording {name!r}: GET /api/recordings lists them")
    return row


def _unpacked(name: str, row: sqlite3.Row) -> Chunk:
    where = f"frames {row['first']} to {row['first'] + row['frames'] - 1}"
    try:
        frames = zlib.decompress(row["data"]).split(b"\n")
    except (zlib.error, TypeError):
        raise _damaged(name, where) from None
    if len(frames) != row["frames"]:
        raise _damaged(name, where)
    return Chunk(row["first"], frames)


def _damaged(name: str, what: str) -> ApiError:
    message = f"recording {name} is damaged ({what}): other frames and other recordings are not; delete it, or export"
    return ApiError(500, "recording_damaged", f"{message} the rest by range")


def parsed(name: str, number: int, payload: bytes) -> dict[str, Any]:
    """A frame's JSON; raises `ApiError` where it is none."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise _damaged(name, f"frame {number}") from None


def wall_clock(frame: dict[str, Any]) -> float:
    """When a frame was made, s since 1970 UTC."""
    return datetime.fromisoformat(frame["timestamp"]).timestamp()
