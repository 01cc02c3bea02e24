"""The service as it runs: under a systemd that is process 1 of a namespace, over a copy-on-write view of this machine.

Nothing of the machine itself is changed: files go to a layer of their own, /proc/sys is read-only, and the processes
have a control group that is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from daemon.mounts import MOUNTINFO
from tests.install.conftest import ROOT

PYTHON = Path("/usr/bin/python3")  # the service sees no homes, where the one that runs the tests may lie
SYSTEMD = Path("/lib/systemd/systemd")
MASKED = (
    "systemd-sysctl", "systemd-udevd", "systemd-udev-trigger", "systemd-modules-load", "systemd-timesyncd",
    "systemd-networkd", "systemd-resolved", "systemd-logind", "systemd-remount-fs",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not SYSTEMD.exists() or not PYTHON.exists(), reason="needs systemd and the system's Python"),
]

BOOT = r"""
set -eu
cd "$1"; shift
mount --make-rprivate /
mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $folder; done
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/pts dev/shm && mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts && mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >etc/systemd/system/trial.target
for unit in "$@"; do ln -sf /dev/null "etc/systemd/system/$unit.service"; done
mkdir old && pivot_root . old && cd / && umount -l /old
exec env -i container=trial PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=trial.target
"""

PROGRAM = r"""
set -eu
cd "$1"
sh systemd/install.sh files
/usr/bin/python3 -m venv --without-pip /opt/meshdrop/venv
packages=$(echo /opt/meshdrop/venv/lib/python3.*/site-packages)
cp -r config daemon engine "$packages"
echo "$2" >"$packages/others.pth"
printf '#!/opt/meshdrop/venv/bin/python\nfrom daemon.cli import main\nmain()\n' \
  >/opt/meshdrop/venv/bin/meshdrop
chmod 755 /opt/meshdrop/venv/bin/meshdrop
mkdir -p /opt/meshdrop/bin /etc/systemd/system/meshdrop.service.d
ln -s ../venv/bin/meshdrop /opt/meshdrop/bin/meshdrop
printf '[Service]\nRestartSec=1\nWatchdogSec=5\n' >/etc/systemd/system/meshdrop.service.d/quick.conf
systemd-sysusers meshdrop.conf
systemd-tmpfiles --create meshdrop.conf
systemctl daemon-reload
"""


class Machine:
    """A booted namespace."""

    def __init__(self, first: int) -> None:
        self.first = first

    def run(self, script: str, *arguments: str, status: int | None = 0, timeout_s: float = 120) -> str:
        command = ["nsenter", "-t", str(self.first), "-a", "sh", "-s", *arguments]
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=timeout_s, check=False, cwd="/"
        )
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def as_daemon(self, command: str, **more: float) -> str:
        """What a command of ours says to the service's user."""
        user = "setpriv --reuid meshdrop --regid meshdrop --init-groups"
        return self.run(f"cd / && {user} /opt/meshdrop/bin/meshdrop {command}", **more)  # type: ignore[arg-type]

    def shown(self, key: str) -> str:
        return self.run(f"systemctl show meshdrop -p {key} --value").strip()

    def until(self, holds: Callable[[], bool], within_s: float) -> None:
        end_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end_s, self.run(
                "systemctl status meshdrop; journalctl -u meshdrop | tail -20", status=None
            )
            time.sleep(0.5)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    if version.stdout.strip() != str(tuple(sys.version_info[:2])):
        pytest.skip("the system's Python has another version than the packages are for")
    groups = re.search(r" (\S+) \S+ - cgroup2 ", re.sub(r"^\S+ \S+ \S+ \S+", "", MOUNTINFO.read_text(), flags=re.M))
    folder = tmp_path_factory.mktemp("machine")
    group = Path(groups[1] if groups else "/nowhere") / f"meshdrop-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    command = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net", "--fork", "sh", "-c", BOOT, "boot"]
    enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    said = (folder / "said").open("w+b")
    process = subprocess.Popen(
        ["sh", "-c", enter, "enter", *command, str(folder), *MASKED], stdout=subprocess.DEVNULL, stderr=said
    )
    try:
        yield _booted(process, folder / "said")
    finally:
        for child in psutil.Process(process.pid).children():
            child.send_signal(signal.SIGKILL)  # process 1: all others of its namespace die with it
        process.kill()
        process.wait(20)
        said.close()
        _remove(group)
        shutil.rmtree(folder, ignore_errors=True)


