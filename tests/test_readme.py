"""A newcomer's way: the README's commands, run in a fresh copy of the repository, and the page that they lead to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.browser import ROOT, browser, window

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WITHIN_S: Final = 600
README: Final = (ROOT / "README.md").read_text()


class Copy:
    """The files that git knows, with the packages that are installed here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
        for name in ("requirements.lock", "pyproject.toml"):  # they are installed: nothing is to be done for them
            os.utime(folder / name, (0, 0))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHDROP")}
        # Whatever happens, the packages here stay as they are.
        self.environment = kept | {"PYTHONPATH": str(folder), "PIP_DRY_RUN": "1"}

    def run(self, command: str) -> str:
        """Give a shell a command; what it printed."""
        print(f"$ {command}", flush=True)
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        print(done.stdout + done.stderr, flush=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("newcomer") / "meshdrop")


def _commands(heading: str) -> list[str]:
    """The commands of a section's fences, without their comments."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)).splitlines()
    return [line.split("  #")[0].strip() for line in lines]


def test_the_first_command_leads_to_a_mesh_in_a_browser(copy: Copy) -> None:
    first = _commands("Try it")[0]
    assert first.startswith("make run")
    said = copy.run(first)
    (report,) = re.findall(r"^(/\S+/report\.html)$", said, re.M)
    (mesh,) = re.findall(r"^(/\S+/mesh\.glb)$", said, re.M)
    assert Path(report).is_relative_to(copy.folder / "outbox")
    assert Path(mesh).read_bytes()[:4] == b"glTF"
    with browser() as program, window(program) as at:
        at.open(Path(report))
        at.page.wait_for_selector("#viewer.drawn", timeout=60_000)
        assert "Normal" in at.page.locator(".badge").inner_text()
        at.check()
        at.open(copy.folder / "outbox" / "index.html")
        at.page.get_by_role("link", name=re.compile("Report of sample-")).click()
        at.page.wait_for_selector("#viewer.drawn", timeout=60_000)
        at.check()


def test_the_other_commands_do_what_is_said_of_them(copy: Copy) -> None:
    """`make serve` in one terminal, the rest in another, with a bundle that `meshdrop sample` has made."""
    commands = _commands("Try it")
    assert "meshdrop sample DIR" in README
    copy.run(".venv/bin/meshdrop sample made --size 512")
    served = subprocess.Popen(
        ["make", "serve"], cwd=copy.folder, env=copy.environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        _until(copy, lambda said: "The daemon is running" in said)
        for command in commands[1:]:
            # what is watched on a terminal goes on until Ctrl-C
            ours = command.replace("path/to/red-shoe", "made/bundle").replace(" --watch", "")
            copy.run(ours.replace("path/to/bundle path/to/result", "made/bundle made/result --quality draft"))
        _until(copy, lambda said: re.search(r"bundle +SUCCESS", said) is not None)
        assert (copy.folder / "outbox" / "bundle" / "report.html").exists()
        assert (copy.folder / "made" / "result" / "report.html").exists()
    finally:
        os.killpg(served.pid, signal.SIGINT)
        served.wait(30)


def _until(copy: Copy, holds: Callable[[str], bool]) -> None:
    """Ask for the status until it says what is waited for."""
    end_s = time.monotonic() + WITHIN_S
    while not holds(said := copy.run(".venv/bin/meshdrop status")):
        assert time.monotonic() < end_s, said
        time.sleep(1)
