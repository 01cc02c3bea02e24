"""What `make install` puts where, what an upgrade keeps, and what `make uninstall` leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.settings import load_settings
from tests.install.conftest import ROOT, Place

UNIT = "/etc/systemd/system/meshdrop.service"
DROP_IN = "/etc/systemd/system/meshdrop.service.d/shares.conf"
SETTINGS = "/etc/meshdrop/meshdrop.toml"
PLACEHOLDER = re.compile(r"@[A-Z]+@")


def test_everything_is_in_its_place_with_its_paths(place: Place) -> None:
    place.files()
    assert place.all_files() >= {
        UNIT,
        DROP_IN,
        SETTINGS,
        "/etc/sysusers.d/meshdrop.conf",
        "/etc/tmpfiles.d/meshdrop.conf",
        "/opt/meshdrop/share/meshdrop/examples/nvidia.conf",
        "/opt/meshdrop/share/doc/meshdrop/operations.md",
    }
    for path in place.all_files():
        if path.startswith("/etc"):
            assert not PLACEHOLDER.search(place.text(path)), path
            assert str(place.folder) not in place.text(path)
            assert place.path(path).stat().st_mode & 0o777 == 0o644
    assert "ExecStart=/opt/meshdrop/bin/meshdrop run --config /etc/meshdrop/meshdrop.toml\n" in place.text(UNIT)


def test_the_default_settings_are_right_and_fit_the_units(place: Place) -> None:
    place.files()
    settings = load_settings(place.path(SETTINGS), environment={})
    assert str(settings.inbox) == "/srv/meshdrop/inbox"
    assert str(settings.outbox) == "/srv/meshdrop/outbox"
    assert str(settings.state_dir) == "/var/lib/meshdrop"
    assert "ReadWritePaths=/srv/meshdrop\n" in place.text(DROP_IN)
    assert "StateDirectory=meshdrop\n" in place.text(UNIT)
    for folder in (settings.state_dir, settings.inbox, settings.outbox):
        assert re.search(rf"^d {folder} ", place.text("/etc/tmpfiles.d/meshdrop.conf"), re.M)


def test_an_upgrade_keeps_what_people_wrote(place: Place) -> None:
    place.files()
    assert "kept" not in place.files()  # the same again: nothing to tell, nothing beside
    assert not any(path.endswith((".new", ".part")) for path in place.all_files())
    for path in (SETTINGS, DROP_IN):
        place.path(path).write_text("# mine\n")
    place.path(UNIT).write_text("# old\n")
    said = place.files()
    for path in (SETTINGS, DROP_IN):
        assert place.text(path) == "# mine\n"
        assert f"{path}.new" in said
    assert load_settings(place.path(SETTINGS + ".new"), environment={})
    assert "ExecStart" in place.text(UNIT)


def test_uninstall_leaves_settings_and_state_alone(place: Place) -> None:
    place.files()
    others = ["/var/lib/meshdrop/meshdrop.db", "/srv/meshdrop/inbox/teapot/x.png", "/opt/meshdrop/mine"]
    others += ["/etc/systemd/system/meshdrop.service.d/nvidia.conf", "/usr/local/bin/meshdrop"]
    for path in others:
        place.path(path).parent.mkdir(parents=True, exist_ok=True)
        place.path(path).write_text("kept")
    place.make("uninstall")
    assert place.all_files() == {SETTINGS, DROP_IN, *others}
    place.path("/opt/meshdrop/mine").unlink()
    place.make("uninstall")  # twice does no harm
    assert not place.path("/opt/meshdrop").exists()


def test_other_places(place: Place) -> None:
    place.files(PREFIX="/usr/local/lib/md", SYSCONFDIR="/usr/local/etc", LOCALSTATEDIR="/data", SHAREDIR="/mnt/drop")
    unit = place.text("/usr/local/etc/systemd/system/meshdrop.service")
    assert "ExecStart=/usr/local/lib/md/bin/meshdrop run --config /usr/local/etc/meshdrop/meshdrop.toml\n" in unit
    assert "ReadWritePaths=/data/meshdrop\n" in unit
    assert "\nStateDirectory" not in unit
    settings = load_settings(place.path("/usr/local/etc/meshdrop/meshdrop.toml"), environment={})
    assert (str(settings.outbox), str(settings.state_dir)) == ("/mnt/drop/outbox", "/data/meshdrop")


@pytest.mark.parametrize("prefix", ["opt/meshdrop", "/opt/mesh drop", "/opt/$(id)"])
def test_paths_that_no_unit_can_hold_are_refused(place: Place, prefix: str) -> None:
    done = subprocess.run(
        ["sh", "systemd/install.sh", "files"],
        cwd=ROOT,
        env={**os.environ, "PREFIX": prefix, "DESTDIR": str(place.folder)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert not place.folder.exists()


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users")
def test_systemd_makes_the_user_and_the_folders(place: Place) -> None:
    place.files()
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create", "--prefix=/srv", "--prefix=/var/lib"]):
        done = subprocess.run([*command, f"--root={place.folder}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    user = next(line for line in place.text("/etc/passwd").splitlines() if line.startswith("meshdrop:")).split(":")
    assert user[5:] == ["/var/lib/meshdrop", "/usr/sbin/nologin"]
    for path, mode in (("/var/lib/meshdrop", 0o750), ("/srv/meshdrop/inbox", 0o2775), ("/srv/meshdrop/outbox", 0o2775)):
        status = place.path(path).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, int(user[2]), int(user[3]))


def test_the_lock_tells_tools_from_what_the_program_needs() -> None:
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    locked = {canonicalize_name(line.split("==")[0]): line.endswith("# tool") for line in lines}
    needed, todo = set(), ["meshdrop"]
    while todo:
        name = todo.pop()
        for text in requires(name) or []:
            requirement = Requirement(text)
            other = canonicalize_name(requirement.name)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and other not in needed and other in locked:
                needed.add(other)
                todo.append(other)
    assert {name for name, tool in locked.items() if not tool} - {"setuptools"} == needed - {"setuptools"}
    assert not locked["setuptools"]  # builds the program itself


def test_the_image_is_made_by_the_same_steps() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "sh systemd/install.sh program" in text
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for needed in (
        "systemd",
        "requirements.lock",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "config",
        "daemon",
        "engine",
    ):
        assert f"!{needed}" in ignore
    users = re.findall(r"^USER (.+)$", text, re.M)
    assert users == ["${UID}:${GID}"]
    for word in ("HEALTHCHECK", "STOPSIGNAL SIGTERM", 'CMD ["meshdrop", "health"]'):
        assert word in text


def test_the_images_settings_are_settings() -> None:
    text = (ROOT / "Dockerfile").read_text()
    given = dict(re.findall(r"(MESHDROP_\w+)=(\S+)", text))
    settings = load_settings(environment=given, folder=Path("/"), system_file=Path("/nowhere"))
    volumes = re.search(r"^VOLUME (.+)$", text, re.M)
    assert volumes
    assert len(given) == 3
    for folder in (settings.inbox, settings.outbox, settings.state_dir):
        assert f'"{folder}"' in volumes[1]
