"""A first job's kernels are compiled by a second process too, which is gone when the job is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.sections import Engine
from engine import machine, warmup

ORPHAN = """
import os, sys
from config.sections import Engine
from engine import machine, warmup
machine.use(Engine(threads=2))
print(warmup.start().pid, flush=True)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def _two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))  # for children
    before = machine._use
    machine.use(Engine(threads=2))
    yield
    machine.use(before)


def _nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "missing", list)


def test_every_kernel_of_the_list_is_there_and_its_types_read_back() -> None:
    kernels = warmup.recorded()
    assert len({(kernel.module, kernel.name) for kernel in kernels}) == len(kernels) > 40
    for kernel in kernels:
        assert callable(kernel.function().compile)
        assert tuple(map(repr, kernel.signature())) == kernel.types


def test_a_list_can_name_nothing_but_types() -> None:
    with pytest.raises(NameError):
        warmup.Kernel("engine.jit", "jit", ("__import__('os')",)).signature()


def test_a_kernel_that_was_compiled_is_known_from_the_cache(tmp_path: Path) -> None:
    code = """
from engine import warmup
kernel = next(kernel for kernel in warmup.recorded() if kernel.name == "_edge_distance")
print(kernel.is_cached())
kernel.function().compile(kernel.signature())
print(kernel.is_cached())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_child_ends_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_is_cached(monkeypatch)
    with warmup.compile_ahead():
        (child,) = warmup._children
        assert warmup.start() is None  # one is enough
        assert child.poll() is None
    assert child.returncode == -signal.SIGKILL


def test_the_child_ends_with_a_job_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_is_cached(monkeypatch)
    with pytest.raises(ValueError, match="broken"), warmup.compile_ahead():
        (child,) = warmup._children
        raise ValueError("broken")
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells a process that its parent is gone")
def test_the_child_dies_with_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], check=True, capture_output=True, text=True)
    pid, until_s = int(done.stdout), time.monotonic() + 20
    while time.monotonic() < until_s and _is_alive(pid):
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_nothing_is_started_where_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", _must_not_be_called)
    monkeypatch.setattr(warmup, "missing", lambda kernels: [])
    assert warmup.start() is None
    _nothing_is_cached(monkeypatch)
    machine.use(Engine(threads=1))
    assert warmup.start() is None


def test_a_numba_with_other_insides_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", _must_not_be_called)

    def is_cached(kernel: warmup.Kernel) -> bool:
        raise AttributeError("_cache_file")

    monkeypatch.setattr(warmup.Kernel, "is_cached", is_cached)
    with warmup.compile_ahead():
        assert warmup._children == []


def test_the_child_compiles_the_last_first(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    class Function:
        def __init__(self, name: str) -> None:
            self.name = name

        def compile(self, types: Any) -> None:
            compiled.append(self.name)
            if len(compiled) == 2:
                raise TypeError("a kernel that can't be compiled")

    monkeypatch.setattr(warmup.Kernel, "function", lambda kernel: Function(kernel.name))
    warmup._compile_backwards()
    assert compiled == [kernel.name for kernel in reversed(warmup.recorded())]


def _must_not_be_called(*arguments: Any, **options: Any) -> None:
    raise AssertionError("a process was started")
