"""What hostile bytes are fed to: each of these takes anything and lets nothing but the promised errors through."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from config.bundle_layout import PngError, check_png
from config.errors import InputError
from config.sections import MEGABYTE, Limits
from daemon.files import Files
from daemon.intake.archive_reader import ZipUnfinished, extract, open_archive
from daemon.intake.job_file import parse_job_file
from daemon.names import safe_name, shown
from tests.proof.house import SHM

CORPUS: Final = Path(__file__).with_name("corpus")
LIMITS: Final = Limits(min_size_px=16)
_LARGEST: Final = 4 * MEGABYTE
"""No input of a few kilobytes may make more of itself: the hundredfold of it that is no bomb, and room."""


def zips(data: bytes) -> None:
    """The zip reader: what it writes lies in the folder that it was given, and is no bomb."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as name:
        folder = Path(name)
        path = folder / "a" / "b.zip"
        into = folder / "a" / "b"
        into.mkdir(parents=True)
        path.write_bytes(data)
        try:
            with open_archive(path, LIMITS, Files()) as archive:
                for item in archive.layout.images.values():
                    assert ".." not in item.name.split("/")
            found = extract(path, into, LIMITS, Files())
        except (InputError, ZipUnfinished) as error:
            _is_a_sentence(str(error))
            found = {}
        seen = {str(each.relative_to(into)) for each in into.rglob("*") if not each.is_dir()}
        outside = {str(each.relative_to(folder)) for each in folder.rglob("*")} - {"a", "a/b", "a/b.zip"}
        assert all(each.startswith("a/b/") for each in outside), outside
        assert set(found) <= seen
        assert all(not each.is_symlink() and each.is_file() for each in into.rglob("*") if not each.is_dir())
        written = sum(each.stat().st_size for each in into.rglob("*") if each.is_file())
        assert written <= max(_LARGEST, 1100 * len(data)), f"{len(data)} bytes made {written}"


def pngs(data: bytes) -> None:
    """The PNG gate: a header of a sane size, or words."""
    try:
        header = check_png(io.BytesIO(data))
    except PngError as error:
        _is_a_sentence(str(error))
    else:
        assert header.width > 0
        assert header.height > 0
        assert data[:8] == b"\x89PNG\r\n\x1a\n"


def job_files(data: bytes) -> None:
    """job.toml: options whose every path is none, or words."""
    try:
        options = parse_job_file(data)
    except InputError as error:
        _is_a_sentence(error.message)
    else:
        assert parse_job_file(data) == options


def names(data: bytes) -> None:
    """A name of the inbox: what is made of it is a name and no path, and what is shown of it is one line."""
    name = os.fsdecode(data.replace(b"\0", b"").replace(b"/", b"")[:255])
    made = safe_name(name)
    assert made not in ("", ".", "..")
    assert "/" not in made
    assert "\0" not in made
    assert len(made.encode()) <= 80
    assert len(shown(name).splitlines()) <= 1
    shown(name).encode()


def _is_a_sentence(text: str) -> None:
    assert text.strip()
    text.encode()  # whatever stood in the file, people and logs can be told
    assert "\n" not in text.strip("\n") or len(text) < 5000
    assert "\x1b" not in text
    assert "Traceback" not in text


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "zip": zips, "png": pngs, "job": job_files, "name": names,
}  # fmt: skip


def seeds(kind: str) -> list[bytes]:
    """Inputs to begin with: the corpus."""
    return [path.read_bytes() for path in sorted((CORPUS / kind).iterdir())]


def is_zip(data: bytes) -> bool:
    return zipfile.is_zipfile(io.BytesIO(data))
