"""Workers in no time: forked by a process that is itself forked before the daemon has threads.

A worker that is made so is the daemon's own child, as one that `subprocess` starts is, and as much a process: it has a
session of its own, three pipes, and dies by signals. What is saved is the start of a Python and its imports, which is
most of what a kill and a restart would cost otherwise.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT: Final = 0x8000  # the new process is a child of the caller's parent


class Zygote:
    """Made by a process without threads. work: what a worker does, given its command's arguments."""

    def __init__(self, work: Callable[[Sequence[str]], object]) -> None:
        self._line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._line.close()
            _breed(its, work)
        its.close()

    def give(self, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
        """The process id of a new worker that has these descriptors as its standard streams."""
        socket.send_fds(self._line, [json.dumps(list(arguments)).encode()], list(descriptors))
        return int(self._line.recv(100))

    def stand_in(self) -> Any:
        """Let the runner start its workers here from now on."""
        module = SimpleNamespace(
            Popen=lambda command, **_: _Process(self, command),
            PIPE=subprocess.PIPE,
            TimeoutExpired=subprocess.TimeoutExpired,
        )
        return mock.patch("daemon.runner.child.subprocess", module)


class _Process:
    """What `daemon.runner.child` uses of subprocess.Popen."""

    def __init__(self, zygote: Zygote, command: Sequence[str]) -> None:
        its_in, to_it = os.pipe()
        from_it, its_out = os.pipe()
        its_words, its_err = os.pipe()
        self.pid = zygote.give(command[1:], (its_in, its_out, its_err))
        for descriptor in (its_in, its_out, its_err):
            os.close(descriptor)
        self.stdin = os.fdopen(to_it, "wb", buffering=0)
        self.stdout = os.fdopen(from_it, "rb", buffering=0)
        self.stderr = os.fdopen(its_words, "rb", buffering=0)
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float) -> int:
        end_s = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= end_s:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.005)
        return code


def _breed(line: socket.socket, work: Callable[[Sequence[str]], object]) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    clone = ctypes.PyDLL(None).syscall  # keeps the interpreter's lock, so that the child has it
    while True:
        order, descriptors, _, _ = socket.recv_fds(line, 1 << 16, 3)
        if not order:
            os._exit(0)
        pid = clone(_CLONE[platform.machine()], _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            _be_a_worker(line, descriptors, partial(work, json.loads(order)))
        for descriptor in descriptors:
            os.close(descriptor)
        line.send(str(pid).encode())


def _be_a_worker(line: socket.socket, descriptors: list[int], work: Callable[[], object]) -> None:
    status = 1
    try:
        os.setsid()
        line.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        for descriptor in descriptors:
            os.close(descriptor)
        sys.stderr = open(2, "w", closefd=False, buffering=1, encoding="utf-8")  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False, buffering=1, encoding="utf-8")  # noqa: SIM115
        work()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)
