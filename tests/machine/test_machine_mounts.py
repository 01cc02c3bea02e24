"""The file system under a path, from /proc/self/mountinfo."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mounts import Mount, is_local, mount_of, watch_mode

TEXT = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /srv rw shared:5 master:2 propagate_from:1 - nfs4 nas:/srv rw,vers=4.2
31 30 0:41 /deep /srv/props\040and\040cars rw - cifs //nas/props\040x rw
32 22 0:42 / /srv2 rw - tmpfs tmpfs rw
33 22 0:43 / /twice rw - ext4 /dev/sdb1 rw
34 33 0:44 / /twice rw - fuse.sshfs host:/x rw
35 22 0:45 / /back\134slash\012line rw - xfs /dev/sdc rw
nonsense
36 22 0:46 / /short rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", Mount("/", "ext4", "/dev/sda1")),
        ("/home/x", Mount("/", "ext4", "/dev/sda1")),
        ("/srv", Mount("/srv", "nfs4", "nas:/srv")),
        ("/srv/a/b", Mount("/srv", "nfs4", "nas:/srv")),
        ("/srv/props and cars/inbox", Mount("/srv/props and cars", "cifs", "//nas/props x")),
        ("/srv/props", Mount("/srv", "nfs4", "nas:/srv")),
        ("/srv/../srv2/x", Mount("/srv2", "tmpfs", "tmpfs")),
        ("/srv22", Mount("/", "ext4", "/dev/sda1")),
        ("/twice/x", Mount("/twice", "fuse.sshfs", "host:/x")),
        ("/back\\slash\nline/x", Mount("/back\\slash\nline", "xfs", "/dev/sdc")),
        ("/short/x", Mount("/", "ext4", "/dev/sda1")),
    ],
)
def test_the_longest_mount_point_is_the_one(path: str, expected: Mount) -> None:
    assert mount_of(Path(path), TEXT) == expected


@pytest.mark.parametrize(
    ("types", "mode", "local"),
    [
        ("ext2 ext3 ext4 xfs btrfs zfs f2fs tmpfs overlay bcachefs", "inotify", True),
        ("nfs nfs4 cifs smb3 smbfs fuse.sshfs fuse.bindfs fuse 9p virtiofs vboxsf ceph afs", "polling", False),
        ("fuseblk", "polling", True),
        ("unknown never-heard-of gpfs lustre ocfs2", "polling", False),
    ],
)  # fmt: skip
def test_what_is_known_to_be_local_is_watched_and_everything_else_is_polled(types: str, mode: str, local: bool) -> None:
    for file_system in types.split():
        assert (watch_mode(file_system), is_local(file_system)) == (mode, local), file_system


def test_this_machines_own_mounts_are_read(tmp_path: Path) -> None:
    real = mount_of(tmp_path)
    assert real.type != "unknown"
    assert mount_of(tmp_path / "not" / "there") == real
    (tmp_path / "link").symlink_to("/proc")
    assert mount_of(tmp_path / "link").type == "proc"


@given(st.text(max_size=200))
def test_any_text_is_survived(text: str) -> None:
    assert mount_of(Path("/srv"), text).point is not None


@pytest.mark.skipif(shutil.which("bindfs") is None, reason="needs bindfs")
def test_a_fuse_mount_is_polled(tmp_path: Path) -> None:
    below, above = tmp_path / "below", tmp_path / "a b"
    below.mkdir()
    above.mkdir()
    if subprocess.run(["bindfs", below, above], check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        mount = mount_of(above / "inbox")
        assert (mount.point, watch_mode(mount.type), is_local(mount.type)) == (str(above), "polling", False)
    finally:
        subprocess.run(["fusermount", "-u", above], check=True)
