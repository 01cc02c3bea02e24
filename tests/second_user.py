"""A second user: folders of another's, and code that runs as another. Only root can do that."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from daemon.store import DATABASE_NAME
from tests.intake.scene import empty_database

version("meshdrop")  # the other user may not be allowed to read what Python needs for it
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a second user needs root")

DAEMON, ANNA, GROUP = 65533, 65534, 65532


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that other users can reach, with an inbox, an outbox and a state folder that all may write."""
    folder = Path(tempfile.mkdtemp(prefix="meshdrop-test-"))
    folder.chmod(0o777)
    for name in ("inbox", "outbox", "state"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    # Made here, for the same reason.
    database = folder / "state" / DATABASE_NAME
    database.write_bytes(empty_database())
    os.chown(database, DAEMON, DAEMON)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def as_user(uid: int, do: Callable[[], None], *, group: int | None = None, umask: int = 0o022) -> None:
    """Run in a child that is another user; what goes wrong there goes wrong here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.setgroups([] if group is None else [group])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.umask(umask)
            do()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said


def give(path: Path, uid: int) -> None:
    """Make somebody the owner of a folder and all that is in it."""
    for each in (path, *path.rglob("*")):
        os.chown(each, uid, uid)
