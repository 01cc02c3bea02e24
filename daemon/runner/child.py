"""The worker process as the runner holds it: started, spoken to, listened to, ended. Nothing here waits."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from daemon.runner.leftovers import VARIABLE, kill_marked
from daemon.worker.protocol import LONGEST_LINE, Message, ProtocolError, decode, encode

_READ_AT_ONCE: Final = 1 << 18
_LINES_AT_ONCE: Final = 50
_LONGEST_SAYING: Final = 500
_SYSTEMD: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_SECRET: Final = "MESHDROP_WEBHOOK__"  # a process that reads what strangers have dropped needs no secret
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

log = structlog.get_logger(__name__)


class Child:
    """A worker process.

    mark: tells its descendants from other processes. jobs: how many it has ended. last_words: the end of what it said
    on standard error.
    """

    def __init__(
        self, command: Sequence[str], memory_mb: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. Raises OSError. environment: variables to add."""
        self.mark = secrets.token_hex(8)
        self.ready = False
        self.jobs = 0
        self.memory_mb = memory_mb
        self.last_words: deque[str] = deque(maxlen=40)
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key not in _SYSTEMD and not key.upper().startswith(_SECRET)
        }
        self._process = subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--memory-mb", str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**inherited, **(environment or {}), VARIABLE: self.mark},
            start_new_session=True,  # Ctrl-C in the daemon's terminal is the daemon's; one signal reaches all below
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._requests, self._replies = self._process.stdin, _Lines(self._process.stdout.fileno())
        self._sayings = _Lines(self._process.stderr.fileno())
        os.set_blocking(self._requests.fileno(), False)
        self._unsent = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Say something, now or as soon as it listens; to nobody when it is gone."""
        self._unsent += encode(message)
        self._flush()

    def messages(self) -> list[Message]:
        """What it has said since; what it has printed goes into the log."""
        self._flush()
        self._relay()
        found = []
        for line in self._replies.read():
            try:
                found.append(decode(line))
            except ProtocolError:
                log.warning("worker.not_understood", pid=self.pid, line=_text(line))
        return found

    def exit_code(self) -> int | None:
        """None while it runs; the negative number of a signal that ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """SIGTERM to it and all in its group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and all that it has started."""
        self._signal(signal.SIGKILL)

    def sweep(self) -> int:
        """End what its jobs have left behind; how many processes these were."""
        gone = self.exit_code() is not None
        return kill_marked(self.mark, None if gone else self.pid)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is gone; whether it is. For the end of the daemon alone."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.exit_code() is not None

    def close(self) -> None:
        """Let go of a process that is gone, and end what it has left behind."""
        if self.exit_code() is None:
            self.kill()
        self._relay()
        self.sweep()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _signal(self, number: int) -> None:
        if self.exit_code() is None:  # else its id may be another's by now
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)  # it may have died before it got a group of its own

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._requests.fileno(), self._unsent) :]
        except BlockingIOError:
            pass
        except (OSError, ValueError):  # it is gone; its exit code tells
            self._unsent = b""

    def _relay(self) -> None:
        """Put what it printed into the log: its own records as they are, anything else as a line."""
        lines = self._sayings.read()
        for number, line in enumerate(lines):
            text = _text(line)
            record = _record(line)
            self.last_words.append(str(record["event"]) if record else text)
            if number >= _LINES_AT_ONCE:
                continue
            if record:
                level = record.pop("level", "info")
                record.pop("timestamp", None)
                event = str(record.pop("event"))
                getattr(log, level if level in _LEVELS else "info")(event, worker=self.pid, **record)
            elif text.strip():
                log.info("worker.said", worker=self.pid, line=text)
        if len(lines) > _LINES_AT_ONCE:
            log.info("worker.said_more", worker=self.pid, lines=len(lines) - _LINES_AT_ONCE)


class _Lines:
    """Whole lines from a pipe, without waiting for more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> list[bytes]:
        size = 0
        pieces = [self._rest]
        while size < _READ_AT_ONCE:
            try:
                piece = os.read(self._descriptor, 1 << 16)
            except (BlockingIOError, OSError):
                break
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        *lines, self._rest = b"".join(pieces).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
        return lines


def _text(line: bytes) -> str:
    return line[:_LONGEST_SAYING].decode("utf-8", "backslashreplace")


def _record(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and isinstance(record.get("event"), str)
    return {str(key): value for key, value in record.items()} if known and "worker" not in record else None


def forget_children(mark_file: Path) -> int:
    """End what an earlier daemon's worker may have left; how many processes these were."""
    try:
        mark = str(json.loads(mark_file.read_text(encoding="utf-8"))["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return kill_marked(mark) if mark else 0
