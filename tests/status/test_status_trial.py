"""The self-test of `meshdrop doctor`: it passes where jobs do, and says what is wrong where they don't."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import structlog

from config.sections import Settings
from daemon.commands.common import quiet
from daemon.locks import FileLock, gpu_lock_path
from daemon.runner import gpu
from daemon.status import trial
from daemon.status.findings import Finding
from daemon.status.trial import self_test
from tests.daemon_stand_in import ROOT


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Where the stand-ins are found; and temporary folders of its own, so that what is left can be seen."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with quiet(logging.CRITICAL):
        yield
    assert list(tmp_path.iterdir()) == []
    structlog.reset_defaults()


def tried(kind: str, within_s: float = 30.0) -> Finding:
    (finding,) = self_test(Settings(), (sys.executable, "-m", "tests.status.bad_worker", kind), within_s)
    return finding


@pytest.mark.ci
def test_a_mesh_is_really_made() -> None:
    (finding,) = self_test(Settings())
    assert finding.level == "ok", finding
    found = re.search(r"\((\d+) faces, PSNR (\d+\.\d) dB, in \d+ s\)", finding.sentence)
    assert found
    assert 3000 <= int(found[1]) <= 4000
    assert float(found[2]) > 30


def bad_workers_of(pid: int) -> list[psutil.Process]:
    """The trial's worker, once it runs."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            found += [child] if "tests.status.bad_worker" in child.cmdline() else []
    return found


ENDED = """
import sys
from functools import partial
import daemon.status.doctor as doctor
from daemon.cli import main
doctor.self_test = partial(doctor.self_test, command=(sys.executable, "-m", "tests.status.bad_worker", "hangs"))
sys.argv = ["meshdrop", "doctor", "--config", sys.argv[1]]
main()
"""


def test_a_doctor_that_is_ended_leaves_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path_factory.mktemp("settings") / "meshdrop.toml"
    config.write_text("\n".join(f'{name} = "{name}"' for name in ("inbox", "outbox", "state_dir")))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ENDED, str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            until_s = time.monotonic() + 60
            # other children ask the shares, before the trial has its folder and its worker
            while not (worker := bad_workers_of(process.pid)) or not [*tmp_path.glob("meshdrop-doctor-*")]:
                assert process.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.05)
            process.terminate()  # as `timeout` does
            assert process.wait(20) == 128 + signal.SIGTERM
            assert psutil.wait_procs(worker, 10)[1] == []
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("fails", "No mesh came of a small sample: The engine failed: ValueError: no kernel."),
        ("dies", "The process that runs jobs died (exit status 7): a library that is missing."),
        ("poor", "looks wrong: at least 25 dB (4000 faces, PSNR 12.0 dB"),
        ("open", "is not closed (4000 faces, PSNR 40.0 dB"),
    ],
)
def test_what_is_wrong_is_said(kind: str, sentence: str) -> None:
    finding = tried(kind)
    assert finding.level == "fail"
    assert sentence in finding.sentence
    assert "Install the program anew" in (finding.remedy or "")


def test_it_ends_in_time_and_leaves_no_process() -> None:
    finding = tried("hangs", within_s=3.0)
    assert finding.level == "fail"
    assert "after 3 s" in finding.sentence
    assert finding.remedy
    assert not [child for child in psutil.Process().children(recursive=True) if "bad_worker" in child.cmdline()]


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    finding = tried("fails")
    assert finding.level == "fail"
    assert "/no/such/folder" in finding.sentence
    assert "TMPDIR" in (finding.remedy or "")


def test_a_process_that_cannot_be_started() -> None:
    (finding,) = self_test(Settings(), ("/no/such/program",))
    assert finding.level == "fail"
    assert "/no/such/program" in finding.sentence


@pytest.mark.parametrize(("device", "level"), [("cuda", "note"), ("auto", "fail")])
def test_a_gpu_that_a_daemon_uses_is_left_to_it(device: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that need it are not tried; others are, on the CPU."""
    name = f"GPU-test-{os.getpid()}"
    monkeypatch.setattr(gpu, "first_gpu", lambda driver, environment: name)
    settings = Settings.model_validate({"engine": {"device": device}})
    seen: list[str] = []
    real = trial._try

    def look(folder: Path, engine: object, *rest: object) -> Finding:
        seen.append(getattr(engine, "device", ""))
        return real(folder, engine, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trial, "_try", look)
    lock = gpu_lock_path(name)
    try:
        with FileLock(lock):
            (finding,) = self_test(settings, (sys.executable, "-m", "tests.status.bad_worker", "fails"), 30.0)
        assert finding.level == level
        assert seen == ([] if device == "cuda" else ["cpu"])
        if device == "cuda":
            assert "in use by" in finding.sentence
    finally:
        lock.unlink()
