"""Files as they really arrive: by Samba, rsync, cp, unzip, slow and preallocating writers; mounts without events."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from config.bundle_layout import IMAGE_DIRS, VIEW_NAMES
from daemon.states import State
from tests.daemon_stand_in import ROOT, make_bundle, make_zip
from tests.proof.amounts import amount, tell
from tests.service.conftest import make_daemon  # noqa: F401 - a fixture
from tests.service.daemon_process import Daemon, until

pytestmark = pytest.mark.peers
NAMES = [f"{folder}/{view}.png" for folder in IMAGE_DIRS for view in VIEW_NAMES]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:  # noqa: F811
    return make_daemon(intake__quiet_s=1.0)


def nothing_refused(daemon: Daemon) -> bool:
    return all(job.state is not State.FAILURE for job in daemon.jobs())


@needs("rsync")
@pytest.mark.parametrize("options", [["-a"], ["-a", "--inplace"], ["-a", "--bwlimit=200"]], ids=" ".join)
def test_rsync(daemon: Daemon, options: list[str]) -> None:
    bundle = make_bundle(daemon.folder / "made" / "shoe")
    daemon.start()
    subprocess.run(["rsync", *options, str(bundle), str(daemon.inbox)], check=True, timeout=60)
    assert daemon.job("shoe").state is State.SUCCESS
    assert len(daemon.jobs()) == 1


def test_cp_r(daemon: Daemon) -> None:
    bundle = make_bundle(daemon.folder / "made" / "shoe")
    daemon.start()
    subprocess.run(["cp", "-r", str(bundle), str(daemon.inbox)], check=True, timeout=60)
    assert daemon.job("shoe").state is State.SUCCESS


@needs("unzip")
def test_unzip_in_the_inbox(daemon: Daemon) -> None:
    archive = make_zip(daemon.folder / "shoe.zip")
    daemon.start()
    subprocess.run(["unzip", "-q", str(archive), "-d", str(daemon.inbox / "shoe")], check=True, timeout=60)
    assert daemon.job("shoe").state is State.SUCCESS


@needs("zip")
def test_a_zip_that_zip_made_of_the_folder(daemon: Daemon) -> None:
    make_bundle(daemon.folder / "made" / "shoe")
    daemon.start()
    subprocess.run(
        ["zip", "-q", "-r", str(daemon.inbox / "shoe.zip"), "shoe"], cwd=daemon.folder / "made", check=True, timeout=60
    )
    assert daemon.job("shoe.zip").state is State.SUCCESS


def test_a_slow_writer_with_pauses_longer_than_the_quiet_time(daemon: Daemon) -> None:
    bundle = make_bundle(daemon.folder / "made" / "shoe")
    daemon.start()
    for folder in IMAGE_DIRS:
        (daemon.inbox / "shoe" / folder).mkdir(parents=True)
    done = False
    for number, name in enumerate(NAMES):
        data = (bundle / name).read_bytes()
        with (daemon.inbox / "shoe" / name).open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            if number in (3, 11):
                time.sleep(2.2)
                assert not done
                assert daemon.jobs() == []
            file.write(data[len(data) // 2 :])
    assert daemon.job("shoe").state is State.SUCCESS


def test_a_preallocating_writer_that_pauses(daemon: Daemon) -> None:
    bundle = make_bundle(daemon.folder / "made" / "shoe")
    daemon.start()
    for folder in IMAGE_DIRS:
        (daemon.inbox / "shoe" / folder).mkdir(parents=True)
    for name in NAMES:
        with (daemon.inbox / "shoe" / name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (bundle / name).stat().st_size)
    time.sleep(3.0)
    assert daemon.jobs() == []
    for name in NAMES:
        data = (bundle / name).read_bytes()
        with (daemon.inbox / "shoe" / name).open("r+b") as file:
            file.write(data[:-20])
            file.flush()
            if name == NAMES[-1]:
                time.sleep(2.2)
                assert daemon.jobs() == []
            file.write(data[-20:])
    assert daemon.job("shoe").state is State.SUCCESS
    assert len(daemon.jobs()) == 1


@root_only
@needs("bindfs")
@pytest.mark.parametrize("options", [[], ["--chmod-deny", "--chown-deny"]], ids=["plain", "chmod-deny"])
def test_a_fuse_mount_without_events_is_polled(make_daemon: Callable[..., Daemon], options: list[str]) -> None:  # noqa: F811
    daemon = make_daemon(watch__poll_s=0.5, intake__quiet_s=1.0)
    behind = daemon.folder / "behind"
    behind.mkdir()
    subprocess.run(["bindfs", *options, str(behind), str(daemon.inbox)], check=True, timeout=20)
    try:
        daemon.start()
        make_bundle(behind / "shoe")  # events of the folder behind are not seen through the mount
        assert daemon.job("shoe").state is State.SUCCESS
        made = make_bundle(daemon.folder / "made", seed=1, seconds=1.0)
        begin_s = time.monotonic()
        made.rename(behind / "boot") if made.stat().st_dev == behind.stat().st_dev else None
        daemon.job("boot", State.PROGRESS, State.PUBLISHING, State.SUCCESS)
        assert time.monotonic() - begin_s <= 2 * 0.5 + 1.5
        with daemon.store() as store:
            report = store.daemon_report()
        assert report is not None
        assert report.watches["inbox"]["mode"] == "polling"
        daemon.stop()
    finally:
        daemon.close()
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=True, timeout=20)


@root_only
@needs("bindfs")
def test_a_share_that_goes_away_and_comes_back(make_daemon: Callable[..., Daemon]) -> None:  # noqa: F811
    daemon = make_daemon(watch__poll_s=0.5, intake__quiet_s=0.5, run__hold_retry_s=1.0)
    behind = daemon.folder / "behind"
    behind.mkdir()
    mount = ["bindfs", str(behind), str(daemon.inbox)]
    subprocess.run(mount, check=True, timeout=20)
    try:
        daemon.start()
        make_bundle(behind / "shoe", seconds=2.0)
        daemon.job("shoe", State.PROGRESS)
        make_bundle(behind / "boot", seed=1, seconds=0.5)
        daemon.job("boot", State.PENDING, State.PROGRESS)
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=True, timeout=20)
        time.sleep(4.0)
        assert all(job.state is not State.CANCELLED for job in daemon.jobs())
        assert not any(path.name != ".meshdrop" for path in daemon.inbox.iterdir())
        subprocess.run(mount, check=True, timeout=20)
        assert daemon.job("shoe").state is State.SUCCESS
        assert daemon.job("boot").state is State.SUCCESS
        assert len(daemon.jobs()) == 2
        daemon.stop()
    finally:
        daemon.close()
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=True, timeout=20)


@root_only
@needs("bindfs")
def test_a_share_that_is_frozen_at_the_start(make_daemon: Callable[..., Daemon]) -> None:  # noqa: F811
    """Really: the process that serves it is stopped, and every call waits in the kernel until it goes on."""
    daemon = make_daemon(watch__poll_s=0.5, intake__quiet_s=0.5)
    behind = daemon.folder / "behind"
    behind.mkdir()
    server = subprocess.Popen(["bindfs", "-f", str(behind), str(daemon.inbox)])
    try:
        until(lambda: os.path.ismount(daemon.inbox), 20)
        daemon.start()
        daemon.stop()
        server.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # until the kernel no longer trusts what it knows of the folder
        daemon.start()  # it is ready all the same
        server.send_signal(signal.SIGCONT)
        make_bundle(daemon.folder / "made", seed=1).rename(behind / "shoe")
        assert daemon.job("shoe").state is State.SUCCESS
        daemon.stop()
    finally:
        server.send_signal(signal.SIGCONT)
        daemon.close()
        subprocess.run(["umount", "-l", str(daemon.inbox)], check=True, timeout=20)
        server.wait(20)


SMB_CONF = """
[global]
  workgroup = TEST
  server role = standalone server
  interfaces = lo
  bind interfaces only = yes
  smb ports = {port}
  private dir = {folder}/smb
  lock directory = {folder}/smb
  state directory = {folder}/smb
  cache directory = {folder}/smb
  pid directory = {folder}/smb
  ncalrpc dir = {folder}/smb
  log file = {folder}/smb/log
  map to guest = bad user
  guest account = {user}
  load printers = no
  disable spoolss = yes
