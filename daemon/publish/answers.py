"""The same content again: an earlier success whose files are still what they were."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from config.bundle_layout import name_key
from daemon.files import Files
from daemon.publish.package import (
    JOB_FILE,
    digest,
    folders_of,
    is_plain,
    job_facts,
    package_result,
    zip_name_of,
)
from daemon.publish.trouble import located, read_piece

if TYPE_CHECKING:
    from daemon.store import Job, Store


class NoAnswer(Exception):
    """The earlier result is not what it was any more: the job has to run."""


def verify_result(job: Job, files: Files) -> bool:
    """Whether a success's files still lie in the outbox as they were published: each one's length and digest.

    Reads them all: seconds on a slow share. False where the share is gone.
    """
    if not job.manifest or not job.result_path:
        return False
    folder = Path(job.result_path)
    if not all(map(is_plain, job.manifest)):  # it may come from a job.json in the outbox
        return False
    try:
        for name, facts in job.manifest.items():  # lengths first: most changes show there
            found = files.lstat(folder / name)
            if not S_ISREG(found.st_mode) or found.st_size != facts["bytes"]:
                return False
        return all(digest(folder / name, files) == facts for name, facts in job.manifest.items())
    except OSError:
        return False


def find_answer(job: Job, store: Store, files: Files) -> Job | None:
    """The newest success of the same content whose files verify; None where the job has to run.

    The caller makes the job PUBLISHING with outcome SUCCESS, the answer's verdict and `answered_by` its id, without a
    manifest; the publisher does the rest.
    """
    if job.options.get("force"):
        return None
    earlier = (other for other in store.successes(job.content_key) if other.id != job.id)
    return next((other for other in earlier if verify_result(other, files)), None)


def answers_in_place(job: Job, answer: Job, outbox: Path) -> bool:
    """Whether a job asks for what lies there under its own name: then nothing more is written."""
    same_name = name_key(job.name) == name_key(answer.name)
    return same_name and answer.result_path is not None and Path(answer.result_path).parent == outbox


def copy_answer(
    job: Job, answer: Job, inputs: dict[str, str], folder: Path, *, zipped: bool, files: Files
) -> dict[str, dict[str, Any]]:
    """Make a job's own result, in the spool, from an earlier one in an outbox; its manifest.

    Raises NoAnswer where the earlier one is not what it was.
    """
    if not verify_result(answer, files):
        raise NoAnswer
    assert answer.manifest is not None
    assert answer.result_path is not None
    source = Path(answer.result_path)
    for name in folders_of(answer.manifest):
        files.mkdir(folder / name)
    for name, facts in answer.manifest.items():
        if name.lower().endswith(".zip"):
            continue
        copy_file(source / name, folder / name, files)
        if name != JOB_FILE and digest(folder / name, files) != facts:
            raise NoAnswer
    facts = {**job_facts(job, inputs), "answered_by": answer.id}
    return package_result(folder, facts, zip_name_of(job) if zipped else None, files)


def copy_file(source: Path, target: Path, files: Files) -> None:
    """Copy one file to a name that nothing has; not on the disk yet."""
    with located(source), files.reading(source) as file, located(target), files.writing(target, durable=False) as out:
        while piece := read_piece(file, source):
            out.write(piece)
