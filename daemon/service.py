"""The daemon as a whole: what is opened, in which order; which room wakes which; and how it ends.

The main thread does no input or output that a share could hang: it serves signals, supervises the loops, writes the
sign of life into the store, and tells systemd that all is well only while it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from config.errors import InfrastructureError, MeshdropError, ShareUnavailable
from config.sections import Inbox, Settings
from daemon.aside import Aside
from daemon.clock import Clock
from daemon.files import Files
from daemon.loops import Loop
from daemon.metrics import Textfile
from daemon.notify import Notifier
from daemon.roots import Root, check_folders, check_root, is_known, open_root
from daemon.signals import Signals
from daemon.states import LIVE
from daemon.webhook import Webhook, check_webhook

if TYPE_CHECKING:
    from daemon.intake import Intake
    from daemon.runner import Runner
    from daemon.status import LiveFiles
    from daemon.status.facts import Facts
    from daemon.status.outboxes import Outboxes
    from daemon.store import Store
    from daemon.watch import Watch

log = structlog.get_logger(__name__)

_TICK_S: Final = 0.5
_NEWS_EVERY_S: Final = 2.0
_BEAT_EVERY_S: Final = 15.0
_SHARE_WITHIN_S: Final = 20.0
_OWN_LOOPS: Final = frozenset({"runner"})  # those that touch no share
_STOP_WITHIN_S: Final = 4.0
_LAST_PAGES_WITHIN_S: Final = 2.0
_NEEDS_RESTART: Final = ("inbox", "outbox", "state_dir", "inboxes", "log")


class Current:
    """The settings in force: the same object for every room, its content exchanged by a reload."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)

    def swap(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings


class Service:
    """Runs until it is told to stop, or, with `until_idle`, until there is nothing left to do.

    Args:
        reload: reads the settings anew, for SIGHUP; raises MeshdropError where they are wrong.
        worker_command: what starts the worker; the engine's where None.

    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        files: Files,
        *,
        reload: Callable[[], Settings] | None = None,
        worker_command: Sequence[str] | None = None,
        until_idle: bool = False,
    ) -> None:
        self._current = Current(settings)
        self._settings = cast(Settings, self._current)
        self._clock, self._files = clock, files
        self._reload = reload
        self._worker_command = worker_command
        self._until_idle = until_idle
        self._signals = Signals()
        self._roots: dict[Path, Root] = {}
        self._notifier = Notifier()
        self._started_at = clock.now()
        self._loops: list[Loop] = []
        self._intakes: dict[str, Intake] = {}
        self._watches: dict[str, Watch] = {}
        self._lives: list[tuple[LiveFiles, Loop]] = []
        self._outboxes: Outboxes | None = None
        self._facts: Facts | None = None
        self._last_beat_s = self._last_ping_s = self._next_look_s = float("-inf")
        self._last_news: list[Any] = []

    def stop(self) -> None:
        """Stop as by SIGTERM; from any thread."""
        self._signals.ask_to_stop()

    def run(self) -> None:
        """Open everything, run, and close everything.

        Raises MeshdropError where it can't start: another daemon is at work, folders that can't be used.
        """
        with ExitStack() as stack:
            self._signals.install(stack)
            store = self._open(stack)
            self._begin(store, stack)
            self._notifier.send(READY="1", STATUS="Ready")
            log.info(
                "service.ready", pid=os.getpid(), inboxes=[str(inbox.path) for inbox in self._settings.all_inboxes]
            )
            failed = ""
            while not self._signals.stop:
                self._signals.wait(_TICK_S)
                try:
                    self._tick(store)
                except (MeshdropError, OSError) as error:  # the database is locked or its disk is full: it may pass
                    if failed != str(error):  # once, however long the disk stays full
                        log.error("service.tick_failed", error=str(error))
                    failed = str(error)
                else:
                    failed = ""
            self._notifier.send(STOPPING="1", STATUS="Stopping")
            log.info("service.stopping")

    def _open(self, stack: ExitStack) -> Store:
        from daemon.locks import FileLock
        from daemon.publish.rebuild import rebuild_if_lost
        from daemon.store import open_store

        settings = self._settings
        check_folders(settings)
        check_webhook(settings)
        state = settings.state_dir
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ShareUnavailable(
                f"The state folder {state} can't be made: {error.strerror}.",
                suggestion="Set state_dir to a folder on a local disk that the daemon's user can write.",
                path=str(state),
            ) from error
        stack.enter_context(FileLock(state / "meshdrop.lock", f"the state folder {state}", self._files))
        store = open_store(state, clock=self._clock)
        stack.callback(store.close)
        for inbox in settings.all_inboxes:
            root = self._root(inbox.path, "inbox")
            if root is not None:
                stack.enter_context(FileLock(root.private / "lock", f"the inbox {inbox.path}", self._files))
            self._root(inbox.outbox, "outbox")
        rebuild_if_lost(settings, store, self._files)
        return store

    def _root(self, path: Path, kind: str) -> Root | None:
        """A share that is away at the start, or does not answer, may come later; one that never was is a mistake."""
        asked = Aside(lambda: self._try_root(path, kind), None)
        answer = asked.answer if asked.answered(_SHARE_WITHIN_S) else None
        if isinstance(answer, Root):
            self._roots[path] = answer
            return answer
        error: InfrastructureError = answer or ShareUnavailable(
            f"The {kind} {path} does not answer.", suggestion="See whether its server is up.", path=str(path)
        )
        if not is_known(path, self._settings.state_dir, self._files):
            raise error
        log.error("root.away", path=path, kind=kind, message=error.message, remedy=error.suggestion)
        return None

    def _try_root(self, path: Path, kind: str) -> Root | InfrastructureError:
        from daemon.publish.delivery import remove_leftovers

        try:
            root = open_root(path, kind, self._settings.state_dir, self._files, self._clock)
        except InfrastructureError as error:
            return error
        if kind == "outbox":
            with suppress(OSError):
                remove_leftovers(path, self._files)
        return root

    def _inbox_problem(self, inbox: Inbox) -> str | None:
        """What is wrong with an inbox's share; None where it is there."""
        try:
            if inbox.path in self._roots:
                check_root(self._roots[inbox.path], self._files)
            else:
                self._roots[inbox.path] = open_root(
                    inbox.path, "inbox", self._settings.state_dir, self._files, self._clock
                )
        except InfrastructureError as error:
            return error.message
        return None

    def _begin(self, store: Store, stack: ExitStack) -> None:
        from daemon.publish import Publisher
        from daemon.runner.runner import WORKER_COMMAND, Runner
        from daemon.spool import Spooler
        from daemon.status import LiveFiles
        from daemon.status.facts import Facts
        from daemon.status.outboxes import Outboxes

        settings, clock, files = self._settings, self._clock, self._files
        runner = Runner(
            settings,
            store,
            clock,
            files,
            self._worker_command or WORKER_COMMAND,
            lambda: self._wake("publish", "intake", "spool"),
        )
        run = Loop("runner", runner.step, clock)
        spooler = Spooler(settings, store, clock, files, self._inbox_problem, lambda: self._wake("runner", "intake"))
        spool = Loop("spool", spooler.step, clock)
        self._loops = [run, spool]
        for number, outbox in enumerate(dict.fromkeys(inbox.outbox for inbox in settings.all_inboxes)):
            live = LiveFiles(settings, store, clock, files, outbox=outbox)
            self._lives.append((live, Loop(f"live:{number}", live.step, clock)))
            self._loops.append(self._lives[-1][1])
        for name, room in (("webhook", Webhook), ("metrics", Textfile)):
            self._loops.append(Loop(name, room(settings, store, clock, files).step, clock))
        self._facts = Facts(settings, files, store.daemon_report())
        self._outboxes = Outboxes(settings, clock, files)
        for inbox in settings.all_inboxes:
            publisher = Publisher(
                settings, store, clock, files, lambda: self._wake("intake", "live", "webhook"), inboxes={inbox.name}
            )
            self._loops.append(Loop(f"publish:{inbox.name}", publisher.step, clock))
            self._loops.append(self._watched(inbox, store))
        stack.callback(self._end, runner, store)
        for loop in self._loops:
            loop.start()

    def _watched(self, inbox: Inbox, store: Store) -> Loop:
        from daemon.caretaker import Caretaker
        from daemon.intake import Intake
        from daemon.watch import Watch

        settings, clock, files = self._settings, self._clock, self._files

        def hint(entry: str | None) -> None:
            intake.hint(entry)
            loop.wake()

        watch = Watch(inbox, settings, clock, files, hint)
        intake = Intake(
            inbox,
            settings,
            store,
            clock,
            files,
            polling=watch.polling,
            caretaker=Caretaker(inbox, settings, store, clock, files),
            on_change=lambda: self._wake("spool", "runner", "live"),
        )
        started = False

        def step(now_s: float) -> float:
            nonlocal started
            if not started:
                watch.start()
                started = True
            return min(watch.step(now_s), intake.step(now_s))

        loop = Loop(f"intake:{inbox.name}", step, clock)
        self._watches[inbox.name], self._intakes[inbox.name] = watch, intake
        return loop

    def _wake(self, *names: str) -> None:
        for loop in self._loops:
            if loop.name.split(":")[0] in names:
                loop.wake()

    def _end(self, runner: Runner, store: Store) -> None:
        for loop in self._loops:
            loop.stop()
        runner.shutdown()
        deadline_s = self._clock.monotonic_s() + _STOP_WITHIN_S
        late = [loop.name for loop in self._loops if not loop.join(max(0.1, deadline_s - self._clock.monotonic_s()))]
        if late:
            log.warning("service.left_behind", loops=late)
        for watch in self._watches.values():
            watch.stop()
        with suppress(MeshdropError, OSError):  # a full disk must not make a stop look like a failure
            self._beat(store, late, self._clock.monotonic_s(), "stopped")
            self._write_last_pages(late)

    def _write_last_pages(self, late: list[str]) -> None:
        """That the daemon has stopped; a share that hangs does not hold the end up."""
        now_s = self._clock.monotonic_s()
        asked = [
            Aside(lambda live=live: live.refresh(now_s), None)  # type: ignore[misc]
            for live, loop in self._lives
            if loop.name not in late
        ]
        for aside in asked:
            aside.answered(max(0.0, now_s + _LAST_PAGES_WITHIN_S - self._clock.monotonic_s()))

    def _tick(self, store: Store) -> None:
        now_s = self._clock.monotonic_s()
        if self._signals.reload:
            self._signals.reload = False
            self._reload_settings()
        if self._signals.pause:
            self._signals.pause = False
            paused = not store.flag("paused")
            store.set_flag("paused", paused, by="SIGUSR1")
            log.info("service.paused" if paused else "service.resumed")
            self._wake("runner")
        stuck = [loop.name for loop in self._loops if loop.stuck(now_s)]
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _NEWS_EVERY_S
            self._beat(store, stuck, now_s)
        period_s = self._notifier.watchdog_s
        # A share that hangs is no reason to be killed: a new process would hang on it too, and all others would wait.
        if period_s and not set(stuck) & _OWN_LOOPS and now_s - self._last_ping_s >= period_s / 3:
            self._last_ping_s = now_s
            self._notifier.send(WATCHDOG="1")
        if self._until_idle and self._idle(store):
            self._signals.ask_to_stop()

    def _idle(self, store: Store) -> bool:
        """Nothing is live, every inbox was looked at, and what waits there waits for people, not for time."""
        if any(store.counts().get(state, 0) for state in LIVE):
            return False
        return all(
            intake.looked and not any(item.soon for item in intake.waiting()) for intake in self._intakes.values()
        )

    def _reload_settings(self) -> None:
        """Use the settings as they stand now, if they are right; keep the old ones otherwise."""
        if self._reload is None:
            return
        try:
            new = self._reload()
            check_folders(new)
            check_webhook(new)
        except MeshdropError as error:
            log.error("service.reload_refused", message=error.message, remedy=error.suggestion)
            return
        fixed = {key: getattr(self._settings, key) for key in _NEEDS_RESTART}
        changed = sorted(key for key, value in fixed.items() if getattr(new, key) != value)
        self._current.swap(new.model_copy(update=fixed))
        log.info("service.reloaded", needs_restart=changed)
        self._wake("runner", "spool", "intake", "publish", "live")

    def _beat(self, store: Store, stuck: list[str], now_s: float, state: str = "running") -> None:
        """Write the sign of life that commands and pages read, sooner when there is news."""
        from daemon.process import this_process
        from daemon.store import DaemonReport

        errors = [f"{loop.name}: {loop.beat.error}" for loop in self._loops if loop.beat.error]
        waiting = [
            {"inbox": name, **item.as_json()}
            for name, intake in self._intakes.items()
            for item in intake.waiting()[:100]
        ]
        watches = {name: watch.report().as_json() for name, watch in self._watches.items()}
        roots = self._look_at_roots(now_s)
        facts = self._facts.look(now_s) if self._facts is not None else {}
        known = [sorted(facts.get("free", ())), bool(facts.get("gpu"))]
        news = [state, stuck, errors, watches, roots, known, [{**item, "waiting_s": 0.0} for item in waiting]]
        if news == self._last_news and now_s - self._last_beat_s < _BEAT_EVERY_S:
            return
        self._last_news, self._last_beat_s = news, now_s
        store.beat(
            DaemonReport(
                process=this_process(),
                version=version("meshdrop"),
                started_at=self._started_at,
                beat_at=self._clock.now(),
                state=state,
                watches=watches,
                threads={loop.name: "stuck" if loop.name in stuck else "ok" for loop in self._loops},
                roots=roots,
                waiting=waiting,
                last_error="; ".join(errors) or None,
                facts=facts,
            )
        )

    def _look_at_roots(self, now_s: float) -> dict[str, dict[str, str | None]]:
        """Whether the shares are there, for statuses: what the intakes and a look aside have found."""
        found = {
            inbox.path: self._intakes[inbox.name].away
            for inbox in self._settings.all_inboxes
            if inbox.name in self._intakes
        }
        if self._outboxes is not None:
            found |= self._outboxes.problems(now_s)
        return {str(path): {"state": "away" if why else "ok", "why": why} for path, why in found.items()}
