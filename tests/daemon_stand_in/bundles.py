"""Tiny bundles that pass every check of the intake, with words for the stand-in inside."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from config.bundle_layout import IMAGE_DIRS, PNG_SIGNATURE, RGB_DIR, VIEW_NAMES

KEYWORD = b"stand-in"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=64)
def _pixels(size_px: int, channels: int, seed: int) -> bytes:
    """Rows of a slanted gradient, neither blank nor constant; differs by seed."""
    rows = []
    for y in range(size_px):
        row = bytes((x + 2 * y + 17 * seed) & 255 for x in range(size_px) for _ in range(channels))
        rows.append(b"\0" + row)
    return zlib.compress(b"".join(rows), 1)


def png_bytes(size_px: int = 256, *, rgb: bool = True, seed: int = 0, words: dict[str, Any] | None = None) -> bytes:
    """A complete PNG. words: put into a text chunk."""
    header = struct.pack(">IIBBBBB", size_px, size_px, 8, 2 if rgb else 0, 0, 0, 0)
    text = _chunk(b"tEXt", KEYWORD + b"\0" + json.dumps(words).encode("ascii")) if words else b""
    pixels = _pixels(size_px, 3 if rgb else 1, seed)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + text + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def bundle_files(*, seed: int = 0, size_px: int = 256, job: str | None = None, **words: Any) -> dict[str, bytes]:
    """The files of a bundle: name in the layout -> content. seed: other content. job: of job.toml."""
    files = {}
    for folder in IMAGE_DIRS:
        for number, view in enumerate(VIEW_NAMES):
            told = words if (folder, view) == (RGB_DIR, "front") else None
            files[f"{folder}/{view}.png"] = png_bytes(
                size_px, rgb=folder == RGB_DIR, seed=seed * 7 + number, words=told
            )
    if job is not None:
        files["job.toml"] = job.encode()
    return files


def make_bundle(folder: Path, *, seed: int = 0, size_px: int = 256, job: str | None = None, **words: Any) -> Path:
    """Write a bundle folder, quickly but not at once: the folder is there before its files are."""
    for name, data in bundle_files(seed=seed, size_px=size_px, job=job, **words).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def make_zip(path: Path, *, seed: int = 0, size_px: int = 256, job: str | None = None, **words: Any) -> Path:
    """Write a zip of a bundle."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in bundle_files(seed=seed, size_px=size_px, job=job, **words).items():
            archive.writestr(name, data)
    return path


def words_of(bundle: Path) -> dict[str, Any]:
    """What a bundle tells the stand-in."""
    told = bundle / "stand-in.json"
    if told.exists():
        return dict(json.loads(told.read_text()))
    data = (bundle / RGB_DIR / "front.png").read_bytes()
    at = data.find(b"tEXt" + KEYWORD + b"\0")
    if at < 0:
        return {}
    length = struct.unpack(">I", data[at - 4 : at])[0]
    return dict(json.loads(data[at + 4 + len(KEYWORD) + 1 : at + 4 + length]))
