"""The units as systemd reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.install.conftest import ROOT, Place

EXAMPLES = sorted((ROOT / "systemd" / "examples").glob("*.conf"))
MOST_EXPOSED = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program where it looks for one."""
    place = Place(tmp_path / "root", prefix=str(tmp_path / "prefix"))
    place.files()
    program = tmp_path / "prefix" / "bin" / "meshdrop"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    documents = tmp_path / "prefix" / "share" / "doc" / "meshdrop"
    shutil.copytree(place.path(str(documents)), documents)
    return place.path("/etc/systemd/system/meshdrop.service")


def analyze(*arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, *EXAMPLES], ids=lambda path: path.stem if path else "none")
def test_systemd_has_nothing_to_say(unit: Path, drop_in: Path | None) -> None:
    if drop_in:
        shutil.copy(drop_in, unit.with_name("meshdrop.service.d"))
    said = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert "meshdrop" not in said


@needs_systemd
def test_a_mistake_in_the_unit_is_noticed(unit: Path) -> None:
    (unit.with_name("meshdrop.service.d") / "wrong.conf").write_text("[Service]\nProtectSistem=strict\n")
    with pytest.raises(AssertionError, match="ProtectSistem"):
        analyze("verify", "--man=no", "--recursive-errors=no", str(unit))


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, *EXAMPLES], ids=lambda path: path.stem if path else "none")
def test_the_service_is_hardened(unit: Path, drop_in: Path | None) -> None:
    joined = unit.with_name("joined.service")  # later lines win, as those of a drop-in would
    joined.write_text(unit.read_text() + "\n" + (drop_in.read_text() if drop_in else ""))
    said = analyze("security", "--offline=true", "--no-pager", str(joined))
    level = re.search(r"exposure level for \S+ (\d+\.\d+)", said)
    assert level
    assert float(level[1]) <= MOST_EXPOSED, said


def test_the_engine_can_do_what_it_must(unit: Path) -> None:
    """Each of these breaks jobs when it is set the other way."""
    text = unit.read_text()
    for line in (
        "Type=notify",
        "KillMode=mixed",
        "MemoryDenyWriteExecute=no",
        "RestrictSUIDSGID=no",
        "PrivateUsers=no",
        "ProcSubset=all",
        "OOMPolicy=continue",
        "SystemCallFilter=@chown",
        "Environment=NUMBA_CACHE_DIR=/var/cache/meshdrop/numba",
        "CacheDirectory=meshdrop",
    ):
        assert line in text.splitlines()


def test_settings_that_are_wrong_are_not_tried_again_and_again(unit: Path) -> None:
    from config.errors import UsageError, ValidationFailed

    line = next(line for line in unit.read_text().splitlines() if line.startswith("RestartPreventExitStatus="))
    assert {int(word) for word in line.partition("=")[2].split()} == {
        UsageError.exit_status,
        ValidationFailed.exit_status,
    }
