"""What is said of a worker that died: by which signal, for want of memory, or because it hung."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from config.errors import ModelOutOfMemory, WorkerCrashed
from config.sections import Settings
from daemon.runner.memory import OomCounts, died_of_memory
from daemon.runner.retry import Error

_KEPT_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended. exit_code: as of subprocess. hung: it said nothing for too long. killed: by the runner."""

    exit_code: int | None
    hung: bool
    killed: bool
    stage: str


def crash_error(ending: Ending, counts: OomCounts | None, last_words: Sequence[str], settings: Settings) -> Error:
    """error.json for a worker that died: WORKER_CRASHED, or MODEL_OOM where the kernel or its own words say so."""
    code = ending.exit_code if ending.exit_code is not None else 0
    details: dict[str, Any] = {
        "exit": exit_text(code),
        "stage": ending.stage,
        "last_words": list(last_words)[-_KEPT_WORDS:],
    }
    if not ending.killed and died_of_memory(code, counts, last_words):
        limit = f" (run.memory_mb = {settings.run.memory_mb})" if settings.run.memory_mb else ""
        return ModelOutOfMemory(f"Memory ran out{limit} at stage {ending.stage}.", **details).as_json()
    if ending.hung:
        message = f"The job said nothing for {settings.run.silent_s:g} s at stage {ending.stage}, and was ended."
    else:
        message = f"The process that ran the job died at stage {ending.stage} ({exit_text(code)})."
    return WorkerCrashed(message, **details).as_json()


def exit_text(code: int) -> str:
    """How a process ended, in words: a signal's name or its exit status."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
