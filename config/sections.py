"""Every setting: its table, name, default and check. What each means stands in docs/settings.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.job import Thresholds
from config.tables import Table

MEGABYTE: Final = 1 << 20
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: Any) -> Any:
    """A duration as people write it, "7d" or "1.5h", in seconds; numbers are seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if match is None:
            raise ValueError('a duration is a number of seconds, or text such as "90s", "30m", "12h", "7d"')
        return float(match[1]) * _SECONDS[match[2]]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mode(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"[0-7]{3,4}", value) is None:
        raise ValueError('a mode is text of three or four octal digits, such as "0664"')
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Mode = Annotated[str, BeforeValidator(_mode)]

Folder = Annotated[Path, Field(strict=False)]


class Limits(Table):
    """What a bundle may weigh and measure."""

    file_mb: Annotated[float, Field(gt=0)] = 20.0
    bundle_mb: Annotated[float, Field(gt=0)] = 200.0
    min_size_px: Annotated[int, Field(ge=16, le=8192)] = 256
    max_size_px: Annotated[int, Field(ge=16, le=8192)] = 8192

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.min_size_px > self.max_size_px:
            raise ValueError("min_size_px is above max_size_px")
        return self


class Engine(Table):
    """How the engine uses the machine."""

    threads: Annotated[int, Field(ge=0)] = 0
    cache_dir: Folder | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Preset(Table):
    """What a quality means where the job does not say it: voxels along the longest side, texture, faces."""

    grid: Annotated[int, Field(ge=32, le=1024)]
    texture_size_px: Annotated[int, Field(ge=256, le=8192)]
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)]


class Draft(Preset):
    """Quick."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 128
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 1024
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 20_000


class Standard(Preset):
    """What a job gets that asks for nothing."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 256
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 2048
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 50_000


class High(Preset):
    """As good as it gets."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 384
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 4096
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 150_000


class Qualities(Table):
    """The presets of job.toml's `quality`."""

    draft: Draft = Draft()
    standard: Standard = Standard()
    high: High = High()


class Inbox(Table):
    """One of several inboxes, each with its outbox."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
    path: Folder
    outbox: Folder
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    max_priority: Annotated[int, Field(ge=-100, le=100)] = 100
    require_ready: bool = False
    finished: Literal["archive", "keep", "delete"] | None = None


class PathNames(Table):
    """What a folder of the server is called on the machines of those who use it."""

    server: Folder
    windows: str | None = None
    mac: str | None = None


class Watch(Table):
    """How the inboxes are watched."""

    mode: Literal["auto", "inotify", "polling"] = "auto"
    poll_s: Annotated[Duration, Field(gt=0)] = 5.0
    rescan_s: Annotated[Duration, Field(gt=0)] = 60.0
    canary: bool = True


class Intake(Table):
    """When a bundle is taken."""

    quiet_s: Duration = 5.0
    notice_s: Duration = 10.0
    ready_s: Duration = 60.0
    unfinished_s: Duration = 600.0
    orphan_s: Duration = 86400.0
    require_ready: bool = False


class Finished(Table):
    """What becomes of a bundle whose job succeeded or was cancelled."""

    then: Literal["archive", "keep", "delete"] = "archive"


class Failed(Table):
    """What becomes of a bundle that was refused."""

    stay: Duration = 7 * 86400.0


class Cancel(Table):
    """How a job is cancelled."""

    confirm: bool = False
    confirm_within_s: Duration = 3600.0
    ask_s: Duration = 2.0
    terminate_s: Duration = 1.5


class Spool(Table):
    """The copies that jobs run on."""

    max_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    jobs_ahead: Annotated[int, Field(ge=1, le=16)] = 2


class Run(Table):
    """How jobs run."""

    timeout_s: Annotated[Duration, Field(gt=0)] = 3600.0
    crash_retries: Annotated[int, Field(ge=0, le=10)] = 2
    recycle_after_jobs: Annotated[int, Field(ge=1)] = 20
    hold_retry_s: Annotated[Duration, Field(gt=0)] = 30.0
    silent_s: Annotated[Duration, Field(gt=0)] = 300.0
    lower_on_oom: bool = True
    memory_mb: Annotated[int, Field(ge=0)] = 0
    reserve_mb: Annotated[int, Field(ge=0)] = 512


class Publish(Table):
    """How results are written."""

    dir_mode: Mode = "2775"
    file_mode: Mode = "0664"
    group: str | None = None
    zip: bool = True
    refresh_s: Annotated[Duration, Field(gt=0)] = 5.0


class Retention(Table):
    """What is deleted by itself: nothing, unless it is said here. 0 is off."""

    results: Duration = 0.0
    archived: Duration = 0.0
    free_mb: Annotated[int, Field(ge=0)] = 0


class Support(Table):
    """Whom people ask."""

    contact: str = ""


class Log(Table):
    """What the daemon writes down, and how."""

    format: Literal["auto", "json", "pretty"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Table):
    """All settings. Paths are absolute once they come from `load_settings`."""

    inbox: Folder = Path("inbox")
    outbox: Folder = Path("outbox")
    state_dir: Folder = Path("state")
    inboxes: tuple[Inbox, ...] = Field(default=(), strict=False)
    paths: tuple[PathNames, ...] = Field(default=(), strict=False)
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    engine: Engine = Engine()
    quality: Qualities = Qualities()
    watch: Watch = Watch()
    intake: Intake = Intake()
    finished: Finished = Finished()
    failed: Failed = Failed()
    cancel: Cancel = Cancel()
    spool: Spool = Spool()
    run: Run = Run()
    publish: Publish = Publish()
    retention: Retention = Retention()
    support: Support = Support()
    log: Log = Log()

    @property
    def all_inboxes(self) -> tuple[Inbox, ...]:
        """The inboxes in force: `inboxes`, or the one that `inbox` and `outbox` name."""
        return self.inboxes or (Inbox(name="inbox", path=self.inbox, outbox=self.outbox),)

    @model_validator(mode="after")
    def _names_differ(self) -> Settings:
        names = [inbox.name.casefold() for inbox in self.inboxes]
        if len(set(names)) != len(names):
            raise ValueError("two inboxes have the same name")
        return self
