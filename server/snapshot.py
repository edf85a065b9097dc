"""What the simulation thread tells others: the state of things, replaced as a whole, and events for the viewers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from server.sinks import LiveFrame
from server.wire import Perturbation, RunInfo, State, Weights


@dataclass(frozen=True)
class Snapshot:
    """What anybody may read at any time."""

    state: State = "stopped"
    run: RunInfo | None = None
    step: int = 0
    episode: int = 0
    sim_time: str | None = None
    speed: float | Literal["max"] = 10.0
    weights: Weights | None = None
    perturbations: tuple[Perturbation, ...] = ()


class Audience(Protocol):
    """Who shows what happens; called from any thread, must not block."""

    def begin(self, hello: dict[str, Any]) -> None: ...
    def frame(self, frame: LiveFrame) -> None: ...
    def changed(self) -> None: ...
    def stepped(self, seconds: float) -> None: ...


_last_id = [0]


def new_run_id() -> str:
    """Sortable by time and unique in this process, e.g. 20260101T120000-123456."""
    now = max(time.time_ns() // 1000, _last_id[0] + 1)
    _last_id[0] = now
    return f"{datetime.fromtimestamp(now // 1_000_000, UTC):%Y%m%dT%H%M%S}-{now % 1_000_000:06d}"
