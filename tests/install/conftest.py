"""`make install` into a folder, without and with the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Place:
    """A DESTDIR."""

    def __init__(self, folder: Path, prefix: str = "/opt/meshdrop", **variables: str) -> None:
        self.folder, self.prefix, self.variables = folder, prefix, variables

    def make(self, target: str, **variables: str) -> str:
        """Call make; what it printed."""
        given = {"DESTDIR": str(self.folder), "PREFIX": self.prefix, **self.variables, **variables}
        return self._run(["make", "--silent", target, *(f"{key}={value}" for key, value in given.items())])

    def files(self, **variables: str) -> str:
        """All but the program: seconds less."""
        given = {"DESTDIR": str(self.folder), "PREFIX": self.prefix, **self.variables, **variables}
        return self._run(
            ["env", *(f"{key}={value}" for key, value in given.items()), "sh", "systemd/install.sh", "files"]
        )

    def path(self, absolute: str) -> Path:
        """Where a path of the installed system lies now."""
        return self.folder / absolute.removeprefix("/")

    def text(self, absolute: str) -> str:
        """What stands in it."""
        return self.path(absolute).read_text()

    def all_files(self) -> set[str]:
        """Every file and link, as the installed system will call them."""
        return {
            f"/{path.relative_to(self.folder)}"
            for path in self.folder.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    @staticmethod
    def _run(command: list[str]) -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "destdir")
