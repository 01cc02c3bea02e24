"""Rules 12 to 14 and bad input, on whole daemons: names, several inboxes, paths as people know them."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.states import State
from tests.daemon_stand_in import make_bundle, make_zip, png_bytes
from tests.service.daemon_process import Daemon, until


def test_names_nobody_else_could_hold(daemon: Daemon) -> None:
    """Newline, quotes, a reserved name, 200 bytes: in the outbox as every system can hold it, told as it was."""
    long = "ü" * 120
    names = ['con.a:b"c', "line\nbreak ", long]
    daemon.start()
    for number, name in enumerate(names):
        make_bundle(daemon.folder / f"made{number}", seed=number).rename(daemon.inbox / name)
    for name in names:
        assert daemon.job(name).state is State.SUCCESS
    told = {}
    for result in daemon.results():
        facts = json.loads((daemon.outbox / result / "job.json").read_text())
        told[result] = facts["job"]["bundle"]
        assert not set(result) & set('<>:"/\\|?*\n')
        assert len(result.encode()) <= 80
        assert not result.endswith((".", " "))
        for path in (daemon.outbox / result).rglob("*"):
            assert len(str(path.relative_to(daemon.outbox))) <= 140
    assert sorted(told.values()) == sorted(['con.a:b"c', "line\\nbreak ", long])
    assert "_con.a_b_c" in told
    assert all(isinstance(json.loads(line), dict) for line in daemon.log.read_text().splitlines() if "line" in line)


def two_inboxes(daemon: Daemon) -> tuple[Path, Path]:
    """Settings for two: props keeps its bundles and needs .ready, cars goes first."""
    lines = [line for line in daemon.config.read_text().splitlines() if not line.startswith(("inbox =", "outbox ="))]
    for name, more in (
        ("props", 'finished = "keep"\nrequire_ready = true\nmax_priority = 5'),
        ("cars", "priority = 10"),
    ):
        lines += ["[[inboxes]]", f'name = "{name}"', f'path = "in-{name}"', f'outbox = "out-{name}"', *more.split("\n")]
        (daemon.folder / f"in-{name}").mkdir()
    daemon.config.write_text("\n".join(lines) + "\n")
    return daemon.folder / "in-props", daemon.folder / "in-cars"


def test_two_inboxes_with_ways_of_their_own(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    props, cars = two_inboxes(daemon)
    daemon.start()
    for number, inbox in enumerate((props, cars)):  # one name, two inboxes: two jobs
        made = make_bundle(daemon.folder / f"made{number}", seed=number, job="priority = 90\n")
        made.rename(inbox / "shoe")
    until(lambda: any(job.inbox == "cars" and job.final for job in daemon.jobs()))
    assert [job.inbox for job in daemon.jobs()] == ["cars"]
    (props / "shoe" / ".ready").touch()
    until(lambda: len(daemon.jobs()) == 2 and all(job.final for job in daemon.jobs()))
    jobs = {job.inbox: job for job in daemon.jobs()}
    assert {job.state for job in jobs.values()} == {State.SUCCESS}
    assert jobs["props"].priority == 5
    for name, job in jobs.items():
        folder = daemon.folder / f"out-{name}" / "shoe"
        assert json.loads((folder / "job.json").read_text())["job"]["id"] == job.id
    until((cars / "_done" / f"shoe-{jobs['cars'].id}").is_dir)
    status = props / "shoe" / "STATUS.txt"
    until(lambda: status.is_file() and jobs["props"].id in status.read_text())
    assert status.read_text().startswith("Finished: ")


@pytest.mark.slow
def test_paths_are_told_as_people_know_them_and_every_status_ends_alike(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(finished__then="keep", support__contact="render-help@studio.example")
    text = daemon.config.read_text()
    daemon.config.write_text(f'{text}[[paths]]\nserver = "{daemon.folder}"\nwindows = "Z:\\\\props"\n')
    daemon.start()
    make_bundle(daemon.folder / "made").rename(daemon.inbox / "shoe")
    job = daemon.job("shoe")
    status = daemon.inbox / "shoe" / "STATUS.txt"
    until(lambda: status.is_file() and job.id in status.read_text())
    lines = status.read_text().splitlines()
    assert lines[0] == "Finished: Z:\\props\\outbox\\shoe"
    assert lines[-3] == f"Job:  {job.id}"
    assert lines[-2].startswith("Time: ")
    assert lines[-1] == "Help: render-help@studio.example"


def _bad_bundles(daemon: Daemon) -> dict[str, str]:
    """Bundles that can't be taken, in the inbox: name to code."""

    def made(name: str, **changed: bytes | None) -> Path:
        folder = make_bundle(daemon.folder / "bad" / name, seed=3)
        for key, data in changed.items():
            path = folder / key.replace("__", "/").replace("_png", ".png").replace("_toml", ".toml")
            path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)
        return folder

    whole = png_bytes(256)
    made("jpeg", multi_views__top_png=b"\xff\xd8\xff\xe0" + bytes(99))
    made("cut", multi_views__top_png=whole[:-30])
    made("crc", multi_views__top_png=whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    made("wide", multi_views__top_png=png_bytes(256, seed=1)[:16] + (300).to_bytes(4, "big") + whole[20:])
    made("sizes", multi_views__top_png=png_bytes(512))
    made("extra", multi_views__seventh_png=whole)
    made("keys", job_toml=b"qualty = 'high'\n")
    (made("link", multi_views__top_png=None) / "multi_views" / "top.png").symlink_to("/etc/passwd")
    os.mkfifo(made("fifo", depth_renders__top_png=None) / "depth_renders" / "top.png")
    for folder in (daemon.folder / "bad").iterdir():
        folder.rename(daemon.inbox / folder.name)
    with zipfile.ZipFile(make_zip(daemon.folder / "slip.zip"), "a") as archive:
        archive.writestr("../../slipped.png", whole)
    with zipfile.ZipFile(make_zip(daemon.folder / "linked.zip"), "a") as archive:
        entry = zipfile.ZipInfo("multi_views/more")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with zipfile.ZipFile(daemon.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("multi_views", "depth_renders"):
            for view in ("front", "back", "left", "right", "top", "bottom"):
                archive.writestr(f"{part}/{view}.png", bytes(60 << 20))
    for name in ("slip.zip", "linked.zip", "bomb.zip"):
        (daemon.folder / name).rename(daemon.inbox / name)
    return {
        "jpeg": "INVALID_FILE_FORMAT",
        "cut": "INVALID_FILE_FORMAT",
        "crc": "INVALID_FILE_FORMAT",
        "wide": "INVALID_FILE_FORMAT",  # its CRC is the old one
        "sizes": "VALIDATION_FAILED",
        "extra": "INVALID_FILE_COUNT",
        "keys": "VALIDATION_FAILED",
        "link": "INVALID_FILE_FORMAT",
        "fifo": "INVALID_FILE_FORMAT",
        "slip.zip": "VALIDATION_FAILED",
        "linked.zip": "VALIDATION_FAILED",
        "bomb.zip": "FILE_TOO_LARGE",
    }


def test_bad_input_is_told_where_it_lies_and_in_the_outbox_and_the_daemon_goes_on(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(intake__unfinished_s=2.0, intake__notice_s=1.0)
    codes = _bad_bundles(daemon)
    daemon.start()
    make_bundle(daemon.folder / "made").rename(daemon.inbox / "good")
    assert daemon.job("good").state is State.SUCCESS
    for entry, code in codes.items():
        job = daemon.job(entry)
        assert (job.state, job.error and job.error["code"]) == (State.FAILURE, code), entry
        assert job.error is not None
        name = entry.removesuffix(".zip")
        for file in ("error.json", "STATUS.txt"):
            path = daemon.inbox / (f"{name}.{file}" if entry.endswith(".zip") else f"{name}/{file}")
            text = until(lambda path=path: path.is_file() and path.read_text())  # type: ignore[misc]
            assert job.error["message"][:40] in text
        told = json.loads((daemon.outbox / f"{name}.failed-{job.id}" / "error.json").read_text())
        assert told["code"] == code
        assert set(told) == {"code", "message", "details", "suggestion", "retry"}
        assert (daemon.inbox / entry).exists()
    assert not list(daemon.folder.rglob("slipped.png"))
    (daemon.inbox / "extra" / "multi_views" / "seventh.png").unlink()  # mending one file is enough
    until(lambda: daemon.job("extra", *State).state is State.SUCCESS)
    (daemon.inbox / "link" / "multi_views" / "top.png").unlink()
    (daemon.inbox / "link" / "multi_views" / "top.png").write_bytes(png_bytes(256, seed=25))
    until(lambda: daemon.job("link", *State).state is State.SUCCESS)
