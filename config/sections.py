"""Every setting: its table, name, default, check and meaning; those of the qualities are in `presets`.

The text below a key is its description; docs/settings.md and config/meshdrop.toml are made from it by `make docs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from config.job import Thresholds
from config.presets import Qualities
from config.tables import Table
from config.values import Duration, Folder, Mode

MEGABYTE: Final = 1 << 20


class Limits(Table):
    """What a bundle may weigh and measure."""

    file_mb: Annotated[float, Field(gt=0)] = 20.0
    """Largest size of one image, in MB of 2^20 bytes."""

    bundle_mb: Annotated[float, Field(gt=0)] = 200.0
    """Largest size of the twelve images together."""

    min_size_px: Annotated[int, Field(ge=16, le=8192)] = 256
    """Smallest side of an image."""

    max_size_px: Annotated[int, Field(ge=16, le=8192)] = 8192
    """Largest side of an image; what an image states of itself is checked before it is decoded. At most 8192."""

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.min_size_px > self.max_size_px:
            raise ValueError("min_size_px is above max_size_px")
        return self


class Engine(Table):
    """How the engine uses the machine."""

    threads: Annotated[int, Field(ge=0)] = 0
    """Threads to compute on; 0 takes as many as the process has CPUs."""

    cache_dir: Folder | None = Field(default=None, examples=["../cache"])
    """Folder for compiled kernels, which the user must be able to write; none leaves it to numba: beside the program,
    or in the user's cache folder."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` uses CUDA where it works, `cpu` never, `cuda` insists. Where the GPU fails while it fits the texture, or
    its memory can't hold the least that this needs, `auto` goes on with the CPU and says so in job.json; with `cuda` a
    GPU that fails holds the job, and want of memory fails it."""

    cuda_rasterizer: Literal["auto", "own", "nvdiffrast"] = "auto"
    """What draws where CUDA is used: `own` is part of the program and needs its extra `cuda`, `nvdiffrast` is installed
    by hand and licensed for research only, `auto` takes nvdiffrast where it is installed, else `own`."""


class ReconViaGen(Table):
    """The model `reconviagen`, which generates a whole object from the views."""

    weights: Folder = Path("weights")
    """Folder of the model's weights; `meshdrop weights list` tells what belongs in it. Nothing is fetched unasked."""
    accept_vggt_licence: bool = False
    """Whoever sets this has read the licence of VGGT's weights, which forbids commercial use in its first release, and
    may use them.
    """
    precision: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """Precision of the large matrices: `float16` as published, `bfloat16`, `float32`, or `auto`: `float16` on a GPU,
    `float32` on the CPU.
    """
    vram_mb: Annotated[int, Field(ge=0)] = 0
    """GPU memory for weights, in MB. Networks that are larger come to the GPU block by block, which is slower; 0: no
    limit.
    """


class Models(Table):
    """What the models need that are not part of the program."""

    reconviagen: ReconViaGen = ReconViaGen()


