"""The GPU that jobs use: whether there is one, and that no other daemon on this machine uses it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from config.errors import GpuUnavailable, ShareUnavailable
from config.sections import Settings
from daemon.files import Files
from daemon.locks import AlreadyLocked, FileLock, gpu_lock_path
from daemon.runner.space import Trouble

DRIVER: Final = Path("/proc/driver/nvidia/gpus")

log = structlog.get_logger(__name__)


class Gpu:
    """Taken before a job begins and given back after it, so that several daemons take turns."""

    def __init__(
        self,
        settings: Settings,
        files: Files,
        driver: Path = DRIVER,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings, self._files, self._driver, self._environment = settings, files, driver, environment
        self._lock: FileLock | None = None

    def take(self) -> Trouble | None:
        """Why it can't be had; None where it is taken, or none is wanted."""
        wanted = self._settings.engine.device
        if wanted == "cpu" or self._lock is not None:
            return None
        gpu = first_gpu(self._driver, self._environment)
        if gpu is None:
            reason = "No NVIDIA GPU is there, and engine.device asks for one."
            return Trouble(GpuUnavailable.code, reason, own=True) if wanted == "cuda" else None
        lock = FileLock(gpu_lock_path(gpu), f"the GPU {gpu}", self._files)
        try:
            self._lock = lock.acquire()
        except AlreadyLocked as error:
            return Trouble(GpuUnavailable.code, error.message, own=True)
        except ShareUnavailable as error:  # better without a lock than without jobs
            log.warning("gpu.not_locked", gpu=gpu, error=error.message)
        return None

    def release(self) -> None:
        """Give it back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def first_gpu(driver: Path = DRIVER, environment: Mapping[str, str] = os.environ) -> str | None:
    """The UUID or index of the GPU that CUDA programs of this process use; None where there is none."""
    uuids = []
    with suppress(OSError):
        for card in sorted(driver.iterdir()):
            text = (card / "information").read_text(encoding="utf-8", errors="replace")
            found = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("GPU UUID")]
            uuids.append(found[0] if found else card.name)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if not uuids or visible is None:
        return uuids[0] if uuids else None
    first = visible.split(",")[0].strip()
    if first.isdigit():
        return uuids[int(first)] if int(first) < len(uuids) else None
    return next((uuid for uuid in uuids if first and uuid.startswith(first)), None)