"""
PLAIN = """
[drop]
  path = {inbox}
  guest ok = yes
  read only = no
  create mask = 0664
  directory mask = 0775
"""


def smb_recipe(inbox: Path) -> str:
    """The share of docs/operations.md, open to a guest."""
    text = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"^```ini\n(\[meshdrop\]\n.*?)^```", text, re.M | re.S)
    assert found
    text = found[1].replace("[meshdrop]", "[drop]")
    changes = {
        r"path = .*": f"path = {inbox}",
        r"valid users = .*": "guest ok = yes",
        r"force group = .*": "force group = root",
    }
    for old, new in changes.items():
        text, count = re.subn(rf"^(\s+){old}$", rf"\1{new}", text, flags=re.M)
        assert count == 1, old
    return text


@pytest.fixture(params=["plain", "preallocating", "recipe"])
def samba(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[int]:
    """A Samba server on loopback that shares the inbox; its port."""
    import pwd
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (daemon.folder / "smb").mkdir()
    conf = daemon.folder / "smb.conf"
    user = pwd.getpwuid(os.geteuid()).pw_name
    share = PLAIN.format(inbox=daemon.inbox) + f"  strict allocate = {request.param == 'preallocating'}\n"
    if request.param == "recipe":
        share = smb_recipe(daemon.inbox)
    conf.write_text(SMB_CONF.format(port=port, folder=daemon.folder, user=user) + share)
    server = subprocess.Popen(
        ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", str(conf)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it ends its whole process group
    )
    try:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers, 20)
        yield port
    finally:
        for child in psutil.Process(server.pid).children(recursive=True):
            child.terminate()
        server.terminate()
        server.wait(10)


def smbclient(port: int, script: str) -> None:
    done = subprocess.run(
        ["smbclient", "-N", "-p", str(port), "//127.0.0.1/drop", "-c", script],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@needs("testparm")
def test_samba_understands_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "smb.conf").write_text(f"[global]\n  server role = standalone server\n{smb_recipe(tmp_path)}")
    done = subprocess.run(
        ["testparm", "--suppress-prompt", str(tmp_path / "smb.conf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nknown parameter" not in done.stderr, done.stderr
    assert "gnoring" not in done.stderr, done.stderr
    for line in ("vfs objects = catia fruit streams_xattr", "oplocks = No", "directory mask = 02775"):
        assert line in done.stdout


@root_only
@needs("smbd", "smbclient")
@pytest.mark.parametrize("samba", ["recipe"], indirect=True)
def test_samba_by_the_recipe_hides_what_is_the_daemons(daemon: Daemon, samba: int) -> None:
    daemon.inbox.chmod(0o2775)
    daemon.start()
    made = daemon.folder / "made" / "a b:c.png"
    made.parent.mkdir()
    made.write_bytes(b"x")
    smbclient(samba, f'lcd "{made.parent}"; mkdir new; cd new; put "a b:c.png" x.png')
    status = (daemon.inbox / "new").stat()
    assert status.st_mode & 0o7777 == daemon.inbox.stat().st_mode & 0o7777
    assert (daemon.inbox / "new" / "x.png").stat().st_mode & 0o7777 == 0o664
    seen = subprocess.run(
        ["smbclient", "-N", "-p", str(samba), "//127.0.0.1/drop", "-c", "ls"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "new" in seen
    assert ".meshdrop" not in seen


@root_only
@needs("smbd", "smbclient")
def test_samba(daemon: Daemon, samba: int) -> None:
    make_bundle(daemon.folder / "made" / "shoe", seed=1, size_px=512)
    make_zip(daemon.folder / "made" / "boot.zip", seed=2)
    daemon.start()
    local = daemon.folder / "made"
    smbclient(
        samba,
        f'recurse on; prompt off; lcd "{local}"; mput shoe; put boot.zip boot.zip.part; rename boot.zip.part boot.zip',
    )
    assert daemon.job("shoe").state is State.SUCCESS
    assert daemon.job("boot.zip").state is State.SUCCESS
    # A folder that is put under another name and then renamed into view.
    make_bundle(daemon.folder / "made" / "hat.partial", seed=3)
    smbclient(samba, f'recurse on; prompt off; lcd "{local}"; mput hat.partial; rename hat.partial hat')
    assert daemon.job("hat").state is State.SUCCESS
    # The sender cancels over the share.
    make_bundle(daemon.folder / "made" / "slow", seed=4, seconds=60.0)
    smbclient(samba, f'recurse on; prompt off; lcd "{local}"; mput slow')
    daemon.job("slow", State.PROGRESS)
    (daemon.folder / "made" / ".cancel").touch()
    smbclient(samba, f'lcd "{local}"; cd slow; put .cancel .cancel')
    assert daemon.job("slow").state is State.CANCELLED
    assert nothing_refused(daemon)


def test_two_hundred_writers_at_their_own_pace(make_daemon: Callable[..., Daemon]) -> None:  # noqa: F811
    """PROOF_WRITERS of them, eight at a time; every second one preallocates; pauses up to four times the quiet time."""
    writers = amount("writers", 8)
    daemon = make_daemon(intake__quiet_s=0.5).start()
    bundles = [make_bundle(daemon.folder / "made" / f"b{number}", seed=number % 40) for number in range(writers)]
    early: list[str] = []

    def taken(name: str) -> bool:
        with daemon.store() as store:
            return store.last_job("inbox", name) is not None

    def write(number: int) -> None:
        chance, bundle = random.Random(number), bundles[number]
        files = {name: (bundle / name).read_bytes() for name in NAMES}
        folder = daemon.inbox / bundle.name
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if number % 2:
                (folder / name).write_bytes(bytes(len(data)))
        for name, data in chance.sample(sorted(files.items()), len(files)):
            with (folder / name).open("r+b" if number % 2 else "wb", buffering=0) as file:
                file.write(data[:100])
                time.sleep(chance.choice((0.0, 0.02, 0.05, 0.1, 2.0)))
                if taken(bundle.name):
                    early.append(f"{bundle.name}/{name}")
                file.write(data[100:])

    with ThreadPoolExecutor(8) as pool:
        for running in [pool.submit(write, number) for number in range(writers)]:
            running.result()
    for bundle in bundles:
        assert daemon.job(bundle.name, patience_s=60).state is State.SUCCESS
    assert not early
    assert len(daemon.jobs()) == len(bundles)
    tell("writers", writers=writers, early=len(early))
