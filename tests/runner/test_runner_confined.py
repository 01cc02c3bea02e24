"""What a worker can't do any more once it has given it up, and what it still can."""

from __future__ import annotations

import platform
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.worker import confine
from tests.daemon_stand_in import ROOT
from tests.runner.runner_house import House

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has the filter")
BEGIN = """
import threading, time
go, said = threading.Event(), []
def ask(what):
    try:
        said.append(what() or "yes")
    except OSError as error:
        said.append(errno.errorcode[error.errno])
def late():  # a thread that was there before: of a library, say
    go.wait()
    ask(lambda: socket.socket(socket.AF_INET).close())
import ctypes, errno, os, socket, subprocess, sys
thread = threading.Thread(target=late)
thread.start()
from daemon.logs import configure_logs
from daemon.worker.server import _limit
configure_logs("json")
_limit(0)
go.set()
thread.join()
"""


def run(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script + "\nprint(*said, sep='\\n')"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_there_is_no_network_for_any_thread_or_program() -> None:
    said = run(
        "ask(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())\n"
        "ask(lambda: socket.socket(socket.AF_INET6).close())\n"
        "ask(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())\n"
        "other = 'import socket; socket.socket(socket.AF_INET)'\n"
        "ask(lambda: b'EAFNOSUPPORT' if b'not supported' in subprocess.run([sys.executable, '-c', other],"
        " stderr=subprocess.PIPE).stderr else 'no')\n"
        "ask(lambda: socket.socket(socket.AF_UNIX).close())\n"
        "ask(lambda: [each.close() for each in socket.socketpair()] and None)\n"
    )
    assert said == ["EAFNOSUPPORT"] * 4 + ["b'EAFNOSUPPORT'", "yes", "yes"]


def test_nobody_else_s_memory_no_mounts_and_no_other_way_to_sockets() -> None:
    said = run(
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(*given):\n"
        "    if libc.syscall(*given) == -1: raise OSError(ctypes.get_errno(), '')\n"
        f"ask(lambda: call({_number('ptrace')}, 16, os.getppid(), 0, 0))\n"
        f"ask(lambda: call({_number('unshare')}, 0x10000000))\n"
        f"ask(lambda: call({_number('mount')}, b'none', b'/mnt', b'tmpfs', 0, 0))\n"
        "ask(lambda: call(425, 8, 0))\n"
    )
    assert said == ["EAFNOSUPPORT", "EPERM", "EPERM", "EPERM", "ENOSYS"]


def _number(call: str) -> int:
    return confine._REFUSED[call][list(confine._ARCHITECTURES).index(platform.machine())]


def test_files_have_a_largest_size_and_none_is_dumped() -> None:
    said = run(
        "import resource\n"
        "said.append(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "said.append(resource.getrlimit(resource.RLIMIT_FSIZE))\n"
        "import tempfile\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    ask(lambda: os.ftruncate(file.fileno(), 1 << 36))\n"
    )
    assert " ".join(said[1:]) == f"(0, 0) ({16 << 30}, {16 << 30}) EFBIG"


@pytest.mark.slow
def test_kernels_are_compiled_and_tensors_multiplied_all_the_same() -> None:
    """numba writes pages and runs them, in threads; torch has threads of its own, and a program to ask for CUDA."""
    said = run(
        "import numba, numpy\n"
        "@numba.njit(parallel=True, cache=False)\n"
        "def total(values):\n"
        "    found = 0.0\n"
        "    for at in numba.prange(len(values)):\n"
        "        found += values[at]\n"
        "    return found\n"
        "said.append(total(numpy.ones(100_000)))\n"
        "import torch\n"
        "said.append(float((torch.ones(300, 300) @ torch.ones(300, 300)).mean()))\n"
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'\n"
        "said.append(float(torch.ones(9, device=device).sum()))\n"
    )
    assert said[1:] == ["100000.0", "300.0", "9.0"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_the_worker_of_a_daemon_is_confined(house: House) -> None:
    job = house.admit(seconds=30)
    house.until(lambda: house.job(job).stage == "texture")
    status = Path(f"/proc/{house.runner.worker_pid()}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.M)
    assert re.search(r"^Seccomp:\s*2$", status, re.M)
    limits = Path(f"/proc/{house.runner.worker_pid()}/limits").read_text()
    assert re.search(r"^Max core file size\s+0\s+0", limits, re.M)
    assert re.search(rf"^Max file size\s+{16 << 30}", limits, re.M)


@pytest.mark.parametrize("machine", list(confine._ARCHITECTURES))
def test_every_jump_of_the_filter_stays_in_it(machine: str) -> None:
    code = confine.program(machine)
    count = len(code) // 8
    assert len(code) % 8 == 0
    for at in range(count):
        opcode, true, false, _ = struct.unpack_from("<HBBI", code, 8 * at)
        assert at + 1 + max(true, false) < count or opcode == confine._RETURN
    assert struct.unpack_from("<H", code, 8 * (count - 1)) == (confine._RETURN,)


def test_elsewhere_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine.platform, "machine", lambda: "riscv64")
    assert not confine.give_up_calls()
