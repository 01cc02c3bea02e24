"""How a folder appears in the outbox: written aside, put in place by one rename, recognised by its job's id.

Nothing here knows the store. A target that exists in any form is taken: an empty folder, a file, a broken link, the
same name in another case or another Unicode form.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

import structlog

from config.bundle_layout import name_key
from config.sections import Publish
from daemon.files import Files, NotRegular
from daemon.publish.package import JOB_FILE, QUALITY_FILE, Manifest, folders_of
from daemon.publish.trouble import SpoolDamaged, located, read_piece

log = structlog.get_logger(__name__)

PARTIAL: Final = ".partial-"
LATEST: Final = ".latest.json"
_LEFTOVER: Final = re.compile(r"\.(status\.json|index\.html|.*\.latest\.json)\.[0-9a-f]{8}\.tmp", re.DOTALL)
_RESERVED: Final = frozenset({"index.html", "status.json"})
_REFUSED: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EROFS}
)
_MOST_NAMES: Final = 100


@dataclass(frozen=True)
class Target:
    """What a job's result may be called in its outbox."""

    outbox: Path
    job: str
    name: str
    failed: bool

    @property
    def partial(self) -> Path:
        """Where it is written before it appears."""
        return self.outbox / f"{PARTIAL}{self.job}"

    def candidates(self) -> Iterator[str]:
        """Names in order: the plain one is for a success."""
        if not self.failed and not _is_reserved(self.name):
            yield self.name
        own = f"{self.name}.failed-{self.job}" if self.failed else f"{self.name}-{self.job}"
        yield own
        for number in count(2):
            yield f"{own}-{number}"

    def may_be(self, name: str) -> bool:
        """Whether an entry of the outbox is called as this result may be."""
        key, own = name_key(name), f"{self.name}.failed-{self.job}" if self.failed else f"{self.name}-{self.job}"
        return key.startswith(name_key(own)) or (not self.failed and key == name_key(self.name))


class Modes:
    """Sets modes and group as the settings say, whatever the umask; what is refused is one warning a job."""

    def __init__(self, publish: Publish, files: Files, job: str) -> None:
        self._folder_mode, self._file_mode = int(publish.dir_mode, 8), int(publish.file_mode, 8)
        self._group, self._files, self._job = publish.group, files, job
        self._warned = False

    def folder(self, path: Path) -> None:
        """Dress a folder."""
        self._set(path, self._folder_mode)

    def file(self, path: Path) -> None:
        """Dress a file."""
        self._set(path, self._file_mode)

    def _set(self, path: Path, mode: int) -> None:
        if self._group is not None:  # first: a change of group may clear the set-group-ID bit
            try:
                self._files.chown(path, self._group)
            except LookupError:
                self._warn(path, f"there is no group {self._group}")
            except OSError as error:
                self._refused(path, error)
        try:
            self._files.chmod(path, mode)
        except OSError as error:
            self._refused(path, error)

    def _refused(self, path: Path, error: OSError) -> None:
        if error.errno not in _REFUSED:
            raise error
        self._warn(path, str(error.strerror))

    def _warn(self, path: Path, reason: str) -> None:
        if not self._warned:
            log.warning("publish.mode_refused", job=self._job, path=str(path), reason=reason)
        self._warned = True


def find_published(target: Target, files: Files) -> Path | None:
    """The folder in the outbox that holds this job's result already."""
    for name in files.names(target.outbox):
        if target.may_be(name) and job_of(target.outbox / name, files) == target.job:
            return target.outbox / name
    return None


def job_of(folder: Path, files: Files) -> str | None:
    """The id of the job whose result a folder is; None where it is none, or no folder."""
    facts = read_job_json(folder, files).get("job")
    return str(facts["id"]) if isinstance(facts, dict) and "id" in facts else None


def read_job_json(folder: Path, files: Files) -> dict[str, Any]:
    """A result's job.json; empty where there is none or it is no JSON. Raises OSError where it can't be read."""
    try:
        with located(folder), files.reading(folder / JOB_FILE) as file:
            document = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, NotRegular, ValueError):
        return {}
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            return {}
        raise
    return document if isinstance(document, dict) else {}


def stage(source: Path, target: Target, manifest: Manifest, modes: Modes, files: Files) -> None:
    """Write a copy of a result beside its place; all of it is on the disk afterwards, quality.json last.

    Raises SpoolDamaged where `source` is not what the manifest says, OSError as the system does.
    """
    remove_partial(target, files)
    partial = target.partial
    files.mkdir(partial)
    modes.folder(partial)
    folders = folders_of(manifest)
    for name in folders:
        files.mkdir(partial / name)
        modes.folder(partial / name)
    for name in sorted(manifest, key=lambda name: (name == QUALITY_FILE, name)):
        _copy(source / name, partial / name, manifest[name], modes, files)
    for folder in (*(partial / name for name in folders), partial):
        files.fsync_folder(folder)


def _copy(source: Path, target: Path, expected: Mapping[str, Any], modes: Modes, files: Files) -> None:
    sha256 = hashlib.sha256()
    try:
        with located(source), files.reading(source) as file, located(target), files.writing(target) as out:
            while piece := read_piece(file, source):
                sha256.update(piece)
                out.write(piece)
            modes.file(target)
    except FileNotFoundError as error:
        if error.filename == str(source):
            raise SpoolDamaged(f"{source.name} is missing") from error
        raise
    except NotRegular as error:
        raise SpoolDamaged(f"{source.name} is no file") from error
    if sha256.hexdigest() != expected["sha256"]:
        raise SpoolDamaged(f"{source.name} is not what was written")


def remove_leftovers(outbox: Path, files: Files) -> None:
    """Remove what a kill has left beside a live file that was being replaced. Best effort."""
    with suppress(OSError):
        for name in files.names(outbox):
            if _LEFTOVER.fullmatch(name):
                files.unlink(outbox / name)


def remove_partial(target: Target, files: Files) -> None:
    """Remove what an earlier try left."""
    if files.exists(target.partial):
        files.remove_tree(target.partial)


def place(target: Target, files: Files) -> Path:
    """Put the staged folder in its place, by one rename, under the first name that nothing has."""
    taken = {name_key(name) for name in files.names(target.outbox)}
    for tries, name in enumerate(target.candidates()):
        if name_key(name) in taken:
            continue
        final = target.outbox / name
        try:
            files.rename_new(target.partial, final)
        except OSError as error:
            # A network file system may report a failure for what it did: the folder itself tells.
            with suppress(OSError):
                if job_of(final, files) == target.job:
                    return final
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and tries < _MOST_NAMES:
                continue  # it appeared since the names were read
            raise
        return final
    raise FileExistsError(errno.EEXIST, "every name is taken", str(target.outbox))


def write_latest(target: Target, folder: str, facts: Mapping[str, Any], modes: Modes, files: Files) -> None:
    """Replace `<name>.latest.json`; names that clash share one."""
    wanted = f"{target.name}{LATEST}"
    names = (name for name in files.names(target.outbox) if name_key(name) == name_key(wanted))
    path = target.outbox / next(names, wanted)
    if files.exists(path) and not S_ISREG(files.lstat(path).st_mode):
        raise NotRegular(errno.EEXIST, "is not a file", str(path))
    text = json.dumps({"path": folder, **facts}, indent=1, ensure_ascii=False) + "\n"
    files.replace(path, text.encode("utf-8", "backslashreplace"))
    modes.file(path)


def _is_reserved(name: str) -> bool:
    """Whether the daemon writes a file of its own by this name."""
    key = name_key(name)
    return key in _RESERVED or key.endswith(LATEST) or key.startswith(".")
