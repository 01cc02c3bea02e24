"""What the store takes and gives: frozen records, no database in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from daemon.process import ProcessIdentity
from daemon.states import FINAL, State


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands at one moment.

    `entry`, `source` and `result_path` are raw: bytes that are no UTF-8 are surrogate escapes in them.
    """

    id: str  # 8 characters, lower-case Crockford base32
    inbox: str  # the inbox's name
    entry: str  # the folder's or zip's name in it
    name: str  # the name that results get, made safe, without the id
    state: State
    outcome: State | None  # SUCCESS or FAILURE, from PUBLISHING on
    priority: int  # higher is earlier
    owner: str  # who dropped it: the turn goes round among owners
    options: dict[str, Any]  # effective job options
    content_key: str  # digests of the images, options and engine version
    fingerprint: str  # of the bundle when it was admitted
    attempt: int  # counts the jobs of this entry, from 1
    crashes: int  # how often the worker died on it
    spooled: bool  # its copy lies in the spool
    held_from: State | None  # while HELD
    hold_code: str | None
    hold_reason: str | None
    stage: str | None  # what the engine does now, while PROGRESS
    fraction: float  # 0..1 of the job
    eta_s: float | None
    error: dict[str, Any] | None  # the content of error.json
    verdict: str | None  # normal, warning or failure
    manifest: dict[str, dict[str, Any]] | None  # {path: {bytes, sha256}} of the result
    result_path: str | None  # where the result lies, absolute
    answered_by: str | None  # the job whose result answers this one
    retry_of: str | None  # the job that this one repeats
    source: str  # where the bundle lies now, absolute
    cancel_requested_at: datetime | None
    cancel_by: str | None
    lowered: bool  # a lower quality was tried after memory ran out
    notes: list[str]
    created_at: datetime
    started_at: datetime | None  # of the run under way, or the last
    finished_at: datetime | None
    updated_at: datetime
    timings_s: dict[str, float] | None = None  # seconds by stage of the run that made the result

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL

    @property
    def resumes_as(self) -> State:
        """The state that a held job goes on in."""
        return State.PUBLISHING if self.held_from is State.PUBLISHING else State.PENDING


class Glance(NamedTuple):
    """What a list of thousands of jobs shows of each; the fields are `Job`'s where they have its names."""

    id: str
    inbox: str
    entry: str
    state: State
    priority: int
    attempt: int
    stage: str | None
    fraction: float
    eta_s: float | None
    hold_reason: str | None
    cancel_requested_at: datetime | None
    cancel_by: str | None
    answered_by: str | None
    retry_of: str | None
    verdict: str | None
    error: dict[str, Any] | None
    result_path: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    has_thumbnail: bool  # its result has a thumbnail.webp
    has_preview: bool  # ... a preview_0.png
    has_report: bool  # ... a report.html

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class NewJob:
    """What intake knows of a bundle that it admits."""

    inbox: str
    entry: str
    name: str
    source: str
    fingerprint: str
    digests: dict[str, str]  # {"multi_views/front.png": sha256}
    sizes: dict[str, int]  # bytes, by the same paths
    options: dict[str, Any]
    content_key: str
    priority: int
    owner: str
    error: dict[str, Any] | None = None  # set: the bundle is refused, and the job only says so
    retry_of: str | None = None
    notes: list[str] = field(default_factory=list)
    redo: bool = False  # run again although this very drop was handled


@dataclass(frozen=True, slots=True)
class PublishedJob:
    """A finished job as its job.json in the outbox tells it, for a lost database."""

    id: str
    inbox: str
    entry: str
    name: str
    state: State  # SUCCESS or FAILURE
    result_path: str
    finished_at: datetime
    options: dict[str, Any] = field(default_factory=dict)
    content_key: str = ""
    fingerprint: str = ""
    attempt: int = 1
    owner: str = ""
    verdict: str | None = None
    error: dict[str, Any] | None = None
    manifest: dict[str, dict[str, Any]] | None = None
    digests: dict[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A step that a job made."""

    at: datetime
    before: State | None
    after: State
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A step of a job that a webhook is still to be told of."""

    number: int  # grows with every step of any job
    job: str
    at: datetime
    before: State | None
    after: State
    reason: str
    by: str
    attempts: int  # in vain so far


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """What is remembered of an inbox's entry between two looks and over restarts."""

    inbox: str
    entry: str
    fingerprint: str | None = None  # the one that was handled: unchanged, it is never admitted again
    job: str | None = None
    used_markers: dict[str, str] = field(default_factory=dict)  # marker -> its fingerprint when it was acted on
    status_text: str | None = None  # what STATUS.txt says
    note: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DaemonReport:
    """What a running daemon says of itself every few seconds, for those who look from outside."""

    process: ProcessIdentity
    version: str
    started_at: datetime
    beat_at: datetime
    state: str = "running"  # starting, running, stopping, stopped
    watches: dict[str, dict[str, Any]] = field(default_factory=dict)  # inbox -> WatchReport as JSON
    threads: dict[str, str] = field(default_factory=dict)  # thread -> time of its last step
    roots: dict[str, dict[str, Any]] = field(default_factory=dict)  # path -> {state, why, ...}
    waiting: list[dict[str, Any]] = field(default_factory=list)  # bundles that are not admitted yet
    last_error: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # anything else worth showing
