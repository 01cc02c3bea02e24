"""What file system a path lies on, and what may be expected of it. Pure but for reading /proc/self/mountinfo."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

MOUNTINFO: Final = Path("/proc/self/mountinfo")

_DISKS: Final = {"ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "jfs", "reiserfs", "nilfs2", "ufs"}
_FOREIGN: Final = {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "hfs", "hfsplus", "udf"}
_OTHER: Final = {"tmpfs", "ramfs", "rootfs", "overlay", "ecryptfs", "ubifs", "jffs2"}
_WATCHED: Final = frozenset(_DISKS | _FOREIGN | _OTHER)
"""Every write comes from this machine's kernel, so inotify tells all of them."""
_LOCAL: Final = _WATCHED | {"fuseblk"}
"""One machine's, so that SQLite's locks and shared memory hold. fuseblk is a local disk behind FUSE (NTFS-3G)."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    point: str
    type: str
    source: str


def mount_of(path: Path, mountinfo_text: str | None = None) -> Mount:
    """The mount that a path lies on, which need not exist; links on the way are followed.

    mountinfo_text: the content of /proc/self/mountinfo, read now where None. Without one the mount is `unknown`.
    """
    if mountinfo_text is None:
        try:
            mountinfo_text = MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            mountinfo_text = ""
        path = Path(os.path.realpath(path))
    where = os.path.normpath(path)
    best = Mount("/", "unknown", "")
    for line in mountinfo_text.split("\n"):
        mount = _parse(line)
        # The last of two mounts on one point covers the first, hence >=.
        if mount is not None and _is_below(where, mount.point) and len(mount.point) >= len(best.point):
            best = mount
    return best


def watch_mode(file_system: str) -> Literal["inotify", "polling"]:
    """How a folder on this type of file system is watched: polled unless it is known that inotify tells everything."""
    return "inotify" if file_system in _WATCHED else "polling"


def is_local(file_system: str) -> bool:
    """Whether this type is known to be used by one machine alone, so that a database may lie on it."""
    return file_system in _LOCAL


def _parse(line: str) -> Mount | None:
    """A line: id, parent, device, root, point, options, any number of fields, a dash, type, source, options."""
    fields = line.split(" ")
    try:
        dash = fields.index("-", 6)
        return Mount(_unescape(fields[4]), fields[dash + 1], _unescape(fields[dash + 2]))
    except (ValueError, IndexError):
        return None


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
