"""Records frames until it is killed: one forked child a line on standard input, each telling what it handed over."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from server.recordings.recorder import Recorder, RunAbout
from tests.server.frames import frame


def record(path: Path, hz: float) -> None:
    recorder = Recorder(path)
    name = recorder.begin(RunAbout("community-5", "idle", 0))
    step = 0
    while True:
        item = frame(step, agents=5, wall=datetime.now(UTC))
        recorder.frame(item)
        os.write(1, f"{name} {step} {time.time()}\n".encode())
        step += 1
        time.sleep(1 / hz)


def main() -> None:
    os.write(1, b"ready\n")
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            record(Path(sys.argv[1]), float(sys.argv[2]))
        os.write(1, f"pid {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
