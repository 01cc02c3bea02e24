"""What an entry of the inbox looks like from outside: names, kinds, sizes and times, by lstat alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.files import Files

ItemKind = Literal["file", "folder", "link", "other"]
EntryKind = Literal["folder", "zip", "file", "link", "other", "gone"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in an entry. name: its path within the entry, slashes between, raw. trouble: why it can't be read."""

    name: str
    kind: ItemKind
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    mode: int = 0
    uid: int = 0
    links: int = 1
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at an entry.

    entry: its raw name in the inbox. top: the entry itself, None where it is gone. root: the wrapping folders around
    the bundle, "" where there are none. items: what was found, sorted by name; of a zip, nothing. cut: there was more
    than is looked at. fingerprint: rule 2's, of names, sizes and times.
    """

    entry: str
    kind: EntryKind
    top: Item | None = None
    root: str = ""
    items: tuple[Item, ...] = ()
    cut: bool = False
    fingerprint: str = ""


def take_snapshot(inbox: Path, entry: str, files: Files, *, open_files: bool = False) -> Snapshot:
    """Look at one entry: itself, one or two wrapping folders, the bundle's folder and its two image folders.

    open_files: open each file and ask it for its size and times, as network mounts need it. Raises OSError where the
    inbox itself can't be read.
    """
    raise NotImplementedError
