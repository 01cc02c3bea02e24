"""Checks of the machine: Python, packages, GPU, the kernel's limits."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.errors import ModelUnavailable
from config.sections import Settings
from daemon.status.findings import Finding, fail, note, ok, warn

LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
_INSTALL: Final = "make setup; where the program is installed as a service, make install."
_TIMEX_BYTES: Final = 512  # struct timex has 208; all zero it asks and changes nothing
_TIME_ERROR: Final = 5
INOTIFY: Final = Path("/proc/sys/fs/inotify")
_LOWEST_LIMITS: Final = {"max_user_watches": (65536, 1048576), "max_user_instances": (128, 1024)}
_TORCH_WITHIN_S: Final = 120.0
_ASK_TORCH: Final = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    version = platform.python_version()
    if tuple(int(part) for part in version.split(".")[:2]) < (3, 11):
        yield fail("python", f"This is {version}; 3.11 or newer is needed.", "make setup PYTHON=python3.11")
    else:
        yield ok("python", f"{version} at {sys.executable}")


def check_packages() -> Iterator[Finding]:
    """What the program needs is installed, in versions that it works with."""
    from packaging.requirements import Requirement

    try:
        wanted = importlib.metadata.requires("meshdrop") or []
    except importlib.metadata.PackageNotFoundError:
        yield fail("packages", "The program itself is not installed here.", _INSTALL)
        return
    needed = [each for each in map(Requirement, wanted) if each.marker is None or each.marker.evaluate({"extra": ""})]
    missing, wrong = [], []
    for each in needed:
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(each.name)
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} is {version}, and has to be {each.specifier}")
    if missing:
        yield fail("packages", f"Missing: {', '.join(missing)}.", _INSTALL)
    if wrong:
        yield fail("packages", f"{'; '.join(wrong)}.", _INSTALL)
    if not missing and not wrong:
        yield ok("packages", f"All {len(needed)} are there, in versions that the program works with.")
    if others := _unlike_lock():
        yield note("packages", f"Not the versions that were tested: {', '.join(others)}.", _INSTALL)


def _unlike_lock() -> list[str]:
    """Installed packages of other versions than requirements.lock has, in a copy of the repository."""
    try:
        lines = LOCK.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    others = []
    for line in lines:
        name, _, pinned = line.partition("#")[0].strip().partition("==")
        try:
            version = importlib.metadata.version(name) if pinned else ""
        except importlib.metadata.PackageNotFoundError:
            continue
        if version.partition("+")[0] != pinned:  # "+cpu" is another build of the same version
            others.append(f"{name} {version} ({pinned})")
    return others


def check_models(settings: Settings) -> Iterator[Finding]:
    """Which models a job may ask for, and whether there are weights for those that need some."""
    yield ok("model nvdiffrec", "Is part of the program; it needs no weights.")
    from engine.models.reconviagen.weights import require

    own = settings.models.reconviagen
    try:
        require(own)
    except ModelUnavailable as error:
        files = error.details.get("files")
        why = f"Of its files, {len(files)} are not in {own.weights}" if files else error.message.rstrip(".")
        yield note(
            "model reconviagen",
            f"A job that asks for it fails with MODEL_UNAVAILABLE; all others do without. {why}.",
            'Leave `model` out of job.toml, or set it to "nvdiffrec". `meshdrop weights list` names the files, '
            "`meshdrop weights verify` says what is wrong with each.",
        )
    else:
        yield ok("model reconviagen", f"Its weights in {own.weights} are the published ones, its licence is accepted.")


def check_clock() -> Iterator[Finding]:
    """Whether the kernel knows its clock to be set by the network."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return
    if state == _TIME_ERROR:
        yield note(
            "clock",
            "No time server keeps this machine's clock right, as far as the kernel knows.",
            "timedatectl set-ntp true. Times are only shown; nothing is decided by them.",
        )
    elif state >= 0:
        yield ok("clock", "Is kept right by a time server.")


def check_gpu(settings: Settings) -> Iterator[Finding]:
    """A GPU, its driver and the renderer for it; only `engine.device = "cuda"` needs them."""
    complain = fail if settings.engine.device == "cuda" else note
    driver = _output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], 20.0)
    if not driver:
        why = "There is no NVIDIA driver" if shutil.which("nvidia-smi") is None else "The NVIDIA driver does not answer"
        yield complain("gpu", f"{why}; jobs run on the CPU.", "Install the driver, if the machine has a GPU.")
        return
    yield ok("gpu", "; ".join(driver.splitlines()))
    if settings.engine.device == "cpu":
        return
    seen = _output([sys.executable, "-c", _ASK_TORCH], _TORCH_WITHIN_S)
    if not seen:
        yield complain("cuda", "PyTorch can't use the GPU.", "Install a PyTorch that is built for the driver's CUDA.")
    modules = {"numba-cuda": "numba_cuda", "nvdiffrast": "nvdiffrast"}
    installed = [name for name, module in modules.items() if importlib.util.find_spec(module) is not None]
    if not installed:
        yield complain(
            "numba-cuda",
            "Neither it nor nvdiffrast is installed; views are rendered on the CPU.",
            'pip install "meshdrop[cuda]"; or nvdiffrast from its repository, whose licence allows research only.',
        )
    elif seen:
        yield from (ok(name, "Is installed.") for name in installed)


def check_inotify(settings: Settings) -> Iterator[Finding]:
    """The kernel's limits, where an inbox is watched by inotify."""
    from daemon.mounts import mount_of, watch_mode

    mode = settings.watch.mode
    modes = {watch_mode(mount_of(inbox.path).type) if mode == "auto" else mode for inbox in settings.all_inboxes}
    if "inotify" not in modes:
        return
    low = False
    for name, (lowest, better) in _LOWEST_LIMITS.items():
        try:
            limit = int((INOTIFY / name).read_text())
        except (OSError, ValueError):
            yield fail("inotify", "This kernel has none.", 'Set watch.mode = "polling".')
            return
        if limit < lowest:
            low = True
            remedy = f"sudo sysctl -w fs.inotify.{name}={better}, and put the same into /etc/sysctl.d/60-meshdrop.conf."
            yield warn("inotify", f"fs.inotify.{name} is {limit}, which is little.", remedy)
    if not low:
        yield ok("inotify", "The limits are high enough.")


def _output(command: list[str], within_s: float) -> str:
    """What a command prints; nothing where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=within_s, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
