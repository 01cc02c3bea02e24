"""One job at a time: begin it, follow it, and decide what follows from its end."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from config.errors import TimedOut, WorkerCrashed
from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.publish.answers import find_answer
from daemon.publish.package import job_facts, zip_name_of
from daemon.runner.answering import Answering
from daemon.runner.child import Child
from daemon.runner.endings import Ending, crash_error
from daemon.runner.following import Ended, Following
from daemon.runner.gpu import Gpu
from daemon.runner.moves import Moves
from daemon.runner.results import Results
from daemon.runner.retry import Again, Error, Facts, Hold, decide, kind_of, lowered_options
from daemon.runner.space import Space
from daemon.runner.workers import Workers
from daemon.states import State
from daemon.worker.protocol import Done, Failed, Run

if TYPE_CHECKING:
    from daemon.store import Job, Store

log = structlog.get_logger(__name__)

# -P: a folder called engine in the working directory is not the engine.
WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "daemon.worker")

_LOOK_EVERY_S: Final = 0.05
_IDLE_S: Final = 1.0
_WINDOW: Final = 50  # so many waiting jobs are looked at for one that can begin
_LOCK_WITHIN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Current:
    """What is running. since_s: monotonic time of its start. pid: of the worker."""

    job: str
    stage: str
    fraction: float
    eta_s: float | None
    since_s: float
    pid: int


class Runner:
    """Runs the store's jobs, one at a time.

    `step` is called in a loop from one thread, which must live as long as the worker may: the kernel ends the worker
    with the thread that started it. `current`, `worker_pid` and `shutdown` may be called from any thread.

    Args:
        settings: read anew at each use; may be exchanged under the runner's hands.
        worker_command: what starts the worker.
        on_change: called after each change of a job's state, to wake the next room.
        answer: finds an earlier job whose result answers this one; asked in a thread of its own, as it reads the
            outbox. `daemon.publish.answers.find_answer` where None.
        spawn: starts a worker; `Child` but for tests.

    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        files: Files,
        worker_command: Sequence[str] = WORKER_COMMAND,
        on_change: Callable[[], None] = lambda: None,
        *,
        answer: Callable[[Job], Job | None] | None = None,
        spawn: Callable[..., Child] = Child,
    ) -> None:
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._results = Results(settings, store, files)
        self._moves = Moves(settings, store, self._results, on_change)
        self._space = Space(settings, files)
        self._gpu = Gpu(settings, files)
        self._workers = Workers(settings, files, worker_command, spawn)
        self._answering = Answering(store, answer or (lambda job: find_answer(job, store, files)))
        self._on_change = on_change
        self._lock = threading.Lock()
        self._following: Following | None = None
        self._not_before: dict[str, float] = {}
        self._check_held_s = float("-inf")
        self._seen_changes: int | None = None
        self._nothing_at: int | None = None
        self._began = self._settled = self._ended = False

    # -- asked from outside -------------------------------------------------------------------------------------

    def step(self, now_s: float) -> float:
        """Do what is due; seconds until this wants to be called again."""
        with self._lock:
            if self._ended:
                return _IDLE_S
            try:
                return self._step(now_s)
            except Exception:  # the database can't be written, say: what was under way is looked at again
                self._settled = False
                raise

    def _step(self, now_s: float) -> float:
        if not self._settled:
            self._settle_all()
        self._workers.bury()
        following = self._following
        if following is not None and (ended := following.follow(now_s)) is not None:
            self._following = None
            self._finish(following, ended, now_s)
        self._serve_requests()
        if self._following is not None:
            return _LOOK_EVERY_S
        due_s = self._between(now_s)
        if self._following is None:
            self._gpu.release()  # another daemon may want it
        return due_s

    def shutdown(self) -> None:
        """End the worker at once and leave its job to be run again."""
        self._ended = True
        mine = self._lock.acquire(timeout=_LOCK_WITHIN_S)
        try:
            gone = self._workers.end_all()
            if mine:
                self._gpu.release()
            following, self._following = self._following, None
            if mine and gone and following is not None:  # else the next start finds the job as it was left
                self._settle_interrupted(following.job.id)
        finally:
            if mine:
                self._lock.release()

    def current(self) -> Current | None:
        """What is running now."""
        now = self._following
        if now is None:
            return None
        step = now.step
        return Current(now.job.id, step.stage, step.fraction, step.eta_s, now.since_s, now.child.pid)

    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        child = self._workers.current
        return child.pid if child is not None else None

    # -- what needs no worker -----------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        """See to the jobs that are said to run and do not: at the start, and after a step that failed."""
        if not self._began:
            self._workers.end_leftovers()
        for job in self._store.jobs(states={State.PROGRESS}):
            if self._following is None or self._following.job.id != job.id:
                self._settle_interrupted(job.id)
        self._began = self._settled = True

    def _settle_interrupted(self, job_id: str) -> None:
        """A job whose run was cut off: its result where that was complete already, else another run."""
        job = self._store.job(job_id)
        if job.state is not State.PROGRESS:
            return
        done = self._results.read_done(job)
        if job.cancel_requested_at is not None:
            self._moves.cancelled(job)
        elif done is not None:
            self._moves.publish(job, done, "the result was complete already")
        else:
            reason = "its end could not be recorded" if self._began and not self._ended else "the daemon was stopped"
            self._moves.change(job, State.PENDING, State.PROGRESS, reason)

    def _serve_requests(self) -> None:
        """Cancel what does not run, and pass on what was refused; looked for only when something has changed."""
        changes = self._store.changes()
        if changes == self._seen_changes:
            return
        for job in self._store.cancel_asked():
            if job.state in (State.PENDING, State.HELD):
                self._moves.cancelled(job)
        refused = self._store.refused_jobs(_WINDOW)
        for job in refused:
            self._moves.fail(job, job.error or {}, State.PENDING, "the bundle was refused", job.crashes)
        if len(refused) < _WINDOW:
            self._seen_changes = changes

    # -- between jobs -------------------------------------------------------------------------------------------

    def _between(self, now_s: float) -> float:
        due_s = min(_IDLE_S, self._workers.warm(now_s))
        if now_s >= self._check_held_s:
            self._check_held_s = now_s + self._settings.run.hold_retry_s
            self._resume_held()
        changes = self._store.changes()
        if changes == self._nothing_at or self._moves.blocked or self._store.flag("paused"):
            return max(_LOOK_EVERY_S, due_s)
        child = self._workers.ready
        if child is None and self._workers.trouble is None:
            return max(_LOOK_EVERY_S, due_s)
        for _ in range(_WINDOW):
            job = self._choose(now_s)
            if job is None or self._moves.blocked:
                break
            if child is None:
                why = str(self._workers.trouble)
                self._moves.hold(job, WorkerCrashed.code, why, State.PENDING, blocks=True)
                break
            answer = self._answering.pending(job, now_s)
            if answer is True:
                return _LOOK_EVERY_S
            if answer:
                self._moves.answer(job, answer)
            elif self._begin(job, child, now_s):
                return _LOOK_EVERY_S
            job = None
        waits = [at_s - now_s for at_s in self._not_before.values()]
        if job is None and not waits and not self._space.full_inboxes():
            self._nothing_at = changes  # nothing can be begun until something is written
        return max(_LOOK_EVERY_S, min([due_s, *waits]))

    def _choose(self, now_s: float) -> Job | None:
        self._not_before = {job: at_s for job, at_s in self._not_before.items() if at_s > now_s}
        full = self._space.full_inboxes()
        soon = self._answers_soon()
        for job in self._store.next_jobs(_WINDOW):
            if job.spooled and job.id not in self._not_before and job.inbox not in full:
                if job.content_key in soon and not job.retry_of and not job.options.get("force"):
                    continue  # a bundle that was renamed while it ran, say: its result is about to be there
                return job
        return None

    def _answers_soon(self) -> set[str]:
        """The content whose result is on its way to the outbox, where it will answer the same content."""
        going = self._store.jobs(states={State.PUBLISHING})
        return {job.content_key for job in going if job.outcome is State.SUCCESS and job.content_key}

    def _begin(self, job: Job, child: Child, now_s: float) -> bool:
        """Whether it runs now; what keeps it from that is written down."""
        trouble = self._space.trouble(job) or self._gpu.take()
        if trouble is not None:
            self._moves.hold(job, trouble.code, trouble.reason, State.PENDING, blocks=trouble.own)
            return False
        if not self._results.has_input(job):
            self._store.update(job.id, spooled=False)
            self._on_change()
            return False
        try:
            self._results.clear(job)
        except OSError as error:
            self._moves.hold_for(job, error, State.PENDING)
            return False
        if not self._moves.change(job, State.PROGRESS, State.PENDING, "its turn"):
            return False
        self._answering.forget()
        job = self._store.job(job.id)
        timeout_s = float(job.options.get("timeout_s") or self._settings.run.timeout_s)
        self._following = Following(job, child, self._order(job), timeout_s, self._settings, self._store, now_s)
        return True

    def _order(self, job: Job) -> Run:
        places = self._results.places(job)
        return Run(
            job=job.id,
            bundle=str(places.input),
            out=str(places.result),
            options=lowered_options(job.options) if job.lowered else job.options,
            settings=json.loads(json.dumps(self._settings.model_dump(exclude={"webhook"}), default=str)),
            facts=job_facts(job, self._store.inputs(job.id)),
            zip_name=zip_name_of(job) if self._settings.publish.zip else None,
            manifest_path=str(places.done),
        )

    def _resume_held(self) -> None:
        """Let those go on that were held here, once what they lacked is there."""
        self._moves.blocked = self._workers.trouble is not None
        self._space.forget()
        if self._moves.blocked:
            return
        for job in self._store.jobs(states={State.HELD}):
            ours = job.held_from is State.PROGRESS or (job.held_from is State.PENDING and job.spooled)
            if not ours or job.cancel_requested_at is not None:
                continue
            trouble = self._space.trouble(job, write=True) or self._gpu.take()
            if trouble is None:
                self._moves.change(job, State.PENDING, State.HELD, "tried again")
            else:
                self._moves.blocked = self._moves.blocked or trouble.own

    # -- after a job --------------------------------------------------------------------------------------------

    def _finish(self, run: Following, ended: Ended, now_s: float) -> None:
        job, child = self._store.job(run.job.id), run.child
        child.jobs += 1
        left = child.sweep()
        if left:
            log.warning("runner.ended_leftovers", job=job.id, processes=left)
        worn = left or ended.exit_code is not None or child.jobs >= self._settings.run.recycle_after_jobs
        if worn or (isinstance(ended.said, Failed) and kind_of(ended.said.error) != "input"):
            self._workers.retire(child)
        if ended.why == "cancel" or job.cancel_requested_at is not None:
            self._moves.cancelled(job)
            return
        done = ended.said if isinstance(ended.said, Done) else None
        if done is None and ended.exit_code is not None:
            done = self._results.read_done(job)  # it died after the result was complete
        if done is not None:
            self._moves.publish(job, done, f"finished: {done.verdict}")
        else:
            self._decide(job, self._error_of(run, ended), now_s)

    def _error_of(self, run: Following, ended: Ended) -> Error:
        stage = run.step.stage
        if ended.why == "timeout":
            message = f"The job took longer than its limit of {run.timeout_s:g} s; it was at {stage}."
            return TimedOut(message, stage=stage).as_json()
        if isinstance(ended.said, Failed):
            return ended.said.error
        ending = Ending(ended.exit_code, ended.why == "silent", ended.killed, stage)
        return crash_error(ending, run.counts, list(run.child.last_words), self._settings)

    def _decide(self, job: Job, error: Error, now_s: float) -> None:
        settings = self._settings.run
        options = lowered_options(job.options) if job.lowered else job.options
        quality = str(options.get("quality", "standard"))
        decision = decide(
            error, Facts(job.crashes, job.lowered, quality, settings.crash_retries, settings.lower_on_oom)
        )
        log.info("runner.decided", job=job.id, code=error.get("code"), decision=type(decision).__name__)
        if isinstance(decision, Hold):
            self._moves.hold(job, decision.code, decision.reason, State.PROGRESS, blocks=True)
        elif isinstance(decision, Again):
            self._not_before[job.id] = now_s + decision.delay_s
            self._moves.again(job, decision)
        else:
            reason = str(decision.error.get("message") or decision.error.get("code"))
            self._moves.fail(job, decision.error, State.PROGRESS, reason, decision.crashes)
