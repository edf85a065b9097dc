"""What one may ask of training, and what the API says of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.requests import NAME
from trainer.config import Algorithm

State = Literal["idle", "running", "stopping", "finished", "stopped", "failed", "interrupted"]


class TrainingRequest(BaseModel):
    """A training run to begin. Everything is optional."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scenario: str = Field(default="community-5", pattern=NAME, description="Name of a scenario.")
    algorithm: Algorithm = Field(default="ippo", description="Learner.")
    name: str | None = Field(default=None, pattern=NAME, description="Name of the run; null: one is made.")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d{1,2})?)$", description="torch device.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Fields of TrainConfig (`/api/training/schema`) other than the preset's."
    )
    evaluate: bool = Field(default=True, description="Make the scoreboard at the end.")
    resume: bool = Field(default=False, description="Go on with the run of this name.")
    detached: bool = Field(default=False, description="Go on when the server stops.")


class TrainingStatus(BaseModel):
    """The training that runs, or ran last."""

    state: State = Field(description="interrupted: its process ended while no server watched.")
    run: str | None = Field(default=None, description="Name of the run, for `/api/runs` and `/ws/training`.")
    scenario: str | None = None
    algorithm: str | None = None
    detached: bool = False
    started: float | None = Field(default=None, description="s since 1970 UTC.")
    ended: float | None = Field(default=None, description="s since 1970 UTC.")
    exit_code: int | None = None
    progress: float = Field(default=0.0, description="Part of the iterations or of the time done, 0 to 1.")
    iteration: int | None = None
    iterations: int | None = None
    score: float | None = Field(default=None, description="Best score on the validation episodes so far.")
    log: list[str] = Field(default=[], description="Its last lines.")


class RunEntry(BaseModel):
    """A training run on disk."""

    name: str
    scenario: str | None
    algorithm: str | None
    created: float = Field(description="s since 1970 UTC.")
    iteration: int | None
    iterations: int | None
    seconds: float | None = Field(description="Training time so far.")
    score: float | None = Field(description="Best score on the validation episodes.")
    checkpoints: list[str]
    evaluated: bool = Field(description="Whether `/api/runs/{name}/scoreboard` has one.")


class RunDetail(RunEntry):
    """A run with its configuration."""

    config: dict[str, Any] | None = Field(description="config.json: train and scenario.")


class RunMetrics(BaseModel):
    """metrics.jsonl as columns, of at most as many points as asked for."""

    run: str
    rows: int = Field(description="Iterations there are; each point stands for some of them.")
    columns: dict[str, list[Any]] = Field(
        description="iteration, env_steps and seconds at a point's end, else means; null where none was logged."
    )
