"""Puts results from the spool into the outbox: whole, once, over nothing.

A job is PUBLISHING once its result and the result's manifest are safe in the spool. From there each step may fail, or
be the last before a power cut, and be done again: what is in the outbox is known by the job's id in its job.json. The
engine is asked again only where the spool itself has lost the result.
"""

from __future__ import annotations

import errno
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from config.errors import DiskFull, InfrastructureError, MeshdropError, ShareUnavailable, UnknownError
from config.sections import Inbox, Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.names import shown
from daemon.paths import shown_path
from daemon.publish.answers import NoAnswer, answers_in_place, copy_answer, verify_result
from daemon.publish.delivery import Modes, Target, find_published, place, remove_partial, stage, write_latest
from daemon.publish.package import ERROR_FILE, Manifest, job_facts, package_result, zip_name_of
from daemon.publish.retention import apply_prune, plan_prune
from daemon.publish.trouble import SpoolDamaged, trouble_of
from daemon.roots import open_root
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import Job, Store

log = structlog.get_logger(__name__)

_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 60.0
_IDLE_S: Final = 5.0
_PRUNE_EVERY_S: Final = 600.0
_LATEST_TRIES: Final = 3
_PATIENCE_S: Final = 0.4  # with a share that is gone: it is said soon, and looked for often

_placing: dict[Path, threading.Lock] = defaultdict(threading.Lock)
"""One result at a time gets its name in an outbox, also where several inboxes share it."""


@dataclass
class _Try:
    """What is remembered of a job between two tries; lost with the process, and then everything is due at once."""

    due_s: float
    delay_s: float = _FIRST_RETRY_S
    latest_tries: int = 0
    told: str = ""


