"""STATUS.txt and error.json: written where the people who dropped the bundle look, only when they change.

They can never fail or delay a job: a refused write is tried again later and otherwise forgotten.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from config.sections import Settings
from daemon.caretaker.sentences import status_text
from daemon.clock import Clock
from daemon.files import Files
from daemon.intake.markers import ERROR_FILE, STATUS_FILE
from daemon.names import bundle_name, shown

log = structlog.get_logger(__name__)

_TRIES: Final = 3
_AGAIN_AFTER_S: Final = 300.0
_LARGEST: Final = 1 << 16


@dataclass
class _Said:
    """What an entry's STATUS.txt says. tries: refused ones in a row. where: the file, None where none is written."""

    sentence: str
    job_id: str | None
    where: Path | None = None
    written_s: float = float("-inf")
    tries: int = 0


class Notices:
    """The notices of one inbox."""

    def __init__(self, inbox: Path, settings: Settings, clock: Clock, files: Files) -> None:
        self._inbox, self._settings, self._clock, self._files = inbox, settings, clock, files
        self._said: dict[str, _Said] = {}
        self._inbox_text: str | None = None

    def say(self, entry: str, sentence: str, job_id: str | None, *, is_folder: bool, urgent: bool = False) -> bool:
        """Put a sentence into an entry's STATUS.txt, unless it says so already; whether it is said.

        In the folder itself; beside it where that can't be written, and for a zip. What is not urgent waits where
        the last sentence was written a moment ago.
        """
        now_s = self._clock.monotonic_s()
        said = self._said.get(entry)
        if said is None:
            said = self._said[entry] = self._found(entry, is_folder)
        if (said.sentence, said.job_id) != (sentence, job_id):
            fresh_s = now_s - said.written_s
            if not urgent and said.job_id == job_id and fresh_s < self._settings.publish.refresh_s:
                return False
            said.sentence, said.job_id, said.tries = sentence, job_id, 0
        elif said.tries == 0:
            return True
        elif said.tries >= _TRIES and now_s - said.written_s < _AGAIN_AFTER_S:
            return False
        said.written_s = now_s
        data = status_text(sentence, job_id, self._clock.now(), self._settings.support.contact).encode(
            errors="backslashreplace"
        )
        for path in self.places(entry, STATUS_FILE, is_folder=is_folder):
            if self._write(path, data):
                if said.where is not None and said.where != path:
                    self._remove(said.where)
                said.where, said.tries = path, 0
                return True
        said.tries += 1
        if said.tries == _TRIES:
            log.info("caretaker.status_refused", bundle=shown(entry), inbox=str(self._inbox))
        return False

    def put_error(self, entry: str, error: dict[str, Any], *, is_folder: bool) -> None:
        """Put error.json into the bundle, or beside it."""
        data = (json.dumps(error, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
        for path in self.places(entry, ERROR_FILE, is_folder=is_folder):
            if self._read(path) == data or self._write(path, data):
                return

    def clear_error(self, entry: str, *, is_folder: bool) -> None:
        """Take an earlier attempt's error.json away; a file of that name that is not the daemon's stays."""
        for path in self.places(entry, ERROR_FILE, is_folder=is_folder):
            with suppress(ValueError):
                found = json.loads(self._read(path) or b"null")
                if isinstance(found, dict) and set(found) == {"code", "message", "details", "suggestion", "retry"}:
                    self._remove(path)

    def clear_beside(self, entry: str, written: str | None = None) -> None:
        """Take away what lies beside an entry that is gone, where the daemon wrote it.

        written: the name of a notice that is known to be an earlier run's.
        """
        said = self._said.pop(entry, None)
        for path in (self._inbox / name for name in self.names_beside(entry)):
            if (said is not None and said.where == path) or path.name == written:
                self._remove(path)
        self.clear_error(entry, is_folder=False)

    def has_said(self, entry: str) -> bool:
        """Whether this run knows what an entry's notice says."""
        return entry in self._said

    def names_beside(self, entry: str) -> list[str]:
        """What a notice beside an entry may be called."""
        return [f"{shape}.{STATUS_FILE}" for shape in self._shapes(entry)]

    def job_of(self, name: str) -> str | None:
        """The job that a notice of this name in the inbox tells of; None where it tells of none, or is no notice."""
        return _parsed(self._read(self._inbox / name))[1]

    def say_of_inbox(self, sentences: list[str]) -> None:
        """Put what concerns no bundle into the inbox's own STATUS.txt; take it away where there is nothing to say."""
        text = "\n".join(sentences)
        path = self._inbox / STATUS_FILE
        if self._inbox_text is None:
            self._inbox_text = (self._read(path) or b"").decode(errors="replace").split("\n\n")[0]
        if text == self._inbox_text:
            return
        if not text:
            self._remove(path)
        else:
            contact = self._settings.support.contact
            self._write(path, status_text(text, None, self._clock.now(), contact).encode(errors="backslashreplace"))
        self._inbox_text = text

    def answer(self, name: str, sentence: str) -> None:
        """Answer a marker that concerns no bundle, beside it: `<name>.STATUS.txt`."""
        data = status_text(sentence, None, self._clock.now(), self._settings.support.contact)
        self._write(self._inbox / f"{name}.{STATUS_FILE}", data.encode(errors="backslashreplace"))

    def places(self, entry: str, name: str, *, is_folder: bool) -> list[Path]:
        """Where a notice of this name may be, the best place first."""
        beside = [self._inbox / f"{shape}.{name}" for shape in self._shapes(entry)]
        return [self._inbox / entry / name, *beside] if is_folder else beside

    def _shapes(self, entry: str) -> list[str]:
        """What a notice beside an entry begins with: a zip's name without suffix, unless a folder is called so."""
        short = bundle_name(entry)
        if short == entry:
            return [entry]
        return [entry] if self._files.exists(self._inbox / short) else [short]

    def _found(self, entry: str, is_folder: bool) -> _Said:
        """What an earlier run wrote."""
        for path in self.places(entry, STATUS_FILE, is_folder=is_folder):
            sentence, job_id = _parsed(self._read(path))
            if sentence is not None:
                return _Said(sentence, job_id, path)
        return _Said("", None)

    def _read(self, path: Path) -> bytes | None:
        try:
            with self._files.reading(path) as file:
                return file.read(_LARGEST)
        except OSError:
            return None

    def _write(self, path: Path, data: bytes) -> bool:
        try:
            self._files.replace(path, data, durable=False)
        except OSError as error:
            log.debug("caretaker.write_refused", path=shown(str(path)), reason=error.strerror)
            return False
        with suppress(OSError):  # for people to read, whatever the umask; shares that refuse it have modes of their own
            self._files.chmod(path, int(self._settings.publish.file_mode, 8))
        return True

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            self._files.unlink(path)


def _parsed(data: bytes | None) -> tuple[str | None, str | None]:
    """The sentence and the job of a STATUS.txt; None, None where it is none, the job None where it tells of none."""
    sentence, _, rest = (data or b"").decode(errors="replace").partition("\n\nJob:")
    if not rest:
        return None, None
    job_id = rest.split("\n")[0].strip()
    return sentence, None if job_id == "none yet" else job_id
