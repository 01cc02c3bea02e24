"""What an entry of the inbox looks like from outside: names, kinds, sizes and times, by lstat alone."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from config.bundle_layout import IMAGE_DIRS, is_junk, name_key
from daemon.files import Files
from daemon.intake.markers import Marker, is_own_file, marker_kind
from daemon.names import shown

ItemKind = Literal["file", "folder", "link", "other"]
EntryKind = Literal["folder", "zip", "file", "link", "other", "gone"]

WRAPPERS: Final = 2
_MOST_ITEMS: Final = 500
_MOST_BUNDLES: Final = 12


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

    @property
    def last(self) -> str:
        """The last part of its path."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def parent(self) -> str:
        """The folder that it lies in, "" for the entry itself."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at an entry.

    entry: its raw name in the inbox. top: the entry itself, None where it is gone. root: the wrapping folders around
    the bundle, "" where there are none. items: what was found, sorted by name; of a zip, nothing. markers: those in it
    and beside it that have not been used. cut: there was more than is looked at. fingerprint: of names, sizes and
    times of its files; directory times, leftovers, markers and the daemon's own files don't count. opened: each file
    was opened and asked.
    """

    entry: str
    kind: EntryKind
    top: Item | None = None
    root: str = ""
    items: tuple[Item, ...] = ()
    markers: tuple[Marker, ...] = ()
    cut: bool = False
    fingerprint: str = ""
    opened: bool = False

    def has(self, marker: str) -> bool:
        """Whether there is an unused marker of a kind."""
        return any(found.kind == marker for found in self.markers)


class _Looker:
    """One look: lists and lstats within an entry, with caps."""

    def __init__(self, folder: Path, files: Files, open_files: bool) -> None:
        self.folder, self.files, self.open_files = folder, files, open_files
        self.items: dict[str, Item] = {}
        self.cut = False

    def list(self, name: str) -> list[Item]:
        """What lies in one folder of the entry, leftovers left out."""
        path = self.folder / name if name else self.folder
        try:
            names = [found for found in self.files.names(path) if not is_junk(found)]
        except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
            known = self.items.get(name)
            if isinstance(error, PermissionError):
                self.items[name] = self._troubled(known or item_of(name, self.files.lstat(path)))
            return []
        if len(names) > _MOST_ITEMS:
            self.cut = True
            # What the layout knows comes first, so that a crowd of other files can't hide it.
            names = sorted(names, key=lambda found: not name_key(found).endswith((".png", ".toml", *IMAGE_DIRS)))
            names = sorted(names[:_MOST_ITEMS])
        found = []
        for each in names:
            item = self.look(f"{name}/{each}" if name else each)
            if item is not None:
                self.items[item.name] = item
                found.append(item)
        return found

    def look(self, name: str) -> Item | None:
        """One thing, None where it is gone."""
        path = self.folder / name
        try:
            status = self.files.lstat(path)
            if self.open_files and stat.S_ISREG(status.st_mode):
                # A client of a network file system may show old sizes and times until the file is opened.
                with self.files.reading(path) as file:
                    status = self.files.fstat(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            try:
                return self._troubled(item_of(name, self.files.lstat(path)))
            except OSError:
                return Item(name, "other", trouble="permission denied")
        return item_of(name, status)

    def _troubled(self, item: Item) -> Item:
        return replace(item, trouble=why_unreadable(item, self.files))


def why_unreadable(item: Item, files: Files) -> str:
    """Whose something is and what its mode is: what one needs to know to make it readable."""
    return f"permission denied (owner {shown(files.owner_name(item.uid))}, mode {stat.S_IMODE(item.mode):04o})"


def item_of(name: str, status: os.stat_result) -> Item:
    """What lstat says, as an item."""
    mode = status.st_mode
    kind: ItemKind = "other"
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "link"
    return Item(
        name, kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode, status.st_uid,
        status.st_nlink,
    )  # fmt: skip


def take_snapshot(inbox: Path, entry: str, files: Files, *, open_files: bool = False) -> Snapshot:
    """Look at one entry: itself, one or two wrapping folders, the bundle's folder and its two image folders.

    open_files: open each file and ask it for its size and times, as network mounts need it. Raises OSError where the
    inbox itself can't be read; what can't be read in the entry is an item with its trouble.
    """
    path = inbox / entry
    try:
        status = files.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Snapshot(entry, "gone")
    top = item_of("", status)
    if top.kind == "file" and name_key(entry).endswith(".zip"):
        if open_files:
            looker = _Looker(inbox, files, open_files=True)
            top = replace(looker.look(entry) or top, name="")
        return Snapshot(entry, "zip", top, fingerprint=fingerprint_of((top,)), opened=open_files)
    if top.kind != "folder":
        return Snapshot(entry, top.kind, top, fingerprint=fingerprint_of((top,)))
    looker = _Looker(path, files, open_files)
    root = _find_root(looker)
    items = tuple(sorted(looker.items.values(), key=lambda item: item.name))
    return Snapshot(
        entry, "folder", top, root, items, _markers(items, root), looker.cut, fingerprint_of(items, root=root),
        opened=open_files,
    )  # fmt: skip


def _find_root(looker: _Looker) -> str:
    """List the way down to the bundle's folder, that folder and its image folders; return its path in the entry."""
    root, level = "", 0
    while True:
        found = looker.list(root)
        images = [item for item in found if name_key(item.last) in IMAGE_DIRS]
        folders = [item for item in found if item.kind == "folder"]
        if images:
            for item in images:
                if item.kind == "folder":
                    looker.list(item.name)
            return root
        if level == WRAPPERS or len(folders) != 1:
            break
        root, level = folders[0].name, level + 1
    # No bundle: perhaps a folder of bundles. One look below is enough to say so.
    for item in folders[:_MOST_BUNDLES]:
        looker.list(item.name)
    return root


def _markers(items: Iterable[Item], root: str) -> tuple[Marker, ...]:
    return tuple(
        Marker(kind, item.name, False, identity_of(item), item.uid)
        for item in items
        if item.kind == "file" and item.parent in ("", root) and (kind := marker_kind(item.last))
    )


def identity_of(item: Item) -> str:
    """What one marker is told from a later one of the same name by."""
    return f"{item.size}-{item.mtime_ns}-{item.ctime_ns}"


def fingerprint_of(items: Iterable[Item], *, root: str = "") -> str:
    """A digest of the names, sizes and times of what counts."""
    digest = hashlib.sha256()
    for item in items:
        if item.kind == "folder":
            continue
        if item.parent in ("", root) and item.name and (is_own_file(item.last) or marker_kind(item.last)):
            continue
        digest.update(os.fsencode(item.name))
        digest.update(f"\0{item.kind} {item.size} {item.mtime_ns} {item.ctime_ns}\n".encode())
    return digest.hexdigest()[:32]
