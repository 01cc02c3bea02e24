"""What the process was asked to do from outside."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack
from types import FrameType


class Signals:
    """What the process was asked to do from outside, remembered until the main loop gets to it."""

    def __init__(self) -> None:
        self.stop = False
        self.reload = False
        self.pause = False
        self._wake = threading.Event()

    def install(self, stack: ExitStack) -> None:
        """Take over the signals until the stack unwinds."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            before = signal.signal(number, self._handle)
            stack.callback(signal.signal, number, before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        elif number == signal.SIGUSR1:
            self.pause = True
        elif self.stop and number == signal.SIGINT:
            sys.exit(130)  # asked twice: somebody is waiting
        else:
            self.stop = True
        self._wake.set()

    def ask_to_stop(self) -> None:
        """Stop as by a signal."""
        self.stop = True
        self._wake.set()

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal comes or the time is over."""
        self._wake.wait(timeout_s)
        self._wake.clear()
