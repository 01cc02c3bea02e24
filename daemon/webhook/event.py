"""What a webhook is told, as JSON. `webhook.schema.json` is made from it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from config.sections import Settings
from config.text import encodable
from daemon.names import shown
from daemon.paths import shown_path
from daemon.states import State
from daemon.status.collect import sentence_of

if TYPE_CHECKING:
    from daemon.store import Delivery, Job

EventType = Literal["job.finished", "job.failed", "job.cancelled", "job.held"]
TYPES: Final[dict[State, EventType]] = {
    State.SUCCESS: "job.finished",
    State.FAILURE: "job.failed",
    State.CANCELLED: "job.cancelled",
    State.HELD: "job.held",
}


class JobFacts(BaseModel):
    """The job."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    job: str = Field(description="Its id.")
    bundle: str = Field(description="The bundle's name.")
    inbox: str = Field(description="The inbox's name.")
    state: str = Field(description="The state that it has come to: SUCCESS, FAILURE, CANCELLED or HELD.")
    sentence: str = Field(description="How it stands, in words.")
    reason: str = Field(description="Why it has come to this state.")
    by: str = Field(description="Who did it: the daemon, or the user who cancelled.")
    attempt: int = Field(description="Which try of this bundle it is, from 1.")
    verdict: str | None = Field(description="The quality's: normal, warning or failure.")
    error: dict[str, Any] | None = Field(description="error.json's content.")
    result: str | None = Field(description="The folder of the result, as people know it.")
    folder: str | None = Field(description="The name of that folder in the outbox.")
    answered_by: str | None = Field(description="The earlier job of the same content.")
    retry_of: str | None = Field(description="The job that this is another try of.")
    created_at: datetime = Field(description="When it was recorded.")
    started_at: datetime | None = Field(description="When it began to run.")
    finished_at: datetime | None = Field(description="When it ended.")


class Event(BaseModel):
    """What a webhook is told: that a job has come to a state."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    type: EventType = Field(description="What has happened.")
    timestamp: datetime = Field(description="When it happened.")
    schema_version: Literal[1] = Field(default=1, description="Version of this schema.")
    data: JobFacts = Field(description="The job as it stands now.")


def event_of(step: Delivery, job: Job, settings: Settings) -> Event:
    """The event of a job's step."""
    return Event(
        type=TYPES[step.after],
        timestamp=step.at,
        data=JobFacts(
            job=job.id,
            bundle=shown(job.entry),
            inbox=job.inbox,
            state=str(step.after),
            sentence=sentence_of(job, None),
            reason=shown(step.reason),
            by=shown(step.by),
            attempt=job.attempt,
            verdict=job.verdict,
            error=encodable(job.error),
            result=shown_path(job.result_path, settings) if job.result_path else None,
            folder=shown(Path(job.result_path).name) if job.result_path else None,
            answered_by=job.answered_by,
            retry_of=job.retry_of,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        ),
    )
