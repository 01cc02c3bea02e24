"""Reading a bundle's files once: a digest of each, and whether each is a whole PNG of a size that is taken.

What ends too early, or does not fit its checksums, may still be being copied: sizes and times don't tell. Anything
else that is wrong stays wrong. Nothing is decoded, nothing is kept.
"""

from __future__ import annotations

import errno
import io
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from config.bundle_layout import PngError, PngHeader, PngIncomplete, check_png
from config.errors import FileTooLarge, InputError, InvalidFileFormat, ValidationFailed
from config.problems import Problem
from config.sections import MEGABYTE, Limits
from config.tables import LARGEST_TOML
from daemon.files import Files, NotRegular
from daemon.intake import wording
from daemon.intake.archive_reader import (
    HashingStream,
    ZipUnfinished,
    bundle_too_heavy,
    open_archive,
    too_heavy,
)
from daemon.intake.completeness import Content
from daemon.intake.job_file import parse_job_file
from daemon.intake.layout import Layout, read_layout
from daemon.intake.problems import error_of
from daemon.intake.snapshot import Item, Snapshot, item_of, why_unreadable
from daemon.names import shown

_BUFFER: Final = 1 << 17
_EXCHANGED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Why something can't be opened that was a regular file a moment ago and is another thing now."""

_COPY_AGAIN: Final = "Copy or export the file again."

Opener = Callable[[Item], AbstractContextManager[BinaryIO]]


class _Changed(Exception):
    """A file is not what the snapshot saw."""


def check_content(inbox: Path, snapshot: Snapshot, limits: Limits, files: Files, now_s: float) -> Content:
    """Read what the gate wants to know of a complete bundle.

    Raises OSError where the share fails; what is not permitted, or changes meanwhile, is a result.
    """
    path = inbox / snapshot.entry
    try:
        if snapshot.kind == "zip":
            return _check_zip(path, snapshot, limits, files, now_s)
        layout = read_layout(snapshot.items, snapshot.root)
        return _Check(snapshot, layout, limits, now_s, in_zip=False).run(lambda item: _open(path, item, files))
    except _Unreadable as error:
        sentence = wording.unreadable([error.item], snapshot.entry)
        return Content(snapshot.fingerprint, "unreadable", now_s, sentence=sentence)
    except (_Changed, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, NotRegular) and error.errno not in _EXCHANGED:
            raise
        return Content(snapshot.fingerprint, "unfinished", now_s, sentence="It changed while it was being read.")


class _Unreadable(Exception):
    """A file that this user may not read."""

    def __init__(self, item: Item) -> None:
        super().__init__(item.name)
        self.item = item


@contextmanager
def _open(folder: Path, item: Item, files: Files) -> Any:
    """A file of a folder, if it still is the one that was seen."""
    path = folder / item.name if item.name else folder
    try:
        context = files.reading(path)
        file = context.__enter__()
    except PermissionError as error:
        raise _Unreadable(_with_reason(path, item, files)) from error
    try:
        now = item_of(item.name, files.fstat(file))
        if (now.size, now.mtime_ns, now.ctime_ns) != (item.size, item.mtime_ns, item.ctime_ns):
            raise _Changed
        buffered = io.BufferedReader(cast(io.RawIOBase, file), _BUFFER)
        try:
            yield buffered
        finally:
            buffered.detach()
    finally:
        context.__exit__(None, None, None)


def _with_reason(path: Path, item: Item, files: Files) -> Item:
    found = item_of(item.name, files.lstat(path))
    return Item(found.name, found.kind, mode=found.mode, uid=found.uid, trouble=why_unreadable(found, files))


def _check_zip(path: Path, snapshot: Snapshot, limits: Limits, files: Files, now_s: float) -> Content:
    assert snapshot.top is not None
    if snapshot.top.links > 1:
        problem = Problem(
            InvalidFileFormat, snapshot.entry, "is a hard link, not a file of its own", "Put a copy there."
        )
        return _refused(snapshot, error_of([problem]), now_s)
    try:
        with _open(path, snapshot.top, files):
            pass
        with open_archive(path, limits, files) as archive:
            layout = archive.layout
            if not layout.recognised and layout.bundles:
                return _refused(snapshot, _zip_of_bundles(snapshot, layout), now_s)
            if layout.missing or layout.problems or layout.unfinished:
                error = error_of(layout.problems) if layout.problems else wording.count_error(layout, "In the zip, ")
                return _refused(snapshot, error, now_s)

            @contextmanager
            def opened(item: Item) -> Any:
                yield archive.open(item)

            return _Check(snapshot, layout, limits, now_s, in_zip=True).run(opened)
    except ZipUnfinished as error:
        failed = InvalidFileFormat(str(error), suggestion="Copy the zip again.", files=[shown(snapshot.entry)])
        return Content(snapshot.fingerprint, "unfinished", now_s, error=failed, sentence=failed.message)
    except InputError as error:
        return _refused(snapshot, error, now_s)


def _zip_of_bundles(snapshot: Snapshot, layout: Layout) -> InputError:
    name = shown(snapshot.entry)
    return ValidationFailed(
        f"{name} holds several bundles ({wording.listed(layout.bundles, 3)}).",
        suggestion="Send a zip of each.",
        files=[name],
    )


def _refused(snapshot: Snapshot, error: InputError, now_s: float) -> Content:
    return Content(snapshot.fingerprint, "damaged", now_s, error=error, sentence=error.message)


