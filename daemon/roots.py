"""Inbox and outbox as roots: known by a marker file and by their mount, so that an empty mount point is no empty inbox.

A root that was seen once is remembered in `state_dir/roots.json`. When its marker is missing later, or another file
system lies under its path, the share is gone: nothing in it was deleted, and nothing is written below it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from config.errors import DiskFull, InfrastructureError, ShareUnavailable, ValidationFailed
from config.sections import Settings
from daemon.aside import Aside
from daemon.clock import Clock
from daemon.files import Files
from daemon.mounts import mount_of

PRIVATE: Final = ".meshdrop"
MARKER: Final = "root.json"
KNOWN: Final = "roots.json"
_ANSWER_WITHIN_S: Final = 3.0


@dataclass(frozen=True)
class Root:
    """A folder that people share with the daemon. mount_type, mount_source: of the file system it was first seen on."""

    path: Path
    kind: str
    id: str
    mount_type: str
    mount_source: str

    @property
    def private(self) -> Path:
        """The daemon's own folder in it."""
        return self.path / PRIVATE


def open_root(path: Path, kind: str, state_dir: Path, files: Files, clock: Clock) -> Root:
    """Make a folder a root, or recognise it as the one that it was.

    Raises ShareUnavailable where a known root is not there, or the folder can't be made or written; that or DiskFull
    where what is known of roots can't be read or written in the state folder.
    """
    known = _read_known(state_dir, files).get(str(path))
    if known is not None:
        root = Root(path, kind, known["id"], known["mount_type"], known["mount_source"])
        check_root(root, files)
        return root
    try:
        if not files.exists(path):
            files.mkdir(path)
        if not files.exists(path / PRIVATE):
            files.mkdir(path / PRIVATE)
        marker = _read_marker(path, files)
        if marker is None:
            marker = {"id": secrets.token_hex(8), "kind": kind, "created": clock.now().isoformat(timespec="seconds")}
            files.replace(path / PRIVATE / MARKER, (json.dumps(marker) + "\n").encode(), 0o644)
    except OSError as error:
        raise ShareUnavailable(
            f"The {kind} {path} can't be used: {error.strerror}.",
            suggestion=f"Make the folder, and let the user of the daemon write into it (setting {kind}).",
            path=str(path),
        ) from error
    mount = mount_of(path)
    root = Root(path, kind, str(marker["id"]), mount.type, mount.source)
    _remember(root, state_dir, files)
    return root


def is_known(path: Path, state_dir: Path, files: Files) -> bool:
    """Whether a folder was a root before. Raises ShareUnavailable or DiskFull where the state folder can't tell."""
    return str(path) in _read_known(state_dir, files)


def check_root(root: Root, files: Files) -> None:
    """Raise ShareUnavailable unless the root is there and has the marker that it had.

    The marker decides; the mount explains: a local disk may get another device name at the next start.
    """
    try:
        marker = _read_marker(root.path, files)
    except OSError as error:
        raise ShareUnavailable(
            f"The {root.kind} {root.path} can't be read: {error.strerror}.", path=str(root.path)
        ) from error
    if marker is None or marker.get("id") != root.id:
        mount = mount_of(root.path)
        moved = (mount.type, mount.source) != (root.mount_type, root.mount_source)
        where = f"it lies on {mount.type} {mount.source}, and was on {root.mount_type} {root.mount_source}"
        also = f"; {where}" if moved else ""
        missing = f"its marker {PRIVATE}/{MARKER} is " + ("missing" if marker is None else "another one")
        raise ShareUnavailable(
            f"The {root.kind} {root.path} is not mounted: {where}."
            if moved and marker is None
            else f"The {root.kind} {root.path} is not the folder that it was: {missing}{also}.",
            suggestion="Mount the share again. "
            f"Where the folder was moved or replaced on purpose, remove {KNOWN} from state_dir.",
            path=str(root.path),
        )


def check_folders(settings: Settings) -> None:
    """Raise ValidationFailed where folders are the same or lie in one another: one would read the other's files.

    Of a share that hangs the path alone is looked at, with the links on its way left as they are.
    """
    named = [("state_dir", settings.state_dir)]
    for inbox in settings.all_inboxes:
        which = f" of {inbox.name}" if settings.inboxes else ""
        named += [(f"inbox{which}", inbox.path), (f"outbox{which}", inbox.outbox)]
    asked = [(name, path, Aside(Path(path).resolve, Path(os.path.normpath(path)))) for name, path in named]
    until_s = time.monotonic() + _ANSWER_WITHIN_S
    for _, _, aside in asked:
        aside.answered(max(0.0, until_s - time.monotonic()))
    real = [(name, path, aside.answer) for name, path, aside in asked]
    for number, (name, path, here) in enumerate(real):
        for other_name, other_path, there in real[:number]:
            if name.startswith("outbox") and other_name.startswith("outbox") and here == there:
                continue  # several inboxes may share an outbox
            if here == there:
                problem = f"{other_name} and {name} are the same folder, {path}."
            elif here in there.parents or there in here.parents:
                problem = f"{other_name} ({other_path}) and {name} ({path}) lie in one another."
            else:
                continue
            raise ValidationFailed(problem, suggestion="Give each a folder of its own, side by side.")


def _read_marker(path: Path, files: Files) -> dict[str, Any] | None:
    try:
        with files.reading(path / PRIVATE / MARKER) as file:
            data = json.loads(file.read(4096))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _read_known(state_dir: Path, files: Files) -> dict[str, dict[str, str]]:
    try:
        with files.reading(state_dir / KNOWN) as file:
            data = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return {}
    except OSError as error:
        raise _state_trouble(state_dir, "read", error) from error
    return data if isinstance(data, dict) else {}


def _state_trouble(state_dir: Path, verb: str, error: OSError) -> InfrastructureError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"{state_dir / KNOWN} can't be {verb}: {error.strerror}.",
            suggestion="Free some space in the state folder.",
            path=str(state_dir / KNOWN),
        )
    return ShareUnavailable(
        f"{state_dir / KNOWN} can't be {verb}: {error.strerror}.",
        suggestion="Let the daemon's user read and write the state folder, and see whether its disk is healthy.",
        path=str(state_dir / KNOWN),
    )


def _remember(root: Root, state_dir: Path, files: Files) -> None:
    known = _read_known(state_dir, files)
    facts = asdict(root)
    del facts["path"]
    known[str(root.path)] = facts
    try:
        files.replace(state_dir / KNOWN, (json.dumps(known, indent=2) + "\n").encode(), 0o644)
    except OSError as error:
        raise _state_trouble(state_dir, "written", error) from error
