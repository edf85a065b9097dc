"""Recordings: what is written is found again, whatever happens to the process, the disk or the file."""

# ruff: noqa: F811 (fixtures of tests.server.recording)

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.database import connect
from server.errors import ApiError
from server.recordings import Recorder, RecordingStore, export
from server.recordings.database import LAYOUT
from tests.server.frames import frame
from tests.server.recording import CAP, RUN, Make, make, path, recorded, store  # noqa: F401 (fixtures)
from tests.server.waiting import until


def test_a_recording_that_is_named_can_be_read(path: Path, store: RecordingStore) -> None:
    recorder = Recorder(path, cap_bytes=CAP, flush_s=30.0)
    try:
        for _ in range(20):
            name = recorder.begin(RUN)
            assert recorder.settled().recording == name
            assert store.get(name).id == name
    finally:
        assert recorder.close()


def test_what_is_recorded_is_read_back(make: Make, store: RecordingStore) -> None:
    frames = [frame(step) for step in range(600)]
    name = recorded(make(), frames)
    listed = store.list()
    assert [item.id for item in listed.recordings] == [name]
    assert listed.used_bytes < CAP
    about = store.get(name)
    assert (about.state, about.frames, about.first, about.seed) == ("complete", 600, 0, 7)
    assert about.about == {"hello": {"agents": []}}
    read = [payload for chunk in store.chunks(name) for payload in chunk.frames]
    assert read == [one.json for one in frames]
    first, page, following = store.page(name, 250, 20)
    assert (first, following) == (250, 270)
    assert [json.loads(payload)["step"] for payload in page] == list(range(250, 270))
    assert store.page(name, 599, 20)[2] is None
    assert store.page(name, 10_000, 5) == (10_000, [], None)


def test_seek_finds_the_frame_at_a_step_a_time_or_a_moment(make: Make, store: RecordingStore) -> None:
    name = recorded(make(), [frame(step) for step in range(400)])
    assert store.seek(name, step=321).frame == 321
    assert store.seek(name, sim_time="2016-06-02T00:00:00").frame == 96
    assert store.seek(name, sim_time="2016-06-02T00:01").frame == 97
    with pytest.raises(ApiError, match="ends before step = 400"):
        store.seek(name, step=400)
    started = store.get(name).started
    sought = store.seek(name, elapsed_s=frame(50).data["step"] / 10 + 1767225600 - started)
    assert sought.frame == 50
    assert store.seek(name).frame == 0
    assert store.seek(name, step=10, sim_time="2016-06-02T00:00").frame == 96


def test_events_are_intervals(make: Make, store: RecordingStore) -> None:
    cloud = [{"kind": "cloud", "magnitude": 0.2, "branch": None, "steps_left": 3}]
    trip = [{"kind": "branch_outage", "magnitude": None, "branch": 4, "steps_left": 3}]
    frames = [
        frame(0), frame(1, islanded=True), frame(2, islanded=True, overloads=2), frame(3),
        frame(4, perturbations=cloud), frame(5, perturbations=cloud + trip), frame(6, violations=1),
        frame(7, converged=False),
    ]  # fmt: skip
    name = recorded(make(), frames)
    events = [(e.kind, e.frame, e.until, e.step) for e in store.events(name).events]
    assert events == [
        ("outage", 1, 3, 1), ("overload", 2, 3, 2), ("perturbation", 4, 6, 4), ("perturbation", 5, 6, 5),
        ("voltage_violation", 6, None, 6),
    ]  # fmt: skip
    assert store.events(name, "perturbation").total == 2
    said = [e.detail for e in store.events(name).events]
    assert said[1].startswith("2 branches above their rating")
    assert said[0] == "Islanded: the utility was cut off"
    assert said[2:4] == ["Cloud: 20 % of the sun left", "Branch 4 opened"]
    assert said[4].startswith("1 bus outside the voltage band")
    assert store.get(name).events == 5


