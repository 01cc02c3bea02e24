"""Compiling ahead: the first job after an installation shares its compiling with a second process.

Kernels are compiled one at a time in a process (numba holds a lock), in the order that a job first calls them. While a
job runs with nothing compiled yet, a child process goes through the same kernels from the other end and leaves them in
numba's cache, where the job finds them. `warmup.json` lists the kernels: what a job would compile, in its order.

`python -m engine.warmup` is the child; with `--record`, the list is written anew.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numba

from engine.machine import thread_count

__all__ = ["Kernel", "compile_ahead", "missing", "recorded", "start"]

LIST: Final = Path(__file__).with_name("warmup.json")
_WORTH_A_PROCESS: Final = 8  # kernels: the child needs two seconds before it compiles its first
_NICENESS: Final = 5  # the job goes first: the child takes what it leaves idle
_PR_SET_PDEATHSIG: Final = 1
_TYPES: Final = {name: getattr(numba.types, name) for name in dir(numba.types)} | {
    "bool": numba.types.boolean,
    "__builtins__": {},
}

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Kernel:
    """A compiled function and the types it is called with, as numba writes them (`Array(float32, 2, 'C', ...)`)."""

    module: str
    name: str
    types: tuple[str, ...]

    def function(self) -> Any:
        """numba's dispatcher. Raises ImportError or AttributeError where the list is older than the program."""
        return getattr(importlib.import_module(self.module), self.name)

    def signature(self) -> tuple[Any, ...]:
        """The types, as numba looks them up."""
        return tuple(eval(text, dict(_TYPES)) for text in self.types)  # numba's own names alone; our own file

    def is_cached(self) -> bool:
        """Whether numba's cache holds it for this machine and this version of its module."""
        function = self.function()
        key = function._cache._index_key(self.signature(), function.targetctx.codegen())
        return key in function._cache._cache_file._load_index()


def recorded() -> list[Kernel]:
    """The kernels of a job in the order of first use."""
    rows = json.loads(LIST.read_text(encoding="utf-8"))
    return [Kernel(row["module"], row["name"], tuple(row["types"])) for row in rows]


def missing(kernels: Iterable[Kernel]) -> list[Kernel]:
    """Those that are not in the cache yet."""
    return [kernel for kernel in kernels if not kernel.is_cached()]


def start() -> subprocess.Popen[bytes] | None:
    """Let a child process compile what the cache lacks, where that is much and a second CPU is there for it.

    Returns:
        The child, or None where there is none or one is under way already. Nothing depends on it: whatever fails here
        only means that a job compiles its kernels itself.

    """
    _children[:] = [child for child in _children if child.poll() is None]
    if _children or thread_count() < 2 or not sys.executable:
        return None
    try:
        if len(missing(recorded())) < _WORTH_A_PROCESS:
            return None
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.warmup", "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _import_path()},
        )
    except Exception:  # numba's insides differ between versions
        return None
    _children.append(child)
    threading.Thread(target=child.wait, name="warmup", daemon=True).start()  # leaves no zombie
    return child


@contextmanager
def compile_ahead() -> Iterator[None]:
    """`start` for the time of a job; the child ends with it."""
    child = start()
    try:
        yield
    finally:
        if child is not None:
            child.kill()  # numba's cache takes a kernel by one rename: there is nothing to tidy up
            child.wait()


def _import_path() -> str:
    """Where the child finds this very package, and all that this process finds by PYTHONPATH."""
    ours = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))


def _compile_backwards() -> None:
    """Compile every kernel of the list, the last first. One that can't be is the job's to report."""
    for kernel in reversed(recorded()):
        with suppress(Exception):
            kernel.function().compile(kernel.signature())


def _die_with(parent: int) -> None:
    """Let the kernel end this process when its parent does."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the kernel was told
        os._exit(0)


def _record() -> None:
    """Run a job with an empty cache in a process of its own, and write down what it compiled."""
    with tempfile.TemporaryDirectory(prefix="meshdrop-warmup-") as scratch:
        for step in ("sample", "job"):
            cache = str(Path(scratch) / f"{step}-cache")  # what the sample compiles must not be there for the job
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": _import_path()}
            code = f"from engine.warmup_record import {step}; {step}({scratch!r})"
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        rows = json.loads((Path(scratch) / "compiled.json").read_text(encoding="utf-8"))
    LIST.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


def main() -> None:
    """Be the child, or record."""
    parser = argparse.ArgumentParser(prog="python -m engine.warmup", description="Compile the engine's kernels.")
    parser.add_argument("--parent", type=int, help="process id of the job's process: end with it")
    parser.add_argument("--record", action="store_true", help="write the list of kernels anew")
    given = parser.parse_args()
    if given.record:
        _record()
        return
    if given.parent is not None:
        _die_with(given.parent)
        with suppress(OSError):
            os.nice(_NICENESS)
    _compile_backwards()


if __name__ == "__main__":
    main()
