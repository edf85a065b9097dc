"""Recordings to be tested: a file, who reads it, who writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.recordings import Recorder, RecordingStore
from server.recordings.recorder import RunAbout
from server.sinks import LiveFrame
from tests.server.waiting import until

RUN = RunAbout("community-5", "idle", 7, {"hello": {"agents": []}})
CAP = 64 << 20
Make = Callable[..., Recorder]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recordings.sqlite"


@pytest.fixture
def store(path: Path) -> RecordingStore:
    return RecordingStore(path, CAP)


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def recorder(**options: object) -> Recorder:
        made.append(Recorder(path, **{"flush_s": 0.01, "min_free_bytes": 0, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield recorder
    for one in made:
        one.close()


def recorded(recorder: Recorder, frames: list[LiveFrame], run: RunAbout = RUN) -> str:
    """A complete recording of the frames."""
    name = recorder.begin(run)
    for one in frames:
        recorder.frame(one)
    until(lambda: recorder.status.written == len(frames))
    recorder.end()
    until(lambda: recorder._writer is None)
    return name