class Inbox(Table):
    """Several inboxes, each with its outbox: a table `[[inboxes]]` each, in place of `inbox` and `outbox`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", examples=["props"])]
    """The name that statuses show."""

    path: Annotated[Folder, Field(examples=["/srv/props/inbox"])]
    """The folder that its bundles are dropped into."""

    outbox: Annotated[Folder, Field(examples=["/srv/props/outbox"])]
    """The folder that its results appear in."""

    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """The priority of its jobs where job.toml states none; -100 to 100, the highest runs first."""

    max_priority: Annotated[int, Field(ge=-100, le=100)] = 100
    """The highest priority that its job.toml files get."""

    require_ready: bool = False
    """Take a bundle only once a `.ready` marker is there."""

    finished: Literal["archive", "keep", "delete"] | None = Field(default=None, examples=["archive"])
    """What becomes of its finished bundles, in place of `finished.then`: `archive`, `keep` or `delete`."""


class PathNames(Table):
    """What people call the server's folders: a table `[[paths]]` each. Statuses show these, `meshdrop explain` takes
    them.
    """

    server: Annotated[Folder, Field(examples=["/srv/props"])]
    """The folder on the server."""

    windows: str | None = Field(default=None, examples=["Z:\\props"])
    r"""Its name on Windows, such as `'\\nas\drop'` or `'Z:\drop'`; in single quotes a backslash is itself."""

    mac: str | None = Field(default=None, examples=["/Volumes/props"])
    """Its name on a Mac, such as `/Volumes/drop`."""


class Watch(Table):
    """How the inboxes are watched."""

    mode: Literal["auto", "inotify", "polling"] = "auto"
    """How the inbox is watched: `auto` takes inotify on local file systems and polling on network, FUSE and unknown
    ones; `inotify` and `polling` insist."""

    poll_s: Annotated[Duration, Field(gt=0)] = 5.0
    """How often an inbox is scanned that is polled."""

    rescan_s: Annotated[Duration, Field(gt=0)] = 60.0
    """How often an inbox is scanned that is watched: events are hints, the scan is the truth."""

    canary: bool = True
    """Write a file into a private folder of the inbox now and then, to measure the seconds to detection."""


class Intake(Table):
    """When a bundle is taken."""

    quiet_s: Duration = 5.0
    """How long a whole bundle must be unchanged before it is taken (on polled inboxes at least two polls)."""

    notice_s: Duration = 10.0
    """How long a bundle must be unchanged before STATUS.txt tells what it waits for."""

    ready_s: Duration = 60.0
    """How long a bundle with `.ready` may lack files before it is refused."""

    unfinished_s: Duration = 600.0
    """How long a file may look like an unfinished copy, unchanged, before it is refused as damaged."""

    orphan_s: Duration = 86400.0
    """How long a bundle may stay incomplete before it is reported as expired; it may still be completed."""

    require_ready: bool = False
    """Take a bundle only once a `.ready` marker is there."""


class Finished(Table):
    """What becomes of a bundle whose job succeeded or was cancelled."""

    then: Literal["archive", "keep", "delete"] = "archive"
    """What becomes of a finished bundle: `archive` moves it to `_done` or `_cancelled`, `keep` leaves it, `delete`
    deletes it."""


class Failed(Table):
    """What becomes of a bundle that was refused."""

    stay: Duration = 7 * 86400.0
    """How long a refused bundle stays where it is, to be mended, before it is archived in `_failed`."""


class Cancel(Table):
    """How a job is cancelled."""

    confirm: bool = False
    """Whether `.cancel` only asks, and `.cancel-confirm` cancels."""

    confirm_within_s: Duration = 3600.0
    """How long a `.cancel` waits for its confirmation."""

    ask_s: Duration = 2.0
    """How long a cancelled job has to stop by itself before its process gets SIGTERM."""

    terminate_s: Duration = 1.5
    """How long after SIGTERM it gets SIGKILL."""


class Spool(Table):
    """The copies that jobs run on."""

    max_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    """How much the copies that jobs run on, and results not yet published, may take."""

    jobs_ahead: Annotated[int, Field(ge=1, le=16)] = 2
    """How many waiting jobs are copied before their turn."""


class Run(Table):
    """How jobs run."""

    timeout_s: Annotated[Duration, Field(gt=0)] = 3600.0
    """How long a job may take where its job.toml does not say it."""

    crash_retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a job runs again whose process died."""

    recycle_after_jobs: Annotated[int, Field(ge=1)] = 20
    """After how many jobs the process that runs them is replaced."""

    hold_retry_s: Annotated[Duration, Field(gt=0)] = 30.0
    """How often a held job looks whether it can go on."""

    silent_s: Annotated[Duration, Field(gt=0)] = 300.0
    """How long a running job may say nothing before its process is taken for hung."""

    lower_on_oom: bool = True
    """Try a lower quality once when memory runs out."""

    memory_mb: Annotated[int, Field(ge=0)] = 0
    """Address space that the job's process may take; 0 is no limit."""

    reserve_mb: Annotated[int, Field(ge=0)] = 512
    """Free space that outbox and state_dir must have before a job starts."""


