"""Writing a result's files."""

from __future__ import annotations

from pathlib import Path

from engine.staging import storage_error

Buffer = bytes | bytearray | memoryview


def write_file(path: Path, *parts: Buffer) -> None:
    """Write `parts` one after the other to `path`.

    Raises DiskFull (no space, quota) or ShareUnavailable (no permission, read-only, gone), naming the path.
    """
    try:
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise storage_error(error, path) or error from error
