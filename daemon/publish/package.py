"""A result in the spool, made ready to be published: the job's facts in its job.json, its zip, a digest of each file.

Runs in the worker process and in the daemon; it knows files, not the engine. Doing it again gives the same files.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote

from config.errors import IncompleteResults
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.names import shown
from daemon.publish.trouble import PIECE

if TYPE_CHECKING:
    from daemon.store import Job

JOB_FILE: Final = "job.json"
ERROR_FILE: Final = "error.json"
QUALITY_FILE: Final = "quality.json"
LONGEST_ZIP_NAME: Final = 59  # bytes: with a folder of 80 and a slash, no path below the outbox is over 140
_SQUEEZED: Final = frozenset({".obj", ".mtl", ".ply", ".stl", ".glb", ".json", ".html", ".txt"})

Manifest = dict[str, dict[str, Any]]
"""Each file of a result: its name, and its {"bytes", "sha256"}."""


def job_facts(job: Job, inputs: Mapping[str, str]) -> dict[str, Any]:
    """What job.json says of a job, JSON-serialisable; `package_result` takes it.

    Args:
        job: the job.
        inputs: SHA-256 of each input file, `store.inputs(job.id)`.

    """

    def when(moment: datetime | None) -> str | None:
        return moment.isoformat(timespec="seconds") if moment else None

    return {
        "id": job.id,
        "bundle": shown(job.entry),
        "entry": quote(os.fsencode(job.entry)),
        "inbox": job.inbox,
        "name": job.name,
        "owner": job.owner,
        "priority": job.priority,
        "attempt": job.attempt,
        "submitted_at": when(job.created_at),
        "started_at": when(job.started_at),
        "fingerprint": job.fingerprint,
        "content_key": job.content_key,
        "answered_by": job.answered_by,
        "retry_of": job.retry_of,
        "notes": list(job.notes),
        "options": dict(job.options),
        "inputs": dict(inputs),
    }


def zip_name_of(job: Job) -> str:
    """What the zip of a job's result is called in its folder; `package_result` takes it."""
    stem = job.name.encode()[: LONGEST_ZIP_NAME - len(".zip")].decode(errors="ignore").rstrip(". ")
    return f"{stem}.zip"


def package_result(folder: Path, job_facts: Mapping[str, Any], zip_name: str | None, files: Files) -> Manifest:
    """Make a result folder ready to be published; all of it is on the disk afterwards.

    Args:
        folder: what the engine made, or a folder with an error.json alone. It may hold folders of files, which hold
            no more folders.
        job_facts: what `job_facts` gives. Its "finished_at" is now, where it has none; its options and inputs count
            only where the engine wrote no job.json.
        zip_name: what the zip of all files is called; None makes none.
        files: the file system.

    Returns:
        The manifest: each file, job.json and the zip included; those in a folder as "folder/file".

    Raises:
        IncompleteResults: it holds neither quality.json nor error.json, lacks a file that its job.json lists, or holds
            something that is no file.
        OSError: as the system does.

    """
    facts = dict(job_facts)
    names = [name for name in _names(folder, files) if name not in (JOB_FILE, zip_name)]
    document = _read_document(folder, files)
    missing = sorted(set((document or {}).get("files", ())) - set(names))
    if missing or not {QUALITY_FILE, ERROR_FILE} & set(names):
        lacking = ", ".join(missing) or QUALITY_FILE
        raise IncompleteResults(f"The result lacks {lacking}.", files=missing or [QUALITY_FILE])
    manifest: Manifest = {}
    for name in names:
        if not S_ISREG(files.lstat(folder / name).st_mode):
            raise IncompleteResults(f"The result holds {shown(name)}, which is no file.", file=shown(name))
        manifest[name] = settle(folder / name, files)
    options, inputs = facts.pop("options", {}), facts.pop("inputs", {})
    notes = facts.pop("notes", [])
    facts.setdefault("finished_at", SystemClock().now().isoformat(timespec="seconds"))
    document = document or _without_engine(options, inputs)
    earlier = [note for note in document["notes"] if note not in notes]
    document |= {"name": facts["bundle"], "notes": earlier + notes, "files": dict(manifest), "job": facts}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files.replace(folder / JOB_FILE, text.encode())
    manifest[JOB_FILE] = digest(folder / JOB_FILE, files)
    if zip_name is not None:
        _write_zip(folder, zip_name, sorted(manifest), datetime.fromisoformat(facts["finished_at"]), files)
        manifest[zip_name] = digest(folder / zip_name, files)
    for name in folders_of(manifest):
        files.fsync_folder(folder / name)
    files.fsync_folder(folder)
    return manifest


def folders_of(names: Iterable[str]) -> list[str]:
    """The folders that files of a result lie in, below its own."""
    return sorted({name.partition("/")[0] for name in names if "/" in name})


def is_plain(name: str) -> bool:
    """Whether a name in a manifest is one that results have: a file, or a file in a folder, and no way out of it."""
    parts = name.split("/")
    return len(parts) <= 2 and not {"", ".", ".."} & set(parts) and "\0" not in name


def _names(folder: Path, files: Files) -> list[str]:
    """What a result's folder and the folders in it hold."""
    out = []
    for name in files.names(folder):
        if S_ISDIR(files.lstat(folder / name).st_mode):
            out += [f"{name}/{inner}" for inner in files.names(folder / name) if not _is_leftover(inner)]
        elif not _is_leftover(name):
            out.append(name)
    return out


def digest(path: Path, files: Files) -> dict[str, Any]:
    """A file's length and SHA-256, as a manifest has them."""
    with files.reading(path) as file:
        return _digest(file)


def settle(path: Path, files: Files) -> dict[str, Any]:
    """Wait until a file is on the disk; its length and SHA-256."""
    with files.reading(path) as file:
        files.fsync(file)
        return _digest(file)


def _digest(file: BinaryIO) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    while piece := file.read(PIECE):
        sha256.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": sha256.hexdigest()}


def _is_leftover(name: str) -> bool:
    """A file that an interrupted `Files.replace` left."""
    return name.startswith(".") and name.endswith(".tmp")


def _read_document(folder: Path, files: Files) -> dict[str, Any] | None:
    try:
        with files.reading(folder / JOB_FILE) as file:
            document = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise IncompleteResults(f"{JOB_FILE} of the result can't be read: {error}.", file=JOB_FILE) from error
    return document if isinstance(document, dict) else None


def _without_engine(options: Any, inputs: Any) -> dict[str, Any]:
    """job.json of a job for which the engine made none."""
    try:
        own = version("meshdrop")
    except PackageNotFoundError:
        own = "unknown"
    return {
        "schema_version": 1,
        "name": "",
        "options": options,
        "notes": [],
        "files": {},
        "inputs": dict(sorted(dict(inputs).items())),
        "versions": {"meshdrop": own},
    }


def _write_zip(folder: Path, zip_name: str, names: list[str], at: datetime, files: Files) -> None:
    """All files of the result under one name, folders as they are."""
    target = folder / zip_name
    if files.exists(target):
        files.unlink(target)
    moment = at.astimezone(UTC).timetuple()[:6]
    with files.writing(target) as out, zipfile.ZipFile(out, "w", allowZip64=True) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, moment)
            squeeze = Path(name).suffix.lower() in _SQUEEZED
            entry.compress_type = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
            entry.external_attr = 0o100664 << 16
            with files.reading(folder / name) as file, archive.open(entry, "w", force_zip64=True) as member:
                while piece := file.read(PIECE):
                    member.write(piece)
