"""Recordings of live runs: written crash-safe beside the run, found again, replayed, exported."""

from server.recordings.recorder import Recorder
from server.recordings.store import RecordingStore

__all__ = ["Recorder", "RecordingStore"]
