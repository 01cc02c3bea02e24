"""Zips: their directory read with caps, their files streamed and counted, nothing in them believed.

Python's `zipfile` reads the directory, through a reader that refuses to read much at once; the files themselves are
inflated here, piece by piece, so that more than a file is stated to hold is noticed and never kept. Only the twelve
images and job.toml are ever inflated.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from config.bundle_layout import PngError, check_png, is_junk, name_key
from config.errors import FileTooLarge, InputError, InvalidFileFormat, ValidationFailed
from config.problems import Problem
from config.sections import MEGABYTE, Limits
from config.tables import LARGEST_TOML
from daemon.files import Files
from daemon.intake.layout import Layout, find_root, read_layout
from daemon.intake.problems import error_of
from daemon.intake.snapshot import Item
from daemon.names import shown

_MOST_ENTRIES: Final = 1000
_MOST_DIRECTORY_BYTES: Final = 1 << 20
_BOMB_BYTES: Final = 16 * MEGABYTE
_BOMB_RATIO: Final = 100
_PIECE: Final = 1 << 16
_ARCHIVES: Final = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".zipx")
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_BROKEN: Final = (
    zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, EOFError, IndexError, KeyError,
    RuntimeError,
)  # fmt: skip
"""What `zipfile` raises on archives that were made to break it."""

_SEND_PLAIN: Final = "Zip the bundle's folder again with your system's own tool, without a password."


class ZipUnfinished(Exception):
    """The zip, or a file in it, is not whole: it may still be being copied. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A file that was read. bytes: its size, inflated."""

    bytes: int
    sha256: str


class _Capped(io.BufferedReader):
    """A file of which no more than a directory's worth is read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, unless it is too much."""
        if size is not None and size > _MOST_DIRECTORY_BYTES:
            raise _TooMany
        return super().read(_MOST_DIRECTORY_BYTES if size is None or size < 0 else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go somewhere, unless that is before the file's start: the system would call it an error of the share."""
        if whence == io.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("a place before the start of the file")
        return super().seek(offset, whence)


class _TooMany(Exception):
    """The archive's directory is larger than any bundle's."""


class Archive:
    """A zip whose directory was read and found harmless.

    layout: which of its files are the bundle's.
    """

    def __init__(self, name: str, file: BinaryIO, limits: Limits) -> None:
        """file: seekable. Raises InputError for what can't be taken, ZipUnfinished for what is not whole."""
        self.name, self._limits = name, limits
        self._file = _Capped(cast(io.RawIOBase, file), _PIECE)
        try:
            self._members = self._read_directory()
            items = _items(self._members)
            self.layout: Layout = read_layout(items, find_root(items))
            self._raise_if_too_large()
        except BaseException:
            self.close()
            raise

    def _read_directory(self) -> dict[str, list[zipfile.ZipInfo]]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                found = archive.infolist()
        except _TooMany:
            raise self._too_many() from None
        except _BROKEN as error:
            raise self._not_whole(error) from None
        if len(found) > _MOST_ENTRIES:
            raise self._too_many()
        members: dict[str, list[zipfile.ZipInfo]] = {}
        problems: list[Problem] = []
        for info in found:
            name = info.orig_filename.replace("\\", "/")
            problem = _unsafe(name, info)
            if problem is not None:
                problems.append(problem)
            else:
                members.setdefault(name, []).append(info)
        if problems:
            raise error_of(problems)
        return members

    def _too_many(self) -> InputError:
        return ValidationFailed(
            f"{shown(self.name)} lists far more files than a bundle has.",
            suggestion="Zip the bundle's folder alone.",
            files=[shown(self.name)],
        )

    def _not_whole(self, error: Exception) -> Exception:
        """What a file is whose directory can't be read."""
        self._file.seek(0)
        start = self._file.read(8)
        name = shown(self.name)
        if not start or start[:2] == b"PK" or not start.strip(b"\0"):
            return ZipUnfinished(f"{name} is not a whole zip yet: its directory, which comes last, can't be read.")
        return InvalidFileFormat(
            f"{name} is not a zip (it begins with {start.hex(' ')}).", suggestion=_SEND_PLAIN, files=[name]
        )

    def _raise_if_too_large(self) -> None:
        wanted = list(self.layout.images.values())
        problems = [
            too_heavy(item.name, item.size, self._limits)
            for item in wanted
            if item.size > self._limits.file_mb * MEGABYTE
        ]
        total = sum(item.size for item in wanted)
        if not problems and total > self._limits.bundle_mb * MEGABYTE:
            problems.append(bundle_too_heavy(total, self._limits))
        job = self.layout.job_file
        if job is not None and job.size > LARGEST_TOML:
            problems.append(Problem(ValidationFailed, job.name, "is over 1 MB: not a file of settings"))
        for name, infos in self._members.items():
            for info in infos:
                if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * max(info.compress_size, 1):
                    ratio = info.file_size // max(info.compress_size, 1)
                    message = f"would grow {ratio} times when unpacked: that is a zip bomb, not an image"
                    problems.append(Problem(FileTooLarge, name, message, _SEND_PLAIN))
        if problems:
            raise error_of(problems)

    def open(self, item: Item) -> MemberStream:
        """One of the layout's files, to be read once from its start."""
        info = self._members[item.name][0]
        head = b""
        if info.header_offset >= 0:
            self._file.seek(info.header_offset)
            head = self._file.read(_LOCAL_HEADER.size)
        if len(head) < _LOCAL_HEADER.size or head[:4] != b"PK\x03\x04":
            raise ZipUnfinished(f"{shown(item.name)} is not where the zip's directory says.")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(head)
        self._file.seek(info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
        return MemberStream(item.name, self._file, info)

    def close(self) -> None:
        """Let go of the file without closing it."""
        self._file.detach()


@contextmanager
def open_archive(path: Path, limits: Limits, files: Files) -> Iterator[Archive]:
    """A zip's directory, read and checked. Raises InputError, ZipUnfinished, OSError."""
    with files.reading(path) as file:
        archive = Archive(path.name, file, limits)
        try:
            yield archive
        finally:
            archive.close()


class MemberStream(io.RawIOBase):
    """A file of a zip, inflated as it is read, counted, and held to its checksum at its end."""

    def __init__(self, name: str, file: BinaryIO, info: zipfile.ZipInfo) -> None:
        self.name, self._file, self._info = name, file, info
        self._inflate = zlib.decompressobj(-15) if info.compress_type == zipfile.ZIP_DEFLATED else None
        self._left = info.compress_size  # compressed bytes still in the archive
        self._held = b""  # compressed bytes not yet inflated
        self._crc, self.count = 0, 0

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, fewer at the end. Raises ZipUnfinished, or InvalidFileFormat where the zip lies of a size."""
        size = _PIECE if size is None or size < 0 else size
        out = b""
        while len(out) < size:
            piece = self._more(size - len(out))
            if not piece:
                break
            out += piece
        return out

    def _more(self, size: int) -> bytes:
        if self._inflate is None:
            piece = self._file.read(min(size, self._left, _PIECE))
            self._left -= len(piece)
        else:
            piece = self._inflated(size)
        self.count += len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        if self.count > self._info.file_size:
            raise InvalidFileFormat(
                f"{shown(self.name)} holds more than the zip says ({self._info.file_size} bytes).",
                suggestion=_SEND_PLAIN,
                files=[shown(self.name)],
            )
        if not piece and size:
            self._check_end()
        return piece

    def _inflated(self, size: int) -> bytes:
        inflate = self._inflate
        assert inflate is not None
        while not inflate.eof:
            if not self._held and self._left:
                self._held = self._file.read(min(self._left, _PIECE))
                self._left -= len(self._held)
                if not self._held:
                    self._left = 0
            if not self._held and not self._left and not inflate.unconsumed_tail:
                break
            try:
                piece = inflate.decompress(self._held, size)
            except zlib.error:
                raise ZipUnfinished(f"{shown(self.name)} is damaged in the zip.") from None
            self._held = inflate.unconsumed_tail
            if piece:
                return piece
        return b""

    def _check_end(self) -> None:
        if self.count != self._info.file_size or self._crc != self._info.CRC:
            raise ZipUnfinished(f"{shown(self.name)} is damaged in the zip: its checksum is wrong.")


def too_heavy(name: str, size: int, limits: Limits) -> Problem:
    """The problem of a file over the limit."""
    return Problem(FileTooLarge, name, f"is {size / MEGABYTE:.1f} MB; at most {limits.file_mb:g} MB are taken")


def bundle_too_heavy(total: int, limits: Limits) -> Problem:
    """The problem of twelve files over the limit together."""
    message = f"the twelve images are {total / MEGABYTE:.1f} MB; at most {limits.bundle_mb:g} MB are taken"
    return Problem(FileTooLarge, "", message)


def _items(members: dict[str, list[zipfile.ZipInfo]]) -> list[Item]:
    """The archive's files as items, with the folders that they imply; a name that is there twice is two."""
    items: list[Item] = []
    folders: set[str] = set()
    for name, infos in members.items():
        path = name.rstrip("/")
        parts = path.split("/")
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
        if name.endswith("/"):
            folders.add(path)
        else:
            items += [Item(name, "file", info.file_size) for info in infos]
    items += [Item(folder, "folder") for folder in folders]
    return sorted(items, key=lambda item: item.name)


def _unsafe(name: str, info: zipfile.ZipInfo) -> Problem | None:
    """What is wrong with an entry of the directory, whatever it holds."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts or "" in parts or "\0" in name or ":" in parts[0]:
        message = "is a path that leads out of the zip's folder"
        return Problem(ValidationFailed, name, message, _SEND_PLAIN)
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = "a link" if stat.S_ISLNK(mode) else "a device, pipe or socket"
        return Problem(ValidationFailed, name, f"is {what} in the zip", "Zip the file itself.")
    if any(is_junk(part) for part in parts):
        return None
    if info.flag_bits & _ENCRYPTED:
        return Problem(ValidationFailed, name, "is encrypted", _SEND_PLAIN)
    if name_key(name).endswith(_ARCHIVES):
        message = "is an archive within the zip; it is not unpacked"
        return Problem(ValidationFailed, name, message, "Zip the bundle's folder itself.")
    if info.compress_type not in _METHODS:
        message = f"is packed with a method that is not taken (number {info.compress_type})"
        return Problem(ValidationFailed, name, message, _SEND_PLAIN)
    return None


def extract(zip_path: Path, into: Path, limits: Limits, files: Files) -> dict[str, Extracted]:
    """Write a bundle's twelve images, and its job.toml, into the folder `into` in the engine's layout.

    into: a folder that exists. Returns size and digest by the layout's name, such as "multi_views/front.png", and
    "job.toml". Raises InputError for what can't be taken, damage included, with everything checked that intake
    checks; OSError where something can't be read or written.
    """
    try:
        with open_archive(zip_path, limits, files) as archive:
            if archive.layout.problems:
                raise error_of(archive.layout.problems)
            wanted = dict(archive.layout.images)
            if archive.layout.job_file is not None:
                wanted["job.toml"] = archive.layout.job_file
            for folder in sorted({key.partition("/")[0] for key in wanted if "/" in key}):
                files.mkdir(into / folder)
            return {key: _write(archive, item, into / key, files) for key, item in wanted.items()}
    except ZipUnfinished as error:
        raise InvalidFileFormat(str(error), suggestion=_SEND_PLAIN, files=[shown(zip_path.name)]) from None


def _write(archive: Archive, item: Item, target: Path, files: Files) -> Extracted:
    with files.writing(target) as out:
        stream = HashingStream(archive.open(item), out)
        try:
            if target.suffix == ".png":
                check_png(cast(BinaryIO, stream))
        except PngError as error:
            raise InvalidFileFormat(f"{shown(item.name)} {error}.", files=[shown(item.name)]) from None
        stream.drain()
    return Extracted(stream.count, stream.digest())


class HashingStream:
    """Digests, counts and, where `copy` is given, copies what is read through it."""

    def __init__(self, source: BinaryIO | io.RawIOBase | io.BufferedIOBase, copy: BinaryIO | None = None) -> None:
        self._source, self._copy = source, copy
        self._digest = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        piece = self._source.read(size) or b""
        self._digest.update(piece)
        self.count += len(piece)
        if self._copy is not None:
            self._copy.write(piece)
        return piece

    def drain(self) -> None:
        """Read to the end."""
        while self.read(_PIECE):
            pass

    def digest(self) -> str:
        """SHA-256 of what was read, in hex."""
        return self._digest.hexdigest()
