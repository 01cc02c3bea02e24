"""`meshdrop health`: is the service up, and does it get on; for containers, load balancers and monitoring.

Like the status it touches no share: an answer comes within seconds while one hangs. It imports nothing heavy.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from config.errors import MeshdropError
from config.sections import Settings
from daemon.clock import Clock
from daemon.runner.gpu import first_gpu
from daemon.states import State
from daemon.status.collect import collect

_GPU_WITHIN_S: Final = 5.0
_MIB: Final = 1 << 20


class Gpu(TypedDict, total=False):
    """The fields of `Health` about the GPU; none where there is none."""

    gpu_available: bool
    gpu_name: str
    vram_total: int | None
    vram_free: int | None


class Health(BaseModel):
    """How the service is. Sizes are in bytes."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(default=1, description="Version of this schema.")
    status: Literal["ok", "degraded", "down"] = Field(
        description="`degraded`: it runs, and somebody should look at `problems`. `down`: no daemon does the work."
    )
    sentence: str = Field(description="How the daemon is, in words.")
    problems: list[str] = Field(description="What somebody should look at.")
    at: datetime = Field(description="When this was put together.")
    version: str | None = Field(default=None, description="The daemon's version.")
    started_at: datetime | None = Field(default=None, description="When it started.")
    beat_at: datetime | None = Field(default=None, description="When it was last heard of.")
    jobs_waiting: int = Field(default=0, description="Jobs that wait for their turn.")
    jobs_running: int = Field(default=0, description="Jobs that run or are being published.")
    jobs_held: int = Field(default=0, description="Jobs that wait for the machine or a share.")
    state_free: int | None = Field(default=None, description="Free space in the state folder.")
    gpu_available: bool = Field(default=False, description="Whether the NVIDIA driver answers with a GPU.")
    gpu_name: str | None = Field(default=None, description="The GPU that jobs use.")
    vram_total: int | None = Field(default=None, description="Its memory.")
    vram_free: int | None = Field(default=None, description="What of it is free now.")


def health(settings: Settings, clock: Clock) -> Health:
    """Look now. Whatever is wrong is said in the answer, never raised."""
    from daemon.store import open_store

    gpu = ask_gpu()
    try:
        store = open_store(settings.state_dir, clock=clock, create=False)
    except MeshdropError as error:
        return Health(status="down", sentence=error.message, problems=[error.message], at=clock.now(), **gpu)
    try:
        facts = collect(store, settings, clock)
    finally:
        store.close()
    problems = list(facts.problems)
    if settings.engine.device == "cuda" and not gpu:
        problems.append("engine.device asks for a GPU, and none answers.")
    up = facts.daemon.state == "running"
    return Health(
        status=("degraded" if problems else "ok") if up else "down",
        sentence=facts.daemon.sentence,
        problems=problems,
        at=facts.at,
        version=facts.daemon.version,
        started_at=facts.daemon.started_at,
        beat_at=facts.daemon.beat_at,
        jobs_waiting=facts.counts[State.PENDING],
        jobs_running=len(facts.running),
        jobs_held=len(facts.held),
        state_free=_free(settings.state_dir),
        **gpu,
    )


def _free(folder: Path) -> int | None:
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    return space.f_bavail * space.f_frsize


def ask_gpu() -> Gpu:
    """The fields of the GPU that jobs would use; none where there is none, or its driver hangs."""
    gpu = first_gpu()
    if gpu is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits", f"--id={gpu}"]
    try:
        answer = subprocess.run(query, capture_output=True, timeout=_GPU_WITHIN_S, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_gpu(answer)


def parse_gpu(answer: str) -> Gpu:
    """The fields from a line of nvidia-smi, which counts in MiB; `[N/A]` where a GPU doesn't say."""
    fields = [field.strip() for field in answer.strip().split("\n")[0].rsplit(",", 2)]
    if len(fields) != 3 or not fields[0]:
        return {}
    total, free = (int(field) * _MIB if field.isdigit() else None for field in fields[1:])
    return {"gpu_available": True, "gpu_name": fields[0], "vram_total": total, "vram_free": free}