def _remove(group: Path) -> None:
    """A control group with all below it, once the last process is gone."""
    end_s = time.monotonic() + 20
    while group.exists() and time.monotonic() < end_s:
        for below in sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                below.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
        time.sleep(0.2)


def _booted(process: subprocess.Popen[bytes], said: Path) -> Machine:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        if process.poll() is not None:
            pytest.skip(f"nothing can be booted here: {said.read_text()}")
        for child in psutil.Process(process.pid).children():
            made = Machine(child.pid)
            if child.name() == "systemd" and "running" in made.run("systemctl is-system-running", status=None):
                made.run(PROGRAM, str(ROOT), next(path for path in sys.path if path.endswith("site-packages")))
                return made
        time.sleep(0.5)
    raise AssertionError("systemd did not come up")


@pytest.fixture
def started(machine: Machine) -> Machine:
    machine.run("systemctl reset-failed meshdrop; systemctl start meshdrop", status=None)
    machine.until(lambda: machine.shown("StatusText") == "Ready", 5)
    return machine


def test_it_is_ready_and_shut_in(started: Machine) -> None:
    assert started.shown("StatusText") == "Ready"
    facts = started.run(f"cat /proc/{started.shown('MainPID')}/status")
    assert re.search(r"^CapEff:\t0+$", facts, re.M)
    assert re.search(r"^Seccomp:\t2$", facts, re.M)
    assert "Is sound" in started.as_daemon("doctor --quick")  # exit status 0: nothing is even a warning


def test_a_settings_file_is_read_anew(started: Machine) -> None:
    pid = started.shown("MainPID")
    started.run("systemctl reload meshdrop")
    started.until(lambda: "service.reloaded" in started.run("journalctl -u meshdrop -o cat"), 10)
    assert started.shown("MainPID") == pid


@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_it_is_started_again_when_it_dies_or_hangs(started: Machine, number: str) -> None:
    pid = started.shown("MainPID")
    started.run(f"kill -{number} {pid}")
    started.until(lambda: started.shown("MainPID") not in ("0", pid) and started.shown("StatusText") == "Ready", 60)


def test_it_stops_within_seconds_and_leaves_nothing(started: Machine) -> None:
    begin_s = time.monotonic()
    started.run("systemctl stop meshdrop")
    assert time.monotonic() - begin_s < 10
    assert started.shown("Result") == "success"
    assert started.run("pgrep -u meshdrop", status=None) == ""


def test_wrong_settings_are_not_tried_again(machine: Machine) -> None:
    machine.run(
        "systemctl stop meshdrop; cp /etc/meshdrop/meshdrop.toml /root/kept; "
        "sed -i '1i nonsense = 1' /etc/meshdrop/meshdrop.toml"
    )
    try:
        machine.run("systemctl start meshdrop", status=None)
        time.sleep(3)
        assert machine.shown("ExecMainStatus") == "3"
        assert (machine.shown("ActiveState"), machine.shown("NRestarts")) == ("failed", "0")
        assert "unknown key nonsense" in machine.run("journalctl -u meshdrop -o cat")
    finally:
        machine.run("cp /root/kept /etc/meshdrop/meshdrop.toml")


def test_it_runs_with_every_drop_in(machine: Machine) -> None:
    machine.run(
        "cp /opt/meshdrop/share/meshdrop/examples/*.conf /etc/systemd/system/meshdrop.service.d/ && groupadd -f studio"
        " && mkdir -p /mnt/studio/props /mnt/studio/characters"
        " && (umask 077; echo secret >/etc/meshdrop/webhook.secret)"
        " && systemctl daemon-reload && systemctl restart meshdrop"
    )
    assert machine.shown("StatusText") == "Ready"


def test_a_job_is_done_inside(started: Machine) -> None:
    """Everything that the engine needs is left open: its kernels are compiled first, which takes minutes."""
    started.run("mkdir -p /var/tmp/made && chown meshdrop /var/tmp/made")
    started.run(
        "NUMBA_CACHE_DIR=/var/tmp/numba /opt/meshdrop/bin/meshdrop sample /var/tmp/made --size 512", timeout_s=300
    )
    started.run("echo 'quality = \"draft\"' >/var/tmp/made/bundle/job.toml")
    started.as_daemon("submit --name teapot --wait /var/tmp/made/bundle", timeout_s=600)
    assert "teapot" in started.run("ls /srv/meshdrop/outbox")
    assert started.run("stat -c '%a %U' /srv/meshdrop/outbox/teapot/mesh.glb").split() == ["664", "meshdrop"]
