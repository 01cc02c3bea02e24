"""What `meshdrop doctor` finds, and what it says to do."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from daemon.files import Files
from daemon.roots import open_root
from daemon.status import doctor, machine, shares
from daemon.status.explain import explain_path
from daemon.status.findings import Finding

if TYPE_CHECKING:
    from tests.status.conftest import House


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking PyTorch takes seconds."""
    monkeypatch.setattr(machine, "_output", lambda command, within_s: "")


def found(house: House, name: str) -> list[Finding]:
    return [finding for finding in doctor.examine(house.settings, quick=True) if finding.name.startswith(name)]


def worst(findings: list[Finding]) -> str:
    levels = ["ok", "note", "warn", "fail"]
    return levels[max(levels.index(finding.level) for finding in findings)]


def test_a_sound_house_has_no_failure(house: House) -> None:
    from daemon.clock import SystemClock

    house.beat(beat_at=SystemClock().now())
    findings = doctor.examine(house.settings, quick=True)
    assert [finding for finding in findings if finding.level == "fail"] == []
    names = {finding.name for finding in findings}
    assert names >= {"python", "packages", "gpu", "settings", "inbox", "outbox", "state_dir", "database", "daemon"}
    out = io.StringIO()
    doctor.print_examination(findings, Console(file=out, width=300))
    assert all(finding.sentence in out.getvalue() for finding in findings)
    assert list(house.settings.inbox.iterdir()) == []


def test_every_complaint_has_a_remedy(house: House) -> None:
    shutil.rmtree(house.settings.inbox)
    house.configure(publish={"group": "no such group"}, engine={"device": "cuda"}, run={"reserve_mb": 10**12})
    complaints = [finding for finding in doctor.examine(house.settings, quick=True) if finding.level == "fail"]
    assert {finding.name for finding in complaints} >= {"gpu", "publish.group", "outbox", "state_dir"}
    assert all(finding.remedy for finding in complaints)


def test_a_missing_folder(house: House, tmp_path: Path) -> None:
    house.configure(inbox=tmp_path / "none")
    assert worst(found(house, "inbox")) == "note"
    house.configure(inbox=tmp_path / "none" / "none")
    assert worst(found(house, "inbox")) == "fail"


@pytest.mark.parametrize("kind", ["inbox", "outbox"])
@pytest.mark.parametrize("left", ["an empty mount point", "nothing"])
def test_a_share_that_a_daemon_has_used_and_that_is_not_mounted(house: House, kind: str, left: str) -> None:
    folder: Path = getattr(house.settings, kind)
    open_root(folder, kind, house.settings.state_dir, Files(), house.clock)
    shutil.rmtree(folder)
    if left != "nothing":
        folder.mkdir()
    (failure,) = [finding for finding in found(house, kind) if finding.level == "fail"]
    assert "Mount the share again" in (failure.remedy or "")
    assert not folder.exists() or list(folder.iterdir()) == []
    if kind == "inbox":
        assert "Mount the share again" in explain_path(str(folder / "shoe"), house.settings, house.store)


