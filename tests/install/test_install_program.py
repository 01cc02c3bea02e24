"""`make install` for real: minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.conftest import ROOT, Place

SETTINGS = "/etc/meshdrop/meshdrop.toml"
TOOLS = ("pytest", "mypy", "ruff", "hypothesis")

pytestmark = pytest.mark.slow


class Installed(Place):
    """A DESTDIR with the program in it, which works there as long as its own path is not asked for."""

    def run(self, *arguments: str, status: int = 0) -> str:
        """Call the installed program, from a folder where the repository's own is not found."""
        config = self.folder / "test.toml"
        if not config.exists():
            config.write_text(
                "".join(f'{key} = "{self.folder}/{key}"\n' for key in ("inbox", "outbox", "state_dir"))
                + "run.reserve_mb = 1\n"
            )
        environment = {**os.environ, "MESHDROP_CONFIG": str(config), "NUMBA_CACHE_DIR": str(self.folder / "numba")}
        command = [str(self.path(f"{self.prefix}/venv/bin/python")), "-m", "daemon", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    before = set(ROOT.iterdir())
    place = Installed(tmp_path_factory.mktemp("installed"), BINDIR="/usr/bin", PYTHON=sys.executable)
    place.make("install")
    assert set(ROOT.iterdir()) == before  # the repository may be another user's
    return place


def test_the_program_is_there_without_the_tools_of_its_developers(installed: Installed) -> None:
    packages = installed.path("/opt/meshdrop/venv/lib")
    assert next(packages.rglob("site-packages/engine/pipeline.py"))
    assert next(packages.rglob("site-packages/daemon/status/status.schema.json"))
    for tool in TOOLS:
        assert not list(packages.glob(f"*/site-packages/{tool}"))
    assert installed.run("--version").strip().endswith("0.1.0")


def test_its_paths_are_those_of_the_machine_it_will_run_on(installed: Installed) -> None:
    assert str(installed.path("/usr/bin/meshdrop").readlink()) == "/opt/meshdrop/bin/meshdrop"
    assert str(installed.path("/opt/meshdrop/bin/meshdrop").readlink()) == "../venv/bin/meshdrop"
    assert installed.text("/opt/meshdrop/bin/meshdrop").startswith("#!/opt/meshdrop/venv/bin/python\n")
    for path in installed.path("/opt/meshdrop/venv/bin").iterdir():
        if not path.is_symlink():
            assert os.fsencode(installed.folder) not in path.read_bytes(), path
    compiled = next(installed.path("/opt/meshdrop/venv/lib").rglob("daemon/__pycache__/service.*.pyc")).read_bytes()
    assert b"/opt/meshdrop/venv/lib" in compiled
    assert os.fsencode(installed.folder) not in compiled


def test_it_makes_a_mesh_and_an_upgrade_knows_of_it(installed: Installed) -> None:
    installed.run("sample", str(installed.folder / "sample"), "--size", "512")
    bundle = installed.folder / "sample" / "bundle"
    (bundle / "job.toml").write_text('quality = "draft"\n')
    for name in ("inbox", "outbox"):
        (installed.folder / name).mkdir()
    installed.run("submit", "--start", "--name", "first", str(bundle))
    assert (installed.folder / "outbox" / "first" / "mesh.glb").stat().st_size > 10_000
    assert json.loads(installed.run("health", status=1))["status"] == "down"  # it has ended, being idle

    program = installed.path("/opt/meshdrop/venv")
    installed.path(SETTINGS).write_text('inbox = "/mnt/in"\n')
    with pytest.raises(AssertionError):
        installed.make("install", PIP_ARGS="--no-index --no-cache-dir --find-links=/nowhere --isolated")
    assert installed.run("--version").strip().endswith("0.1.0")  # one that fails changes nothing

    stale = program / "stale"
    stale.touch()
    installed.make("install")
    assert not stale.exists()
    assert installed.text(SETTINGS) == 'inbox = "/mnt/in"\n'
    assert "inbox" in installed.text(f"{SETTINGS}.new")
    assert {path.name for path in program.parent.iterdir()} == {"bin", "share", "venv"}
    installed.run("show", "first")
    shutil.rmtree(bundle)

    installed.make("uninstall")
    assert not installed.path("/opt/meshdrop").exists()
    assert not os.path.lexists(installed.path("/usr/bin/meshdrop"))
    assert Path(installed.folder / "state_dir" / "meshdrop.db").exists()
    assert installed.text(SETTINGS) == 'inbox = "/mnt/in"\n'
