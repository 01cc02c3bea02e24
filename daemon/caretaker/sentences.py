"""What STATUS.txt says of a job: one sentence or two, as a colleague would put it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from config.errors import error_classes
from daemon.names import shown
from daemon.states import State

if TYPE_CHECKING:
    from daemon.store import Job

RUN_ANYWAY: Final = "put an empty file named .redo into this folder"
YOU_MAY_DELETE: Final = "Finished; you may delete this folder."


def about_job(job: Job, result: str, *, beside: str | None = None) -> str:
    """How a job stands. result: where its result lies, as people know it.

    beside: where the bundle is a zip, the name that its markers begin with.
    """
    redo = RUN_ANYWAY if beside is None else f"put an empty file named {shown(beside)}.redo beside it"
    match job.state:
        case State.PENDING:
            sentence = "Taken; it waits for its turn."
            return "It is being cancelled." if job.cancel_requested_at else sentence
        case State.PROGRESS:
            return "It is being cancelled." if job.cancel_requested_at else "It is being reconstructed."
        case State.PUBLISHING:
            return "It is done; what came of it is on its way to the outbox."
        case State.HELD:
            reason = as_sentence(shown(job.hold_reason or "The machine can't go on just now."))
            return f"On hold: {reason} It goes on by itself; nothing is lost."
        case State.SUCCESS:
            return _success(job, result, ".redo in it" if beside is None else f"{shown(beside)}.redo beside it")
        case State.CANCELLED:
            who = f" by {shown(job.cancel_by)}" if job.cancel_by else ""
            return f"Cancelled{who}. To have it made after all, drop it again."
        case State.FAILURE:
            return _failure(job, result, redo)


def _success(job: Job, result: str, redo: str) -> str:
    if job.answered_by:
        return (
            f"This was made before, from the same files (job {job.answered_by}): {result}. "
            f"To have it made again all the same, drop it with an empty file named {redo}, "
            "or use meshdrop submit --force."
        )
    if job.verdict == "warning":
        return f"Finished, but please have a look at report.html: the quality is not what it could be. {result}"
    return f"Finished: {result}"


def _failure(job: Job, result: str, redo: str) -> str:
    message, suggestion = error_words(job.error)
    code = str((job.error or {}).get("code", ""))
    kind = getattr(error_classes().get(code), "kind", "bug")
    if code == "JOB_EXPIRED":
        return f"{message} {suggestion}"
    if kind == "input":
        return f"It can't be taken: {message} {suggestion} Mend it here: it is taken again as soon as a file changes."
    if code == "QUALITY_THRESHOLD_FAILED":
        return f"It was made, but it is not good enough: {message} {suggestion} {result}"
    return f"It failed: {message} {suggestion} To try again, {redo}."


def error_words(error: dict[str, Any] | None) -> tuple[str, str]:
    """An error's message and suggestion, each a sentence in one line."""
    if not error:
        return "Nothing is known of why.", ""
    message = as_sentence(shown(str(error.get("message") or error.get("code") or "Nothing is known of why")))
    return message, as_sentence(shown(str(error.get("suggestion") or "")))


def as_sentence(text: str) -> str:
    """With a full stop, where there is anything."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def status_text(sentence: str, job_id: str | None, at: datetime, contact: str) -> str:
    """The whole of STATUS.txt: the sentence, the job, the time, whom to ask."""
    lines = [sentence.strip(), "", f"Job:  {job_id or 'none yet'}", f"Time: {local_time(at)}"]
    if contact:
        lines.append(f"Help: {shown(contact)}")
    return "\n".join(lines) + "\n"


def local_time(at: datetime) -> str:
    """A moment as people on this machine's clock read it, with its offset."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
