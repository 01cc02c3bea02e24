"""A job's places in the spool, and what the runner itself does there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Final

from config.sections import Settings
from daemon.files import Files
from daemon.publish.package import ERROR_FILE, QUALITY_FILE, Manifest, digest, job_facts, package_result
from daemon.runner.retry import Error
from daemon.spool import INPUT, RESULT, spool_folder
from daemon.worker.protocol import LONGEST_LINE, Done, ProtocolError, decode

if TYPE_CHECKING:
    from daemon.store import Job, Store

DONE_FILE: Final = "done.json"
_LARGEST_QUALITY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Places:
    """Where a job reads and writes. done: says that the result is whole; written last, by the worker."""

    folder: Path
    input: Path
    result: Path
    done: Path


class Results:
    """What lies in the spool for a job."""

    def __init__(self, settings: Settings, store: Store, files: Files) -> None:
        self._settings, self._store, self._files = settings, store, files

    def places(self, job: Job) -> Places:
        """The paths of a job."""
        folder = spool_folder(self._settings.state_dir, job.id)
        return Places(folder, folder / INPUT, folder / RESULT, folder / DONE_FILE)

    def has_input(self, job: Job) -> bool:
        """Whether its copy is there."""
        return self._files.exists(self.places(job).input)

    def read_done(self, job: Job) -> Done | None:
        """What the worker said of a result that is whole: every file there, with the bytes of its manifest."""
        places = self.places(job)
        try:
            with self._files.reading(places.done) as file:
                done = decode(file.read(LONGEST_LINE) or b"")
            if not isinstance(done, Done) or done.job != job.id:
                return None
            whole = all(digest(places.result / name, self._files) == facts for name, facts in done.manifest.items())
        except (OSError, ProtocolError):
            return None
        return done if whole and done.manifest else None

    def timings_s(self, job: Job) -> dict[str, float] | None:
        """The seconds of each stage, as quality.json tells them; None where it does not."""
        try:
            with self._files.reading(self.places(job).result / QUALITY_FILE) as file:
                told = json.loads(file.read(_LARGEST_QUALITY)).get("timings_s")
            return {str(stage): float(seconds) for stage, seconds in told.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # figures for graphs: the job goes on without
            return None

    def clear(self, job: Job) -> None:
        """Remove what an earlier attempt has left; its input stays. Raises OSError."""
        places = self.places(job)
        for name in self._files.names(places.folder) if self._files.exists(places.folder) else []:
            if name == INPUT or name.startswith(f"{INPUT}."):
                continue
            path = places.folder / name
            if S_ISDIR(self._files.lstat(path).st_mode):
                self._files.remove_tree(path)
            else:  # done.json, or one that was being written when the process was killed
                self._files.unlink(path)

    def clear_quietly(self, job: Job) -> None:
        """The same, to give space back; what can't be removed now is removed before the next run."""
        with suppress(OSError):
            self.clear(job)

    def write_error(self, job: Job, error: Error) -> Manifest:
        """Make a result of error.json alone. Raises OSError."""
        places = self.places(job)
        for folder in (places.folder.parent, places.folder):
            if not self._files.exists(folder):
                self._files.mkdir(folder)
        self.clear(job)
        self._files.mkdir(places.result)
        text = json.dumps(error, indent=1, ensure_ascii=False) + "\n"
        self._files.replace(places.result / ERROR_FILE, text.encode("utf-8", "backslashreplace"))
        manifest = package_result(places.result, job_facts(job, self._store.inputs(job.id)), None, self._files)
        self._files.fsync_folder(places.folder)
        return manifest
