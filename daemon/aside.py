"""A question to a share, which may never answer: asked in a thread of its own, so that the asker goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Aside(Generic[Answer]):
    """Asks once, at once. An error counts as the answer `otherwise`."""

    def __init__(self, ask: Callable[[], Answer], otherwise: Answer) -> None:
        self._answer = otherwise
        self._ask = ask
        self._done = threading.Event()
        threading.Thread(target=self._run, name="aside", daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception:  # whatever goes wrong with the share, the job goes on without the answer
            pass
        finally:
            self._done.set()

    def answered(self, within_s: float = 0.0) -> bool:
        """Whether the answer is there, or comes within so many seconds."""
        return self._done.wait(within_s)

    @property
    def answer(self) -> Answer:
        """The answer; `otherwise` until it is there."""
        return self._answer
