"""A training run followed while it is written: metrics.jsonl, line by line."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.errors import ApiError, scrub
from server.frames import utc_now
from server.requests import NAME
from server.training.runs import row_of
from server.wire import TrainingHello, TrainingMetrics, TrainingStatus

POLL_S = 0.5
ROWS_A_MESSAGE = 500
BYTES_A_READ = 1 << 20


class Feed:
    """What one viewer has seen of a run.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path):
        self.run, self._config = folder.name, folder / "config.json"
        self._path = folder / "metrics.jsonl"
        self._offset, self._inode, self._rows, self._rest = 0, None, 0, b""

    @classmethod
    def find(cls, runs: Path, name: str | None) -> Feed:
        """A run by name, or the newest. Reads the folder: not for the event loop.

        Raises:
            ApiError: 404, there is none.
            OSError: the folder of runs cannot be read.
        """
        if name is not None and not re.match(NAME, name):
            raise ApiError(422, "invalid", f"run = {name[:80]!r}: expected the name of a run", "run")
        found: dict[str, float] = {}
        for path in runs.iterdir() if runs.is_dir() else ():
            with suppress(OSError):  # one that was just removed, or may not be read
                if re.match(NAME, path.name) and (path / "config.json").is_file():
                    found[path.name] = (path / "config.json").stat().st_mtime
        chosen = name if name is not None else max(found, key=lambda n: found[n], default=None)
        if chosen is None or chosen not in found:
            known = ", ".join(sorted(found, key=lambda n: -found[n])[:20]) or "none yet"
            raise ApiError(404, "not_found", f"no training run {chosen or ''}: there are {known}", "run")
        return cls(runs / chosen)

    async def follow(self) -> AsyncIterator[list[dict[str, Any]]]:
        """First the hello, then what is new whenever asked."""
        hello = TrainingHello(type="training_hello", run=self.run, config=await asyncio.to_thread(self._read_config))
        yield [hello.model_dump()]
        while True:
            yield await asyncio.to_thread(self._new)

    def heartbeat(self) -> dict[str, Any]:
        """That the run is still followed."""
        return TrainingStatus(type="training_status", run=self.run, rows=self._rows, timestamp=utc_now()).model_dump()

    def _read_config(self) -> dict[str, Any] | None:
        try:
            return json.loads(scrub(self._config.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    def _new(self) -> list[dict[str, Any]]:
        """Messages with the lines added since last time; a file replaced by a shorter one is read anew."""
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                restart = self._inode is not None and (stat.st_ino != self._inode or stat.st_size < self._offset)
                if restart:
                    self._offset, self._rows, self._rest = 0, 0, b""
                self._inode = stat.st_ino
                file.seek(self._offset)
                data = file.read(BYTES_A_READ)
        except OSError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        rows = [row for row in map(row_of, lines) if row is not None]
        self._rows += len(rows)
        if not rows and not restart:
            return []
        parts = [rows[i : i + ROWS_A_MESSAGE] for i in range(0, len(rows), ROWS_A_MESSAGE)] or [[]]
        return [
            TrainingMetrics(type="training_metrics", run=self.run, restart=restart and k == 0, rows=part).model_dump()
            for k, part in enumerate(parts)
        ]