@pytest.mark.parametrize(("number", "remedy"), [(errno.ENOSPC, "Free"), (errno.EROFS, "writable")])
def test_the_remedy_is_for_what_is_wrong(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def mkdir(files: Files, folder: Path, mode: int = 0o777) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Files, "mkdir", mkdir)
    (finding,) = shares._check_use(house.settings.outbox, "outbox")
    assert remedy in (finding.remedy or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_a_folder_that_may_not_be_written(house: House) -> None:
    """By really writing there as another user: modes say little on a share."""
    house.settings.outbox.chmod(0o755)
    os.seteuid(65534)
    try:
        findings = list(shares._check_use(house.settings.outbox, "outbox"))
    finally:
        os.seteuid(0)
    assert [finding.level for finding in findings] == ["fail"]
    assert "made" in findings[0].sentence
    assert "nobody" in (findings[0].remedy or "")


def test_a_share_that_forbids_renames(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename_new(files: object, source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("daemon.files.Files.rename_new", rename_new)
    (finding,) = shares._check_use(house.settings.outbox, "outbox")
    assert "renamed in" in finding.sentence
    assert [path.name for path in house.settings.outbox.iterdir()] == [".meshdrop"], "nothing is left there"


def test_a_share_that_hangs_is_a_finding(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ANSWER_WITHIN_S", 0.1)
    real, goes_on = shares.mount_of, threading.Event()

    def hung(path: Path) -> object:
        if path == house.settings.inbox:
            goes_on.wait(60)
        return real(path)

    monkeypatch.setattr(shares, "mount_of", hung)
    try:
        assert worst(found(house, "inbox")) == "fail"
    finally:
        goes_on.set()


def test_a_network_file_system(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon.mounts import Mount

    monkeypatch.setattr(shares, "mount_of", lambda path: Mount("/", "nfs4", "nas:/x"))
    assert "polling" in found(house, "inbox")[0].sentence
    assert worst(found(house, "state_dir")) == "fail"
    house.configure(watch={"mode": "inotify"})
    assert worst(found(house, "inbox")) == "warn"


def test_a_share_whose_clock_is_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() - 3600
    monkeypatch.setattr(shares.time, "time", lambda: later)
    findings = list(shares._check_use(house.settings.outbox, "outbox"))
    assert [finding.name for finding in findings if finding.level == "warn"] == ["clock"]
    assert "3600 s ahead" in findings[-1].sentence


@pytest.mark.parametrize(("watches", "level"), [("8192", "warn"), ("1048576", "ok"), (None, "fail")])
def test_the_inotify_limits(
    house: House, tmp_path: Path, watches: str | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "INOTIFY", tmp_path)
    house.configure(watch={"mode": "inotify"})
    if watches:
        (tmp_path / "max_user_watches").write_text(watches)
        (tmp_path / "max_user_instances").write_text("128")
    findings = list(machine.check_inotify(house.settings))
    assert [finding.level for finding in findings] == [level]
    if level == "warn":
        assert "sysctl -w fs.inotify.max_user_watches=1048576" in (findings[0].remedy or "")


def test_a_damaged_database(house: House) -> None:
    house.store.close()
    for path in house.settings.state_dir.glob("meshdrop.db*"):
        path.write_bytes(b"not a database " * 1000)
    (finding,) = found(house, "database")
    assert finding.level == "fail"
    assert finding.remedy


def test_a_clock_that_was_put_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    house.store.admit([house.new("shoe")])
    monkeypatch.setattr("daemon.clock.SystemClock.now", lambda self: datetime(2020, 1, 1, tzinfo=UTC))
    assert worst(found(house, "clock")) == "warn"


def test_an_old_python_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.9.2")
    assert [finding.level for finding in machine.check_python()] == ["fail"]


def test_packages_that_are_missing_or_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a distribution of the same name that is found first, and wants more."""
    facts = tmp_path / "meshdrop-9.dist-info" / "METADATA"
    facts.parent.mkdir()
    wanted = ["no-such-package>=1", "rich>=999", "typer>=0.12", 'usd-core>=24.5; extra == "usdz"']
    facts.write_text(
        "Metadata-Version: 2.1\nName: meshdrop\nVersion: 9\n" + "".join(f"Requires-Dist: {each}\n" for each in wanted)
    )
    (tmp_path / "requirements.lock").write_text("# pinned\ntyper==0.0.1\nabsent==1  # tool\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(machine, "LOCK", tmp_path / "requirements.lock")
    missing, wrong, untested = machine.check_packages()
    assert (missing.level, missing.sentence) == ("fail", "Missing: no-such-package.")
    assert wrong.level == "fail"
    assert re.fullmatch(r"rich is \d[\d.]+, and has to be >=999\.", wrong.sentence)
    assert untested.level == "note"
    assert "typer" in untested.sentence
    assert "absent" not in untested.sentence
    assert all("make setup" in (finding.remedy or "") for finding in (missing, wrong, untested))


@pytest.mark.parametrize("step", ["no weights", "no licence", "all there"])
def test_what_reconviagen_means_for_jobs(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    weights = tmp_path / "weights"
    house.configure(models={"reconviagen": {"weights": weights, "accept_vggt_licence": step == "all there"}})
    if step != "no weights":  # eight gigabytes are not made here
        monkeypatch.setattr("engine.models.reconviagen.weights.problems", lambda file: [])
    (finding,) = found(house, "model reconviagen")
    assert str(weights) in finding.sentence or step == "no licence"
    if step == "all there":
        assert finding.level == "ok"
        return
    assert finding.level == "note"
    assert "MODEL_UNAVAILABLE" in finding.sentence
    assert "meshdrop weights list" in (finding.remedy or "")
    assert ("Of its files, 9 are not in" if step == "no weights" else "is not accepted") in finding.sentence


@pytest.mark.parametrize(("state", "level"), [(0, "ok"), (5, "note"), (-1, None)])
def test_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch, state: int, level: str | None) -> None:
    class Kernel:
        @staticmethod
        def adjtimex(facts: object) -> int:
            return state

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name, use_errno: Kernel)
    assert [finding.level for finding in machine.check_clock()] == ([level] if level else [])


def test_the_kernel_is_really_asked_for_its_clock() -> None:
    assert [finding.name for finding in machine.check_clock()] == ["clock"]


@pytest.mark.parametrize(
    ("levels", "status"), [(["ok", "note"], 0), (["ok", "warn", "note"], 1), (["fail", "warn"], 5)]
)
def test_the_exit_status_is_for_monitoring(levels: list[Any], status: int) -> None:
    assert doctor.exit_status_of([Finding("x", level, "x") for level in levels]) == status


@pytest.mark.parametrize(("device", "level"), [("auto", "note"), ("cuda", "fail"), ("cpu", "note")])
def test_no_gpu(house: House, device: str, level: str) -> None:
    house.configure(engine={"device": device})
    (finding,) = machine.check_gpu(house.settings)
    assert finding.level == level


def test_a_gpu_that_pytorch_sees(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_output", lambda command, within_s: "NVIDIA X, 550.1, 24 GiB")
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert [(finding.name, finding.level) for finding in machine.check_gpu(house.settings)] == [
        ("gpu", "ok"),
        ("numba-cuda", "note"),
    ]
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: name == "numba_cuda" or None)
    assert [(finding.name, finding.level) for finding in machine.check_gpu(house.settings)] == [
        ("gpu", "ok"),
        ("numba-cuda", "ok"),
    ]


def test_a_command_that_hangs_or_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert machine._output(["sleep", "5"], 0.05) == ""
    assert machine._output(["false"], 5) == ""
    assert machine._output(["no such command"], 5) == ""
    assert machine._output(["echo", "x"], 5) == "x"
    assert subprocess.run(["true"], check=True).returncode == 0
