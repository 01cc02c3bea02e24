"""What the engine may use of the machine, for this process."""

from __future__ import annotations

import ctypes
import os

from config.sections import Engine

_use = Engine()
_cuda_failure: str | None = None


def use(settings: Engine) -> None:
    """Take other settings from now on. Kernels that run meanwhile finish with the old ones."""
    global _use  # noqa: PLW0603 - a process has one machine; handing it through every kernel call would hide the geometry
    _use = settings


def device() -> str:
    """`auto`, `cpu` or `cuda`."""
    return _use.device


def give_cuda_up(reason: str | None) -> None:
    """Use CUDA no more in this process, for a reason in words; None: use it again."""
    global _cuda_failure  # noqa: PLW0603 - as above: so is the GPU
    _cuda_failure = reason


def cuda_failure() -> str | None:
    """Why CUDA was given up in this process; None where it was not."""
    return _cuda_failure


def cuda_rasterizer() -> str:
    """`auto`, `own` or `nvdiffrast`: what rasterises where CUDA is used."""
    return _use.cuda_rasterizer


def release_memory() -> None:
    """Give freed memory back to the system, where the C library keeps it (glibc's heaps, one for each thread).

    What one stage has freed is of little use to the next, whose arrays have other sizes: without this the two add up.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim(0)


def thread_count() -> int:
    """Threads to use: the CPUs that this process may run on, unless the settings say otherwise."""
    if _use.threads:
        return _use.threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
