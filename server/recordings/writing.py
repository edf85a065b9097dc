"""What the recorder's thread does to the file: frames into chunks, events into the index, room when it is full."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from server.database import connect, file_bytes, is_busy, shrink, transaction, used_bytes
from server.errors import ApiError
from server.recordings.database import LAYOUT, delete_recording
from server.recordings.events import EventDetector

CHUNK_FRAMES = 256
CHUNK_BYTES = 4 << 20  # before compression; one frame may be larger
OVERFULL = 16  # chunks that may wait for a locked file
TIGHT = 0.9  # room is made down to this part of the cap, so that it need not be made at every commit


class Taken(NamedTuple):
    """A frame that waits to be written."""

    data: Mapping[str, Any]  # the message as plain values
    payload: bytes  # its JSON, one line
    wall: float  # when it was made, s since 1970 UTC


class Batch:
    """Frames that wait for the next commit."""

    def __init__(self) -> None:
        self.frames: list[Taken] = []
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it should be committed before more is added."""
        return len(self.frames) >= CHUNK_FRAMES or self.bytes >= CHUNK_BYTES

    @property
    def is_overfull(self) -> bool:
        """Whether waiting longer would take too much memory."""
        return len(self.frames) >= OVERFULL * CHUNK_FRAMES or self.bytes >= OVERFULL * CHUNK_BYTES

    def add(self, frame: Taken) -> None:
        """Append a frame."""
        self.frames.append(frame)
        self.bytes += len(frame.payload)


class RecordingWriter:
    """One recording being written."""

    def __init__(self, path: Path, cap_bytes: int, min_free_bytes: int, max_pages: int | None):
        self.path, self.cap_bytes, self.min_free_bytes = path, cap_bytes, min_free_bytes
        self._db = connect(path, LAYOUT, timeout_s=1.0, max_pages=max_pages)
        self._number, self._next = 0, 0
        self._detector = EventDetector()

    def begin(
        self, name: str, wall: float, scenario: str, policy: str, seed: int | None, about: dict[str, Any]
    ) -> None:
        """Make the recording's row."""
        self.make_room()
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO recording (id, name, scenario, policy, seed, started, about) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, f"{scenario} · {policy}", scenario, policy, seed, wall, orjson.dumps(about)),
            )
        self._number = int(cursor.lastrowid or 0)

    def write(self, batch: Batch, dropped: int) -> int:
        """Commit a batch as one transaction; returns how many frames the recording has had.

        Raises:
            ApiError: somebody deleted the recording.
            sqlite3.Error: nothing of the batch was written.
        """
        detector = EventDetector(self._detector.lasting)
        with transaction(self._db):
            total = self._write_chunks(batch.frames)
            self._write_events(batch.frames, detector)
            cursor = self._db.execute(
                "UPDATE recording SET next = next + ?, bytes = bytes + ?, dropped = ? WHERE number = ?",
                (len(batch.frames), total, dropped, self._number),
            )
            if cursor.rowcount != 1:
                raise ApiError(409, "recording_gone", "the recording was deleted while it was written")
        self._detector = detector
        self._next += len(batch.frames)
        return self._next

    def _write_chunks(self, frames: list[Taken]) -> int:
        """Rows of the chunk table; returns their compressed size."""
        total, begin = 0, 0
        while begin < len(frames):
            end, size = begin, 0
            while end < len(frames) and end - begin < CHUNK_FRAMES and (end == begin or size < CHUNK_BYTES):
                size += len(frames[end].payload)
                end += 1
            data = zlib.compress(b"\n".join(frame.payload for frame in frames[begin:end]), level=1)
            last = frames[end - 1]
            position = (last.data["step"], last.data["sim_time"], last.wall)
            self._db.execute(
                "INSERT INTO chunk (recording, first, frames, last_step, last_sim_time, last_wall, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._number, self._next + begin, end - begin, *position, data),
            )
            total, begin = total + len(data), end
        return total

    def _write_events(self, frames: list[Taken], detector: EventDetector) -> None:
        for number, frame in enumerate(frames, start=self._next):
            change = detector.update(frame.data)
            for key in change.over:
                self._db.execute(
                    "UPDATE event SET until = ? WHERE recording = ? AND key = ? AND until IS NULL",
                    (number, self._number, key),
                )
            for key, event in change.begun.items():
                where = (number, frame.data["step"], frame.data["sim_time"])
                self._db.execute(
                    "INSERT INTO event (recording, frame, step, sim_time, kind, key, detail) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (self._number, *where, event.kind, key, event.detail),
                )

    def make_room(self) -> None:
        """Keep the file within its cap and leave the disk some room.

        Raises:
            ApiError: the disk is full, or pinned recordings fill the cap.
        """
        free = shutil.disk_usage(self.path.parent).free
        if free < self.min_free_bytes:
            message = (
                f"the disk has {free >> 20} MiB left, at least {self.min_free_bytes >> 20} are kept free: make room"
            )
            raise ApiError(507, "disk_full", message)
        try:
            if used_bytes(self._db) > self.cap_bytes:
                self._drop_down_to_goal()
            if file_bytes(self._db) > self.cap_bytes:  # what is dropped is written over, unless the cap was lowered
                shrink(self._db, steps=1)
        except sqlite3.OperationalError as error:
            if not is_busy(error):  # somebody else writes: there is another chance after the next batch
                raise
            return
        if used_bytes(self._db) > self.cap_bytes:
            message = f"pinned recordings fill the {self.cap_bytes >> 20} MiB allowed: unpin or delete some"
            raise ApiError(507, "recordings_full", message)

    def _drop_down_to_goal(self) -> None:
        goal = int(self.cap_bytes * TIGHT)
        while used_bytes(self._db) > goal and self._drop_oldest():
            pass

    def _drop_oldest(self) -> bool:
        """Delete the oldest unpinned recording, or where there is no other the own oldest chunk."""
        row = self._db.execute(
            "SELECT number FROM recording WHERE pinned = 0 AND number != ? ORDER BY number LIMIT 1", (self._number,)
        ).fetchone()
        if row is not None:
            delete_recording(self._db, row[0])
            return True
        chunks = self._db.execute(
            "SELECT rowid, first + frames, length(data) FROM chunk WHERE recording = "
            "(SELECT number FROM recording WHERE number = ? AND pinned = 0) ORDER BY first LIMIT 2",
            (self._number,),
        ).fetchall()
        if len(chunks) < 2:  # the newest stays, and all of a pinned recording
            return False
        rowid, first, size = chunks[0]
        with transaction(self._db):
            self._db.execute("DELETE FROM chunk WHERE rowid = ?", (rowid,))
            self._db.execute(
                "DELETE FROM event WHERE recording = ? AND until IS NOT NULL AND until < ?", (self._number, first)
            )
            self._db.execute(
                "UPDATE recording SET first = ?, bytes = bytes - ? WHERE number = ?", (first, size, self._number)
            )
        return True

    def end(self, reason: str, wall: float) -> None:
        """Mark the recording as complete."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE recording SET ended = ?, end_reason = ? WHERE number = ?", (wall, reason, self._number)
            )

    def close(self) -> None:
        """Let the file go."""
        with contextlib.suppress(sqlite3.Error):  # nothing is lost: what was committed is in the log
            self._db.close()