class Publisher:
    """Publishes the jobs that are PUBLISHING, and those HELD on the way, one at a time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        on_change: Callable[[], None],
        *,
        inboxes: Collection[str] | None = None,
    ) -> None:
        """inboxes: the names of those whose jobs are published; all where None (one publisher a frozen share)."""
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._on_change = on_change
        self._inboxes = inboxes
        self._tries: dict[str, _Try] = {}
        self._prune_s = float("-inf")

    def step(self, now_s: float) -> float:
        """Do what is due; the seconds until there may be more. `now_s`: the monotonic clock's time."""
        jobs = self._jobs()
        self._tries = {job.id: self._tries.get(job.id) or _Try(now_s) for job in jobs}
        for job in jobs:
            if self._tries[job.id].due_s <= now_s:
                self._try(job, now_s)
                return 0.0
        if now_s >= self._prune_s:
            self._prune_s = now_s + _PRUNE_EVERY_S
            self._prune()
        return min((self._tries[job.id].due_s - now_s for job in jobs), default=_IDLE_S)

    def _prune(self) -> None:
        """Delete what the settings no longer keep; by default they keep everything."""
        kept = self._settings.retention
        if kept.results or kept.archived or kept.free_mb:
            plan = plan_prune(self._settings, self._store, self._clock, self._files, inboxes=self._inboxes)
            apply_prune(plan, self._store, self._files)

    def _jobs(self) -> list[Job]:
        jobs = self._store.jobs(states={State.PUBLISHING, State.HELD})
        return [
            job
            for job in jobs
            if (job.state is State.PUBLISHING or job.held_from is State.PUBLISHING)
            and (self._inboxes is None or job.inbox in self._inboxes)
        ]

    def _try(self, job: Job, now_s: float) -> None:
        from daemon.store import StateChanged

        try:
            self._advance(job)
        except StateChanged:
            pass  # somebody was quicker; the next step sees it as it is
        except SpoolDamaged as damage:
            self._begin_again(job, f"the result in the spool is damaged: {damage}")
        except NoAnswer:
            self._begin_again(job, f"the result of {job.answered_by} is not what it was")
        except OSError as error:
            read_only = error.errno == errno.EROFS  # which no waiting mends, as with a full disk
            self._later(job, trouble_of(error, self._place_of(job, error)), now_s, gone=read_only)
        except InfrastructureError as error:
            self._later(job, error, now_s, gone=True)
        except Exception as error:
            log.error("publish.failed", job=job.id, bundle=shown(job.entry), exc_info=error)
            known = error if isinstance(error, MeshdropError) else UnknownError(f"Publishing failed: {error}")
            self._later(job, known, now_s)
        else:
            self._on_change()

    def _advance(self, job: Job) -> None:
        """All of the way from the spool to the outbox; each step may have been done already."""
        files, settings = self._files, self._settings
        inbox = self._inbox_of(job)
        open_root(inbox.outbox, "outbox", settings.state_dir, files, self._clock)
        target = Target(inbox.outbox, job.id, job.name, failed=job.outcome is State.FAILURE)
        modes = Modes(settings.publish, files, job.id)
        found = find_published(target, files)
        if found is None and job.state is State.HELD and job.cancel_requested_at is not None:
            remove_partial(target, files)
            self._store.transition(
                job.id, State.CANCELLED, reason="cancelled", by=job.cancel_by or "", expect=job.state
            )
            return
        if found is None and job.answered_by is not None and job.manifest is None:
            answer = self._store.job(job.answered_by)
            if answers_in_place(job, answer, inbox.outbox):
                self._answer(job, answer, target, modes)
                return
        if found is None:
            manifest = job.manifest or self._make_result(job)
            try:
                stage(self._result_of(job), target, manifest, modes, files)
            except SpoolDamaged:
                if job.outcome is not State.FAILURE or job.error is None:
                    raise
                manifest = self._make_result(job)  # all that there is to say stands in the store
                stage(self._result_of(job), target, manifest, modes, files)
            job = self._go_on(job)
            with _placing[inbox.outbox]:
                found = place(target, files)
        self._finish(job, found, target, modes)

    def _go_on(self, job: Job) -> Job:
        """PUBLISHING again, now that everything could be written."""
        if job.state is not State.HELD:
            return job
        return self._store.transition(
            job.id, State.PUBLISHING, reason="the share can be written again", expect=State.HELD
        )

    def _finish(self, job: Job, folder: Path, target: Target, modes: Modes) -> None:
        job = self._go_on(job)
        self._files.fsync_folder(target.outbox)
        assert job.outcome is not None
        if job.outcome is State.SUCCESS:
            self._point_to(job, folder, target, modes)
        self._store.transition(
            job.id,
            job.outcome,
            reason=f"published as {shown(folder.name)}",
            expect=State.PUBLISHING,
            result_path=str(folder),
        )

    def _answer(self, job: Job, answer: Job, target: Target, modes: Modes) -> None:
        """Rule 11, the same name: the folder that is there is the result."""
        if not verify_result(answer, self._files):
            raise NoAnswer
        assert answer.result_path is not None
        job = self._go_on(job)
        folder = Path(answer.result_path)
        self._point_to(job, folder, target, modes)
        self._store.transition(
            job.id,
            State.SUCCESS,
            reason=f"the same content was made by {answer.id}: {shown(folder.name)}",
            expect=State.PUBLISHING,
            result_path=str(folder),
            manifest=answer.manifest,
            verdict=answer.verdict,
        )

    def _point_to(self, job: Job, folder: Path, target: Target, modes: Modes) -> None:
        """The newest success of this name, for scripts. After three tries the job goes on without it."""
        attempt = self._tries.setdefault(job.id, _Try(0.0))
        facts = {
            "job": job.id,
            "finished_at": self._clock.now().isoformat(timespec="seconds"),
            "status": job.verdict,
        }
        try:
            write_latest(target, folder.name, facts, modes, self._files)
        except OSError as error:
            attempt.latest_tries += 1
            if attempt.latest_tries < _LATEST_TRIES:
                raise
            log.warning("publish.latest_failed", job=job.id, bundle=shown(job.entry), reason=str(error))

    def _make_result(self, job: Job) -> Manifest:
        """The result of a job that has none yet: a refused bundle's, or a copy of an earlier result."""
        folder, files = self._result_of(job), self._files
        inputs = self._store.inputs(job.id)
        zipped = self._settings.publish.zip
        for above in (folder.parent.parent, folder.parent):
            if not files.exists(above):
                files.mkdir(above)
        if files.exists(folder):
            files.remove_tree(folder)
        files.mkdir(folder)
        if job.answered_by is not None:
            manifest = copy_answer(job, self._store.job(job.answered_by), inputs, folder, zipped=zipped, files=files)
        elif job.outcome is State.FAILURE:
            content = job.error or UnknownError("The job failed, and nothing was recorded of why.").as_json()
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            files.replace(folder / ERROR_FILE, text.encode("utf-8", "backslashreplace"))
            manifest = package_result(folder, job_facts(job, inputs), zip_name_of(job) if zipped else None, files)
        else:
            raise SpoolDamaged("nothing was recorded of it")
        self._store.update(job.id, manifest=manifest)
        return manifest

    def _begin_again(self, job: Job, reason: str) -> None:
        """The one way back to the engine: there is no result to publish."""
        log.warning("publish.lost", job=job.id, bundle=shown(job.entry), reason=reason)
        self._store.transition(
            job.id, State.PENDING, reason=reason, expect=job.state, manifest=None, answered_by=None, outcome=None
        )
        self._on_change()

    def _later(self, job: Job, error: MeshdropError, now_s: float, *, gone: bool = False) -> None:
        """Try again soon; hold the job where that has gone on for long, or can't help."""
        job = self._store.job(job.id)  # it may have gone on from HELD since
        if job.final:
            return
        attempt = self._tries[job.id]
        attempt.due_s = now_s + min(attempt.delay_s, _LAST_RETRY_S)
        held = job.state is State.HELD
        last = attempt.delay_s / 2 >= (_PATIENCE_S if gone else _LAST_RETRY_S)
        attempt.delay_s *= 2
        if attempt.told != error.message:  # once, however often it is tried: a share may be away for days
            attempt.told = error.message
            log.warning(
                "publish.retry",
                job=job.id,
                bundle=shown(job.entry),
                code=error.code,
                reason=error.message,
                details=error.details,
            )
        if not (held or last or isinstance(error, DiskFull)):
            return
        often_s = self._settings.run.hold_retry_s
        attempt.due_s = now_s + (min(self._settings.watch.poll_s, often_s) if gone else often_s)
        reason = f"{error.message} {error.suggestion}"
        self._discard_partial(job)
        if not held:
            self._store.transition(
                job.id,
                State.HELD,
                reason=error.message,
                expect=State.PUBLISHING,
                hold_code=error.code,
                hold_reason=reason,
            )
            self._on_change()
        elif job.hold_reason != reason:
            self._store.update(job.id, hold_code=error.code, hold_reason=reason)
            self._on_change()

    def _discard_partial(self, job: Job) -> None:
        """Give back what a try that failed took, where that can be had."""
        inbox = next((inbox for inbox in self._settings.all_inboxes if inbox.name == job.inbox), None)
        if inbox is not None:
            try:
                remove_partial(Target(inbox.outbox, job.id, job.name, failed=False), self._files)
            except OSError as error:
                log.debug("publish.partial_stays", job=job.id, reason=str(error))

    def _inbox_of(self, job: Job) -> Inbox:
        for inbox in self._settings.all_inboxes:
            if inbox.name == job.inbox:
                return inbox
        raise ShareUnavailable(
            f"The settings name no inbox {job.inbox} any more, so there is no outbox for this job.",
            suggestion="Name the inbox again, or cancel the job.",
        )

    def _result_of(self, job: Job) -> Path:
        return self._settings.state_dir / "spool" / job.id / "result"

    def _place_of(self, job: Job, error: OSError) -> str:
        """Where it went wrong, as people know it."""
        outbox = self._inbox_of(job).outbox
        if error.filename is not None and Path(str(error.filename)).is_relative_to(self._settings.state_dir):
            return f"the daemon's own disk ({shown(str(self._settings.state_dir))})"
        return f"the outbox {shown_path(outbox, self._settings)}"
