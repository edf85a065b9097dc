"""What the server keeps in its data folder, and the work done on it."""

from __future__ import annotations

from dataclasses import dataclass

from server.jobs import JobQueue
from server.policies import Policies
from server.recordings import Recorder, RecordingStore
from server.scenario_editing import Editor
from server.scenarios import Scenarios
from server.settings import Settings
from server.training.runner import TrainingRunner
from server.training.runs import Runs
from server.uploads import Uploads


@dataclass
class Archive:
    """One server's."""

    recordings: RecordingStore
    jobs: JobQueue  # comparisons and scalability
    uploads: Uploads
    editor: Editor  # of scenarios
    training: TrainingRunner
    runs: Runs
    recorder: Recorder | None = None  # while the server runs and records

    def attach(self, recorder: Recorder) -> None:
        """Let the store know which recording is being written."""
        self.recorder = recorder
        self.recordings.live = lambda: recorder.status.recording

    @classmethod
    def of(cls, settings: Settings, scenarios: Scenarios, policies: Policies) -> Archive:
        """The archive of the settings' folders; nothing is opened yet."""
        uploads = Uploads(
            settings.data_dir / "data", settings.max_upload_bytes, settings.uploads_max_bytes, settings.scenarios_dir
        )
        return cls(
            recordings=RecordingStore(settings.data_dir / "recordings.sqlite", settings.recordings_max_bytes),
            jobs=JobQueue(settings.data_dir),
            uploads=uploads,
            editor=Editor(scenarios, uploads),
            training=TrainingRunner(settings.data_dir, policies.runs, scenarios, policies),
            runs=Runs(policies.runs),
        )