def test_pin_rename_delete(make: Make, path: Path) -> None:
    recorder = make()
    store = RecordingStore(path, CAP, live=lambda: recorder.status.recording)
    name = recorder.begin(RUN)
    recorder.frame(frame(0))
    until(lambda: recorder.status.written == 1)
    assert store.get(name).state == "recording"
    with pytest.raises(ApiError, match="stop the run first"):
        store.delete(name)
    recorder.end()
    changed = store.change(name, "my day", True)
    assert (changed.name, changed.pinned) == ("my day", True)
    store.delete(name)
    assert store.list().total == 0
    with pytest.raises(ApiError, match="there is no recording"):
        store.get(name)


def test_a_locked_file_is_waited_for(make: Make, path: Path, store: RecordingStore) -> None:
    recorder = make()
    name = recorder.begin(RUN)
    recorder.frame(frame(0))
    until(lambda: recorder.status.written == 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder.frame(frame(1))
    time.sleep(1.2)  # longer than one attempt
    assert recorder.status.state == "recording"
    assert recorder.status.written == 1
    other.execute("ROLLBACK")
    other.close()
    until(lambda: recorder.status.written == 2)
    assert store.get(name).frames == 2


def test_a_file_locked_for_good_stops_recording(make: Make, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.recordings.recorder.RETRY_S", 0.1)
    recorder = make()
    recorder.begin(RUN)
    recorder.frame(frame(0))
    until(lambda: recorder.status.written == 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder.frame(frame(1))
    until(lambda: recorder.status.state == "stopped")
    assert "locked" in (recorder.status.warning or "")
    other.close()
    second = recorder.begin(RUN)  # the next run is recorded again
    recorder.frame(frame(0))
    until(lambda: recorder.status.written == 1)
    assert recorder.status == ("recording", second, 1, 0, None)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_corrupt_file_is_told_and_left_alone(make: Make, path: Path, store: RecordingStore, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ApiError, match="damaged") as caught:
        store.list()
    assert (caught.value.status, caught.value.code) == (503, "recordings_unavailable")
    recorder = make()
    recorder.begin(RUN)
    until(lambda: recorder.status.state == "stopped")
    assert path.read_bytes() == content


def test_a_corrupt_recording_is_told_and_the_others_are_read(make: Make, path: Path, store: RecordingStore) -> None:
    recorder = make()
    bad, good = (recorded(recorder, [frame(step) for step in range(300)]) for _ in range(2))
    with sqlite3.connect(path) as db:
        number = db.execute("SELECT number FROM recording WHERE id = ?", (bad,)).fetchone()[0]
        db.execute("UPDATE chunk SET data = x'00ff' WHERE recording = ? AND first = 0", (number,))
    with pytest.raises(ApiError, match="is damaged \\(frames 0 to") as caught:
        store.page(bad, 0, 10)
    assert caught.value.code == "recording_damaged"
    assert len(store.page(good, 0, 10)[1]) == 10
    last = store.get(bad).frames - 1
    assert store.list().total == 2
    assert store.page(bad, last, 10)[0] == last


def test_a_newer_file_and_a_foreign_one_are_refused(path: Path, store: RecordingStore) -> None:
    connect(path, LAYOUT).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ApiError, match="newer version"):
        store.list()
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(ApiError, match="another program"):
        store.list()


def test_frames_too_fast_are_dropped_and_counted(make: Make, store: RecordingStore) -> None:
    recorder = make(flush_s=0.3)
    name = recorder.begin(RUN)
    big = frame(0, agents=1000)
    for _ in range(200):
        recorder.frame(big)
    dropped = recorder.status.dropped
    assert dropped > 0
    recorder.end()
    until(lambda: store.list().total and store.get(name).state == "complete")
    about = store.get(name)
    assert about.frames + about.dropped == 200


def test_export(make: Make, store: RecordingStore) -> None:
    name = recorded(make(), [frame(step, name="=cmd()") for step in range(300)])
    text = b"".join(export.csv_text(store, name, "agents", 0, None)).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 600
    assert lines[-1]["frame"] == "299"
    assert float(lines[-1]["soc_kwh"]) == 1.5 * 299
    assert lines[0]["name"] == "'=cmd()"
    flows = b"".join(export.csv_text(store, name, "flows", 10, 12)).decode().splitlines()
    assert flows[0] == "frame,timestamp,sim_time,step,source,target,power_kw"
    assert len(flows) == 3
    whole = json.loads(b"".join(export.json_text(store, name, 5, 8)))
    assert [one["step"] for one in whole["frames"]] == [5, 6, 7]
    assert whole["recording"]["id"] == name


def test_chunks_are_read_in_stretches(
    make: Make, path: Path, store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few connections for many chunks, none open between them, and the same frames from wherever one begins."""
    recorder = make()
    name = recorder.begin(RUN)
    for step in range(300):
        recorder.frame(frame(step))
        if step % 3 == 0:
            until(lambda step=step: recorder.status.written == step + 1)
    until(lambda: recorder.status.written == 300)
    recorder.end()
    until(lambda: recorder._writer is None)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM chunk").fetchone()[0] >= 100
    opened, real = [], store._open
    monkeypatch.setattr(store, "_open", lambda: opened.append(1) or real())
    for first, end in ((0, None), (0, 300), (1, 299), (150, 151), (299, 300), (7, 8), (300, None), (20, 20)):
        steps = [json.loads(payload)["step"] for chunk in store.chunks(name, first, end) for payload in chunk.frames]
        assert steps == list(range(first, 300 if end is None else end))
    opened.clear()
    reading = store.chunks(name)
    next(reading)
    with sqlite3.connect(path, timeout=0.1) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "nobody reads between two chunks"
    assert sum(len(chunk.frames) for chunk in reading) < 300
    assert len(opened) < 12


def test_the_end_of_an_interrupted_recording_is_its_last_commit(make: Make, path: Path, store: RecordingStore) -> None:
    name = recorded(make(), [frame(step) for step in range(600)])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE recording SET ended = NULL")
        last = db.execute("SELECT max(last_wall) FROM chunk").fetchone()[0]
    assert (store.get(name).state, store.get(name).ended) == ("interrupted", last)


def test_parquet(make: Make, store: RecordingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    name = recorded(make(), [frame(step) for step in range(10)])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ApiError, match=r"pip install 'smartgrid-marl\[parquet\]'") as caught:
            export.parquet_file(store, name, "agents", 0, None)
        assert caught.value.status == 501
    parquet = pytest.importorskip("pyarrow.parquet")
    file = export.parquet_file(store, name, "metrics", 0, None)
    table = parquet.read_table(file)
    file.unlink()
    assert table.num_rows == 10
    assert table.column("total_demand_kw").to_pylist() == [float(step) for step in range(10)]


def killed_recordings(path: Path, kills: int) -> Iterator[tuple[str, list[tuple[int, float]], float]]:
    """Children that record at 100 Hz, killed with SIGKILL: id, (step, time) handed over, time of the kill."""
    command = [sys.executable, "-m", "tests.server.recording_process", str(path), "100"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for attempt in range(kills):
            process.stdin.write("go\n")
            pid, handed, name, begun = 0, [], "", 0.0
            for line in process.stdout:
                words = line.split()
                if words[0] == "dead":
                    break
                if words[0] == "pid":
                    pid = int(words[1])
                    continue
                name = words[0]
                handed.append((int(words[1]), float(words[2])))
                begun = begun or handed[0][1]
                if pid and time.time() - begun > 1.1 + 0.13 * attempt:
                    killed = time.time()
                    os.kill(pid, signal.SIGKILL)
                    pid = 0
            yield name, handed, killed
        process.stdin.close()


def check_kills(path: Path, kills: int) -> None:
    store = RecordingStore(path, CAP)
    for name, handed, killed in killed_recordings(path, kills):
        assert store.check() is None
        about = store.get(name)
        assert about.state == "interrupted"
        steps = [json.loads(payload)["step"] for chunk in store.chunks(name) for payload in chunk.frames]
        assert steps == list(range(about.frames)), "frames are there without a gap"
        early = [step for step, moment in handed if moment < killed - 1.0]
        assert early
        assert about.frames > early[-1], "all but the last second is there"
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert store.list().total == kills


def test_kill_9_loses_at_most_the_last_second(path: Path) -> None:
    check_kills(path, 4)


@pytest.mark.slow
def test_kill_9_twenty_times(path: Path) -> None:
    check_kills(path, 20)
