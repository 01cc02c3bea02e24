"""Zips: their directory read with caps, their files streamed and counted, nothing in them believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.sections import Limits
from daemon.files import Files


@dataclass(frozen=True, slots=True)
class Extracted:
    """A file that was written. bytes: its size."""

    bytes: int
    sha256: str


def extract(zip_path: Path, into: Path, limits: Limits, files: Files) -> dict[str, Extracted]:
    """Write a bundle's twelve images, and its job.toml, into the folder `into` in the engine's layout.

    into: a folder that exists. Returns size and digest by the layout's name, such as "multi_views/front.png".
    Raises InputError for what can't be taken, with everything checked that intake checks; OSError where something
    can't be read or written.
    """
    raise NotImplementedError
