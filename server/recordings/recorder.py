"""Writes a live run into the recordings' file without ever making the run wait.

The run hands over frames; a thread of its own serialises, compresses and commits them, at least every `flush_s`. What
comes faster than it can be written is dropped and counted; when the file itself fails, recording stops with a warning
and the run goes on.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from server.database import explained, is_busy
from server.errors import ApiError
from server.ids import new_id
from server.recordings.database import LAYOUT
from server.recordings.writing import Batch, RecordingWriter, Taken
from server.sinks import LiveFrame

FLUSH_S = 0.4  # what a killed server loses at most, commit time aside; the promise is one second
QUEUE_WEIGHT = 20_000  # prosumers in all waiting frames: some 50 MB
BEGIN_S = 5.0  # how long who asks for a recording waits for its first line in the file
RETRY_S = 10.0  # how long a locked file is waited for before recording stops


@dataclass(frozen=True)
class RunAbout:
    """What a recording says of its run."""

    scenario: str
    policy: str
    seed: int | None
    about: Mapping[str, Any] = field(default_factory=dict)  # run, hello message, configuration; plain JSON types


class RecorderStatus(NamedTuple):
    """How recording stands."""

    state: Literal["idle", "recording", "stopped"]  # stopped: it failed, see `warning`
    recording: str | None  # id
    written: int  # frames on disk
    dropped: int  # frames that came faster than they could be written
    warning: str | None


class _Begin(NamedTuple):
    id: str
    run: RunAbout
    wall: float


class _End(NamedTuple):
    reason: str
    wall: float


class Recorder:
    """Records one run at a time; every method may be called from any thread and returns at once.

    Args:
        path: of the recordings' file.
        cap_bytes: what the file may hold; the oldest unpinned recordings make room, then the oldest frames.
        flush_s: longest time between commits, s.
        min_free_bytes: recording stops before the disk has less than this left.
        max_pages: limit of the file's size in SQLite pages, for tests of a full disk.
        on_warning: told when recording stops by itself, and None when it works again.
    """

    def __init__(
        self,
        path: Path,
        *,
        cap_bytes: int = 2 << 30,
        flush_s: float = FLUSH_S,
        min_free_bytes: int = 64 << 20,
        max_pages: int | None = None,
        on_warning: Callable[[str | None], None] = lambda _message: None,
    ):
        self.path, self.flush_s, self._on_warning = path, flush_s, on_warning
        self._limits = (cap_bytes, min_free_bytes, max_pages)
        self._wake = threading.Condition()  # guards the six below
        self._queue: deque[_Begin | LiveFrame | _End] = deque()
        self._weight, self._hurry = 0, False  # hurry: what is in the queue is not to wait for flush_s
        self._begun: str | None = None  # id whose first line is in the file
        self._closing = False
        self._status = RecorderStatus("idle", None, 0, 0, None)
        # The thread's own:
        self._writer: RecordingWriter | None = None
        self._writing: str | None = None  # id
        self._batch = Batch()
        self._locked_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    # The run's side -------------------------------------------------------------------------------------

    @property
    def status(self) -> RecorderStatus:
        """How recording stands."""
        return self._status

    def settled(self, timeout_s: float = BEGIN_S) -> RecorderStatus:
        """How recording stands, once a recording it names can be read; waits, so not for the run's thread."""
        with self._wake:
            self._wake.wait_for(
                lambda: self._status.state != "recording" or self._status.recording == self._begun, timeout_s
            )
            return self._status

    def begin(self, run: RunAbout) -> str:
        """Begin a recording, ending the one before; returns its id."""
        now = time.time()
        name = new_id(now)
        with self._wake:
            self._status = RecorderStatus("recording", name, 0, 0, None)
            self._queue.append(_Begin(name, run, now))
            self._hurry = True
            self._wake.notify_all()
        return name

    def frame(self, frame: LiveFrame) -> None:
        """Take a frame over; let go where nothing is recorded, dropped where too many wait."""
        weight = 1 + len(frame.data["agents"])
        with self._wake:
            if self._status.state != "recording":
                return
            if self._weight + weight > max(QUEUE_WEIGHT, 8 * weight):
                self._status = self._status._replace(dropped=self._status.dropped + 1)
                return
            self._queue.append(frame)
            self._weight += weight
            if self._weight > QUEUE_WEIGHT // 2:
                self._hurry = True
                self._wake.notify_all()

    def end(self, reason: str = "stopped") -> None:
        """End the recording; its last frames are committed at once."""
        with self._wake:
            if self._status.state == "recording":
                self._queue.append(_End(reason, time.time()))
            self._status = self._status._replace(state="idle", recording=None)
            self._hurry = True
            self._wake.notify_all()

    def close(self, timeout_s: float = 5.0) -> bool:
        """End and commit everything; whether that was done in time."""
        self.end("shutdown")
        with self._wake:
            self._closing = self._hurry = True
            self._wake.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # The thread's side ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._hurry, self.flush_s)
                items, closing = list(self._queue), self._closing
                self._queue.clear()
                self._weight, self._hurry = 0, False
            for item in items:
                self._guarded(self._take, item)
            self._guarded(self._flush)
            if closing:
                self._release()
                return

    def _guarded(self, action: Callable[..., None], *arguments: Any) -> None:
        """Whatever fails in the thread stops the recording, never the thread."""
        try:
            action(*arguments)
        except ApiError as error:
            self._stop(error.message)
        except (sqlite3.Error, OSError) as error:
            self._stop(explained(error, LAYOUT.noun))
        except Exception as error:  # a frame that is none: a bug elsewhere must not end the live run
            self._stop(f"frames cannot be recorded ({type(error).__name__}: {error})")

    def _take(self, item: _Begin | LiveFrame | _End) -> None:
        if isinstance(item, _Begin):
            self._begin(item)
        elif self._writer is None:
            return  # stopped: what was still in the queue is let go
        elif isinstance(item, _End):
            self._finish(item.reason, item.wall)
        else:
            wall = datetime.fromisoformat(item.data["timestamp"]).timestamp()
            self._batch.add(Taken(item.data, item.json, wall))
            if self._batch.is_full:
                self._flush()

    def _begin(self, item: _Begin) -> None:
        if self._writer is not None:
            self._guarded(self._finish, "replaced", item.wall)
        self._writing, run = item.id, item.run
        self._writer = RecordingWriter(self.path, *self._limits)
        self._writer.begin(item.id, item.wall, run.scenario, run.policy, run.seed, dict(run.about))
        with self._wake:
            self._begun = item.id
            self._wake.notify_all()
        self._on_warning(None)

    def _flush(self) -> None:
        """Commit what is pending; a locked file is tried again, the frames waiting in memory."""
        if self._writer is None or not self._batch.frames:
            return
        try:
            written = self._writer.write(self._batch, self._status.dropped)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self._locked_since = self._locked_since or time.monotonic()
            if self._batch.is_overfull or self._closing or time.monotonic() - self._locked_since > RETRY_S:
                raise
            return
        self._locked_since, self._batch = None, Batch()
        with self._wake:
            if self._status.recording in (None, self._writing):
                self._status = self._status._replace(written=written)
        self._writer.make_room()

    def _finish(self, reason: str, wall: float) -> None:
        if self._writer is None:
            return
        try:
            self._flush()
            self._writer.end(reason, wall)
        finally:
            self._release()

    def _release(self) -> None:
        """Let the file go."""
        writer, self._writer, self._batch, self._locked_since = self._writer, None, Batch(), None
        if writer is not None:
            writer.close()

    def _stop(self, reason: str) -> None:
        """Recording failed: say so, keep what is on disk, and wait for the next run."""
        self._release()
        with self._wake:
            if self._status.recording == self._writing:
                warning = f"recording stopped, the run goes on: {reason}"
                self._status = self._status._replace(state="stopped", warning=warning)
                self._wake.notify_all()
            else:  # the run has ended meanwhile, or another has begun
                warning = f"the last recording is cut short: {reason}"
                self._status = self._status._replace(warning=warning)
        self._on_warning(warning)