class _Check:
    """Reads one bundle's files in turn, and collects what is wrong."""

    def __init__(self, snapshot: Snapshot, layout: Layout, limits: Limits, now_s: float, *, in_zip: bool) -> None:
        self.snapshot, self.layout, self.limits, self.now_s, self.in_zip = snapshot, layout, limits, now_s, in_zip
        self.problems: list[Problem] = []
        self.unfinished: list[Problem] = []
        self.options: dict[str, Any] = {}
        self.job_error: InputError | None = None

    def run(self, opened: Opener) -> Content:
        """Read everything; the sizes come first, so that nothing heavy is read at all."""
        images = self.layout.images
        sizes = {key: item.size for key, item in images.items()}
        self.problems += [
            too_heavy(item.name, item.size, self.limits)
            for item in images.values()
            if item.size > self.limits.file_mb * MEGABYTE
        ]
        if not self.problems and sum(sizes.values()) > self.limits.bundle_mb * MEGABYTE:
            self.problems.append(bundle_too_heavy(sum(sizes.values()), self.limits))
        if self.problems:
            return self._content({}, {})
        digests: dict[str, str] = {}
        sides: dict[str, int] = {}
        for key, item in images.items():
            with opened(item) as file:
                digest, header = self._read_image(item, file)
            if header is not None:
                digests[key], sides[item.name] = digest, header.width
        job_file = self.layout.job_file
        if job_file is not None:
            with opened(job_file) as file:
                self._read_job_file(job_file, file, digests, sizes)
        if not self.unfinished:
            self.problems += size_problems(sides)
        return self._content(digests, sizes)

    def _read_image(self, item: Item, file: BinaryIO) -> tuple[str, PngHeader | None]:
        stream = HashingStream(file)
        try:
            header = check_png(cast(BinaryIO, stream))
            stream.drain()
        except PngError as error:
            # A zip has checksums of its own: where they fit, the file was bad before it was packed.
            if self.in_zip:
                stream.drain()
            self._sort_out(item, error)
            return "", None
        problem = dimension_problem(item.name, header, self.limits)
        if problem is not None:
            self.problems.append(problem)
        return stream.digest(), header

    def _sort_out(self, item: Item, error: PngError) -> None:
        problem = Problem(InvalidFileFormat, item.name, str(error), _COPY_AGAIN)
        (self.unfinished if may_still_grow(error) and not self.in_zip else self.problems).append(problem)

    def _read_job_file(self, item: Item, file: BinaryIO, digests: dict[str, str], sizes: dict[str, int]) -> None:
        stream = HashingStream(file)
        data = b""
        while len(data) <= LARGEST_TOML and (piece := stream.read(_BUFFER)):
            data += piece
        digests["job.toml"], sizes["job.toml"] = stream.digest(), stream.count
        try:
            self.options = parse_job_file(data, shown(item.last)).model_dump(mode="json", exclude_unset=True)
        except ValidationFailed as error:
            self.job_error = error

    def _content(self, digests: Mapping[str, str], sizes: Mapping[str, int]) -> Content:
        fingerprint = self.snapshot.fingerprint
        if self.problems or self.job_error:
            # What is unfinished is named too: all that has to be mended is told at once.
            error = error_of([*self.problems, *self.unfinished]) if self.problems else self.job_error
            assert error is not None
            return Content(fingerprint, "damaged", self.now_s, error=error, sentence=error.message)
        if self.unfinished:
            error = error_of(self.unfinished)
            return Content(fingerprint, "unfinished", self.now_s, error=error, sentence=error.message)
        return Content(fingerprint, "ok", self.now_s, dict(digests), dict(sizes), self.options)


def may_still_grow(error: PngError) -> bool:
    """Whether a bad PNG may be one that is still being written: cut, with holes, or filled with zeros."""
    text = str(error)
    return (
        isinstance(error, PngIncomplete)
        or text.startswith(("is damaged", "is filled with zeros"))
        or "(it begins with 00 00 00 00 00 00 00 00)" in text
    )


def dimension_problem(name: str, header: PngHeader, limits: Limits) -> Problem | None:
    """Whether an image's stated size is one that is taken."""
    size = f"{header.width}x{header.height} px"
    largest, smallest = limits.max_size_px, limits.min_size_px
    if max(header.width, header.height) > largest:
        return Problem(FileTooLarge, name, f"states {size}; at most {largest}x{largest} px are taken")
    if header.width != header.height:
        advice = "Render or pad the image to a square, with the object's axis in the centre."
        return Problem(ValidationFailed, name, f"is {size}, not square", advice)
    if header.width < smallest:
        advice = f"Render it at {smallest}x{smallest} px or more; 1024x1024 is a good size."
        return Problem(ValidationFailed, name, f"is {size}; at least {smallest}x{smallest} px are needed", advice)
    return None


def size_problems(sides: Mapping[str, int]) -> list[Problem]:
    """sides: in pixels, by a file's name. All of a folder must be alike."""
    problems = []
    for folder in sorted({name.rpartition("/")[0] for name in sides}):
        ours = {name: side for name, side in sides.items() if name.rpartition("/")[0] == folder}
        usual, _ = Counter(ours.values()).most_common(1)[0]
        problems += [
            Problem(
                ValidationFailed,
                name,
                f"is {side}x{side} px, most of its folder are {usual}x{usual}",
                "Render all six of a folder at one size.",
            )
            for name, side in ours.items()
            if side != usual
        ]
    return problems