class Publish(Table):
    """How results are written."""

    dir_mode: Mode = "2775"
    """Mode of the folders that are published, in octal."""

    file_mode: Mode = "0664"
    """Mode of the files that are published, in octal."""

    group: str | None = Field(default=None, examples=["studio"])
    """Group that published files belong to."""

    zip: bool = True
    """Put a zip of the result into the result."""

    refresh_s: Annotated[Duration, Field(gt=0)] = 5.0
    """How often index.html, status.json and STATUS.txt are rewritten at most."""

    heartbeat_s: Annotated[Duration, Field(gt=0)] = 30.0
    """How often index.html is rewritten at least: after three times as long it turns red and says that nobody looks
    after it."""


class Retention(Table):
    """What is deleted by itself: nothing, unless it is said here. 0 is off."""

    results: Duration = 0.0
    """Age from which results are deleted; 0 never."""

    archived: Duration = 0.0
    """Age from which archived bundles are deleted; 0 never."""

    free_mb: Annotated[int, Field(ge=0)] = 0
    """Free space on the outbox below which the oldest results are deleted; 0 never."""


class Metrics(Table):
    """Figures for Prometheus, in a file for node_exporter's textfile collector."""

    textfile: Folder | None = Field(default=None, examples=["/var/lib/node_exporter/textfile/meshdrop.prom"])
    """File that the figures are written to; its name ends with `.prom`. Without it there are none."""

    refresh_s: Annotated[Duration, Field(gt=0)] = 15.0
    """How often it is rewritten."""

    @model_validator(mode="after")
    def _named(self) -> Metrics:
        # The collector reads no other, and the file is replaced whatever it held: it must be no one else's.
        if self.textfile is not None and self.textfile.suffix != ".prom":
            raise ValueError("the name of textfile does not end with .prom")
        return self


class Webhook(Table):
    """An address that is told when a job has finished, failed, was cancelled or is held."""

    url: str = Field(default="", examples=["https://example.com/hooks/meshdrop"])
    """The address; empty tells nobody."""

    secret: str = Field(default="", repr=False)
    """What messages are signed with, and the receiver knows too: `whsec_` and base64, or any text of 16 bytes or more.
    Better in a file of its own."""

    secret_file: Folder | None = Field(default=None, examples=["/etc/meshdrop/webhook.secret"])
    """File that holds the secret, in place of `webhook.secret`; read at each message."""

    timeout_s: Annotated[Duration, Field(gt=0, le=60)] = 10.0
    """How long it may take to reach the receiver, and then to have its whole answer; at most 60."""

    attempts: Annotated[int, Field(ge=1, le=30)] = 10
    """How often a message is sent before it is given up: after 5 s, 10 s, 20 s and so on, up to an hour."""

    allow_http: bool = False
    """Also send to `http://` addresses of other machines, where everybody on the way can read along."""


class Support(Table):
    """Whom people ask."""

    contact: str = ""
    """Whom people ask; every STATUS.txt ends with it."""


class Log(Table):
    """What the daemon writes down, and how."""

    format: Literal["auto", "json", "pretty"] = "auto"
    """`json`, `pretty`, or `auto`: pretty on a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least of `debug`, `info`, `warning` and `error` that is logged."""


class Settings(Table):
    """All settings. Paths are absolute once they come from `load_settings`."""

    inbox: Folder = Path("inbox")
    """The folder that bundles are dropped into."""

    outbox: Folder = Path("outbox")
    """The folder that results appear in."""

    state_dir: Folder = Path("state")
    """The folder of the database and the spool; must be on a local disk."""

    inboxes: tuple[Inbox, ...] = Field(default=(), strict=False)
    paths: tuple[PathNames, ...] = Field(default=(), strict=False)
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    engine: Engine = Engine()
    quality: Qualities = Qualities()
    models: Models = Models()
    watch: Watch = Watch()
    intake: Intake = Intake()
    finished: Finished = Finished()
    failed: Failed = Failed()
    cancel: Cancel = Cancel()
    spool: Spool = Spool()
    run: Run = Run()
    publish: Publish = Publish()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    webhook: Webhook = Webhook()
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
