"""The room recordings take: what is deleted gives it back, caps are kept, a full disk ends the recording alone."""

# ruff: noqa: F811 (fixtures of tests.server.recording)

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from server.recordings import RecordingStore
from tests.server.frames import frame
from tests.server.recording import CAP, RUN, Make, make, path, recorded, store  # noqa: F401 (fixtures)
from tests.server.waiting import until


def padded(path: Path, name: str, mib: int) -> str:
    """A recording with this much more in it."""
    with sqlite3.connect(path) as db:
        (number,) = db.execute("SELECT number FROM recording WHERE id = ?", (name,)).fetchone()
        for k in range(mib):
            db.execute("INSERT INTO chunk VALUES (?, ?, 1, 0, '', 0, ?)", (number, 10_000 + k, os.urandom(1 << 20)))
    return name


@pytest.mark.parametrize("live", [False, True])
def test_deleting_makes_the_file_smaller(make: Make, path: Path, store: RecordingStore, live: bool) -> None:
    """Whether or not the recorder holds the file open; it can write meanwhile."""
    recorder = make(cap_bytes=CAP)
    kept, large = (recorded(recorder, [frame(step) for step in range(64)]) for _ in range(2))
    padded(path, large, 20)
    if live:
        recorder.begin(RUN)
        recorder.frame(frame(0))
        until(lambda: recorder.status.written == 1)
    store.delete(large)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert path.stat().st_size < 1 << 20
    assert len(store.page(kept, 0, 100)[1]) == 64
    if live:
        recorder.frame(frame(1))
        until(lambda: recorder.status.written == 2)


def test_what_is_deleted_beside_a_reader_goes_later(make: Make, path: Path, store: RecordingStore) -> None:
    first, second = (padded(path, recorded(make(), [frame(0)]), 4) for _ in range(2))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM chunk").fetchone()
    store.delete(first)
    reader.close()
    store.delete(second)
    assert path.stat().st_size < 1 << 20


def test_a_lower_cap_makes_the_file_smaller(make: Make, path: Path) -> None:
    for _ in range(3):
        padded(path, recorded(make(cap_bytes=CAP), [frame(0)]), 6)
    recorder = make(cap_bytes=8 << 20)
    recorder.begin(RUN)

    def has_shrunk() -> bool:
        recorder.frame(frame(0))
        return path.stat().st_size <= 8 << 20

    until(has_shrunk)


def test_the_oldest_unpinned_recordings_make_room(make: Make, path: Path) -> None:
    noise = [frame(step, agents=40, name=os.urandom(200).hex()) for step in range(256)]
    recorder = make()
    kept = recorded(recorder, noise)
    RecordingStore(path, CAP).change(kept, None, True)
    size = path.stat().st_size
    recorder.close()
    recorder = make(cap_bytes=3 * size)
    names = [recorded(recorder, noise) for _ in range(4)]
    store = RecordingStore(path, 3 * size)
    left = [item.id for item in store.list().recordings]
    assert kept in left
    assert names[-1] in left
    assert names[0] not in left
    assert store.list().used_bytes <= 3 * size


def test_a_run_longer_than_the_cap_keeps_its_newest_frames(make: Make, store: RecordingStore) -> None:
    recorder = make(cap_bytes=200_000)
    name = recorder.begin(RUN)
    for step in range(1024):
        recorder.frame(frame(step, agents=20, name=os.urandom(100).hex()))
        if step % 64 == 0:
            until(lambda: not recorder._queue and not recorder._batch.frames)
    until(lambda: recorder.status.written == 1024)
    recorder.end()
    about = store.get(name)
    assert 0 < about.first < 1024
    assert about.first + about.frames == 1024
    first, page, _ = store.page(name, 0, 5)
    assert first == about.first
    assert json.loads(page[0])["step"] == first
    assert store.list().used_bytes <= 200_000


def test_a_full_disk_stops_recording_and_not_the_run(make: Make, store: RecordingStore) -> None:
    warnings: list[str | None] = []
    recorder = make(max_pages=60, on_warning=warnings.append)
    name = recorder.begin(RUN)
    for step in range(2000):
        recorder.frame(frame(step, agents=10, name=os.urandom(100).hex()))
        if step % 50 == 0:
            time.sleep(0.02)
        if recorder.status.state == "stopped":
            break
    status = recorder.status
    assert status.state == "stopped"
    assert status.warning is not None
    assert "full" in status.warning
    assert warnings == [None, status.warning]
    recorder.frame(frame(1))  # the run goes on and notices nothing
    recorder.end()
    about = store.get(name)
    assert about.frames == status.written
    assert sum(len(chunk.frames) for chunk in store.chunks(name)) == status.written
    assert store.get(name).state == "interrupted"


def test_a_nearly_full_disk_is_left_some_room(make: Make) -> None:
    recorder = make(min_free_bytes=1 << 60)
    recorder.begin(RUN)
    until(lambda: recorder.status.state == "stopped")
    assert "the disk has" in (recorder.status.warning or "")
