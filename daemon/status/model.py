"""The status: of the daemon, its inboxes and its jobs, as JSON. `status.schema.json` is made from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class DaemonStatus(_Part):
    """How the process that does the work is."""

    state: Literal["running", "stuck", "stopped", "never"] = Field(
        description="`stuck`: its process lives but has not been heard of for a minute."
    )
    sentence: str = Field(description="The same in words.")
    version: str | None = Field(default=None, description="Its version.")
    pid: int | None = Field(default=None, description="Its process id.")
    host: str | None = Field(default=None, description="The machine it runs on.")
    started_at: datetime | None = Field(default=None, description="When it started.")
    beat_at: datetime | None = Field(default=None, description="When it was last heard of.")
    paused: bool = Field(description="Takes no jobs until `meshdrop resume`.")
    draining: bool = Field(description="Admits no new bundles until `meshdrop resume`.")
    last_error: str | None = Field(default=None, description="The last thing that went wrong in it.")


class WatchStatus(_Part):
    """How an inbox is watched."""

    mode: Literal["inotify", "polling", "unknown"] = Field(description="How new files are noticed.")
    healthy: bool = Field(description="Whether it works as it should.")
    why: str = Field(description="Why this mode.")
    remedy: str | None = Field(default=None, description="What to do where it does not work as it should.")
    latency_s: float | None = Field(default=None, description="Seconds to detection, as measured.")


class WaitingBundle(_Part):
    """A bundle that is not taken yet."""

    bundle: str = Field(description="Its name.")
    inbox: str = Field(description="The inbox's name.")
    sentence: str = Field(description="What it waits for.")
    missing: list[str] = Field(default_factory=list, description="The files that are missing.")
    waiting_s: float | None = Field(default=None, description="Seconds since it was last changed.")


class InboxStatus(_Part):
    """An inbox and its outbox."""

    name: str = Field(description="The inbox's name.")
    inbox: str = Field(description="Its folder, as people know it.")
    outbox: str = Field(description="The folder of its results, as people know it.")
    watch: WatchStatus = Field(description="How it is watched.")
    reachable: bool | None = Field(description="Whether both folders could be reached; null where not known.")
    problem: str | None = Field(default=None, description="What is wrong with it.")
    waiting: int = Field(description="How many bundles are not taken yet.")
    inbox_free: int | None = Field(default=None, description="Free space on the inbox's share, in bytes.")
    outbox_free: int | None = Field(default=None, description="Free space on the outbox's share, in bytes.")


class MachineStatus(_Part):
    """What the daemon's machine has."""

    state_free: int | None = Field(default=None, description="Free space in the state folder, in bytes.")
    gpu: str | None = Field(default=None, description="The GPU that jobs use.")
    vram_total: int | None = Field(default=None, description="Its memory, in bytes.")
    vram_free: int | None = Field(default=None, description="What of it was free when it was last asked, in bytes.")


class JobStatus(_Part):
    """A job at a glance."""

    job: str = Field(description="Its id.")
    bundle: str = Field(description="The bundle's name.")
    inbox: str = Field(description="The inbox's name.")
    state: str = Field(description="PENDING, PROGRESS, PUBLISHING, HELD, SUCCESS, FAILURE or CANCELLED.")
    sentence: str = Field(description="How it stands, in words.")
    stage: str | None = Field(default=None, description="What the engine is doing.")
    fraction: Fraction = Field(description="How much is done.")
    eta_s: float | None = Field(default=None, description="Seconds left; null while unknown.")
    place: int | None = Field(default=None, description="Its place in the queue, from 1.")
    priority: int = Field(description="The higher the earlier.")
    attempt: int = Field(description="Which try of this bundle it is, from 1.")
    verdict: str | None = Field(default=None, description="The quality's: normal, warning or failure.")
    error: dict[str, Any] | None = Field(default=None, description="error.json's content.")
    result: str | None = Field(default=None, description="The folder of the result, as people know it.")
    folder: str | None = Field(default=None, description="The name of that folder in the outbox.")
    report: str | None = Field(default=None, description="Address of its report, relative to the outbox.")
    thumbnail: str | None = Field(default=None, description="Address of its picture, relative to the outbox.")
    answered_by: str | None = Field(default=None, description="The earlier job of the same content.")
    retry_of: str | None = Field(default=None, description="The job that this is another try of.")
    created_at: datetime = Field(description="When it was recorded.")
    started_at: datetime | None = Field(default=None, description="When it began to run.")
    finished_at: datetime | None = Field(default=None, description="When it ended.")
    updated_at: datetime = Field(description="When it last changed.")


class Status(_Part):
    """Everything at a glance."""

    schema_version: Literal[1] = Field(default=1, description="Version of this schema.")
    at: datetime = Field(description="When this was put together.")
    daemon: DaemonStatus = Field(description="The process that does the work.")
    inboxes: list[InboxStatus] = Field(description="Each inbox and its outbox.")
    machine: MachineStatus = Field(description="What the machine has that the jobs run on.")
    counts: dict[str, int] = Field(description="How many jobs there are in each state.")
    running: list[JobStatus] = Field(description="Jobs that run or are being published.")
    queue: list[JobStatus] = Field(description="Jobs that wait for their turn, the next one first; 100 at most.")
    held: list[JobStatus] = Field(description="Jobs that wait for the machine or the share.")
    recent: list[JobStatus] = Field(description="Jobs that ended, the newest first; 50 at most.")
    waiting: list[WaitingBundle] = Field(description="Bundles that are not taken yet; 100 at most.")
    problems: list[str] = Field(description="What somebody should look at, in sentences.")
    contact: str = Field(description="Whom to ask.")
