"""What the API says of recordings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

State = Literal["recording", "complete", "interrupted"]


class RecordingSummary(BaseModel):
    """A recording in the list."""

    id: str = Field(description="Its name in the API; sorts by the time it began.")
    name: str = Field(description="For people; can be changed.")
    pinned: bool = Field(description="Kept when older recordings are deleted to make room.")
    state: State = Field(description="interrupted: the server died before the run was stopped; what is there is whole.")
    scenario: str
    policy: str
    seed: int | None
    started: float = Field(description="Beginning, s since 1970 UTC.")
    ended: float | None = Field(description="End, s since 1970 UTC; of an interrupted one its last commit.")
    end_reason: str | None = Field(description="Why the recording ended.")
    first: int = Field(description="Number of the oldest frame there is; above 0 where the oldest made room.")
    frames: int = Field(description="Frames there are: numbers first to first + frames − 1.")
    dropped: int = Field(description="Frames that came faster than they could be written.")
    size_bytes: int = Field(description="Size of the compressed frames.")


class Recording(RecordingSummary):
    """A recording with all that is known of its run."""

    about: dict[str, Any] = Field(description="Hello message and configuration of the run.")
    events: int = Field(description="Entries of its event index.")


class RecordingList(BaseModel):
    """Recordings, the newest first."""

    recordings: list[RecordingSummary]
    total: int = Field(description="All there are, of which this is a page.")
    used_bytes: int = Field(description="Size of what the file holds.")
    cap_bytes: int = Field(description="What it may hold.")


class RecordingChange(BaseModel):
    """Fields of a recording that can be changed; those left out stay."""

    model_config = {"extra": "forbid"}

    name: str | None = Field(default=None, min_length=1, max_length=120, description="New name for people.")
    pinned: bool | None = Field(default=None, strict=True, description="Keep it when room is made.")


class RecordedEvent(BaseModel):
    """Something worth finding."""

    kind: str = Field(description="outage, overload, voltage_violation or perturbation.")
    frame: int = Field(description="Number of the frame it begins in.")
    until: int | None = Field(description="Number of the frame it is over in; null: it lasts to the end.")
    step: int
    sim_time: str
    detail: str


class EventList(BaseModel):
    """Events of a recording in the order of their beginning."""

    events: list[RecordedEvent]
    total: int


class FramePage(BaseModel):
    """Some frames of a recording."""

    recording: str
    first: int = Field(description="Number of the first frame of the page.")
    next: int | None = Field(description="Number to ask for next; null at the end.")
    frames: list[dict[str, Any]] = Field(description="Frames as they were sent over /ws/grid.")


class Position(BaseModel):
    """A place in a recording."""

    recording: str
    frame: int = Field(description="Its number.")
    step: int
    sim_time: str
    elapsed_s: float = Field(description="Wall-clock time since the recording began.")
