"""Plugs the recorder into the simulation: every run becomes a recording."""

from __future__ import annotations

import json
from typing import Any

from server.errors import ApiError, scrub
from server.recordings.recorder import Recorder, RunAbout
from server.scenarios import Scenarios
from server.sinks import LiveFrame
from server.wire import RunInfo


class RecordingSink:
    """A `sinks.Sink`; all it does in the simulation's thread is to hand over."""

    def __init__(self, recorder: Recorder, scenarios: Scenarios):
        self.recorder, self.scenarios = recorder, scenarios

    def begin(self, run: RunInfo, hello: dict[str, Any]) -> None:
        """A recording begins."""
        about = {"run": run.model_dump(mode="json"), "hello": hello, "config": self._config(run.scenario)}
        self.recorder.begin(RunAbout(run.scenario, run.policy, run.seed, about))

    def frame(self, run: RunInfo, frame: LiveFrame) -> None:
        """A step was taken."""
        self.recorder.frame(frame)

    def end(self, run: RunInfo, reason: str) -> None:
        """The recording is complete."""
        self.recorder.end(reason)

    def _config(self, scenario: str) -> dict[str, Any] | None:
        """What ran, in full, without this machine's folders: the scenario's file may change later."""
        try:
            return json.loads(scrub(self.scenarios.load(scenario).model_dump_json()))
        except ApiError:  # deleted since it was started
            return None
