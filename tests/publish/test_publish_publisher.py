"""What appears in the outbox: whole, once, over nothing."""

from __future__ import annotations

import errno
import json
import os
import stat
import unicodedata
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import daemon.files
from config.errors import ValidationFailed
from daemon.states import State
from tests.publish.house import BreakingFiles, House, assert_whole, files_in


def test_a_success_gets_the_plain_name(house: House) -> None:
    job = house.drive(house.publisher(), house.finished())
    assert job.state is State.SUCCESS
    assert job.result_path == str(house.outbox / "red-shoe")
    assert house.visible() == ["red-shoe", "red-shoe.latest.json"]
    assert_whole(house, house.outbox / "red-shoe", job)
    assert house.woken


def test_later_successes_get_their_id_and_failures_say_so(house: House) -> None:
    publisher = house.publisher()
    house.drive(publisher, house.finished())
    second = house.drive(publisher, house.finished())
    failed = house.drive(publisher, house.finished(verdict="failure"))
    assert failed.state is State.FAILURE
    names = ["red-shoe", f"red-shoe-{second.id}", f"red-shoe.failed-{failed.id}", "red-shoe.latest.json"]
    assert sorted(names) == house.visible()
    latest = json.loads((house.outbox / "red-shoe.latest.json").read_bytes())
    assert latest["path"] == f"red-shoe-{second.id}"
    assert latest["job"] == second.id
    assert latest["status"] == "normal"
    assert datetime.fromisoformat(latest["finished_at"]).tzinfo


def test_a_failure_never_takes_the_plain_name(house: House) -> None:
    job = house.drive(house.publisher(), house.finished(verdict="failure"))
    assert house.visible() == [f"red-shoe.failed-{job.id}"]


def _folder(path: Path) -> None:
    path.mkdir()


def _file(path: Path) -> None:
    path.write_text("mine")


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("exclusive", [True, False], ids=["renameat2", "plain rename"])
@pytest.mark.parametrize("make", [_folder, _file, _broken_link])
@pytest.mark.parametrize("name", ["köln", "KÖLN", unicodedata.normalize("NFD", "Köln")])
def test_what_is_there_in_any_form_is_taken(
    house: House, make: Any, name: str, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exclusive:
        monkeypatch.setattr(daemon.files, "_rename_exclusively", lambda *_: False)
    taken = house.outbox / name
    make(taken)
    before = os.lstat(taken)
    job = house.drive(house.publisher(), house.finished("köln"))
    assert job.result_path == str(house.outbox / f"köln-{job.id}")
    after = os.lstat(taken)
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)


@pytest.mark.parametrize("exclusive", [True, False], ids=["renameat2", "plain rename"])
def test_a_target_that_appears_at_the_last_moment_is_not_replaced(
    house: House, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rename(2) replaces an empty folder silently."""
    if not exclusive:
        monkeypatch.setattr(daemon.files, "_rename_exclusively", lambda *_: False)
    real = BreakingFiles.rename_new

    def rename_new(files: BreakingFiles, source: Path, target: Path) -> None:
        if target.name == "red-shoe":
            target.mkdir()
        real(files, source, target)

    monkeypatch.setattr(BreakingFiles, "rename_new", rename_new)
    job = house.drive(house.publisher(), house.finished())
    assert job.result_path == str(house.outbox / f"red-shoe-{job.id}")
    assert not list((house.outbox / "red-shoe").iterdir())


def test_all_its_names_may_be_taken(house: House) -> None:
    job = house.finished()
    for name in ("red-shoe", f"red-shoe-{job.id}", f"RED-SHOE-{job.id}-2"):
        (house.outbox / name).write_text("mine")
    job = house.drive(house.publisher(), job)
    assert job.result_path == str(house.outbox / f"red-shoe-{job.id}-3")


def test_two_names_that_clash_get_two_folders_and_one_latest(house: House) -> None:
    publisher = house.publisher()
    first = house.drive(publisher, house.finished("Köln"))
    second = house.drive(publisher, house.finished(unicodedata.normalize("NFD", "köLN")))
    assert first.result_path == str(house.outbox / "Köln")
    assert Path(second.result_path or "").name.endswith(second.id)
    assert [name for name in house.visible() if name.endswith(".latest.json")] == ["Köln.latest.json"]


@pytest.mark.parametrize("name", ["status.json", "Index.HTML", "red-shoe.latest.json", "._x"])
def test_the_daemons_own_names_are_not_given_away(house: House, name: str) -> None:
    job = house.drive(house.publisher(), house.finished(name))
    assert job.state is State.SUCCESS
    assert Path(job.result_path or "").name == f"{name}-{job.id}"


def test_no_path_below_the_outbox_is_over_140_bytes(house: House) -> None:
    publisher = house.publisher()
    for verdict in ("normal", "normal", "failure"):
        job = house.drive(publisher, house.finished("ü" * 32, verdict=verdict))
        assert job.state in (State.SUCCESS, State.FAILURE)
    for path in house.outbox.rglob("*"):
        assert len(os.fsencode(path.relative_to(house.outbox))) <= 140


@pytest.mark.parametrize("zipped", [True, False])
def test_the_zip_holds_all_files_and_opens(house: House, zipped: bool) -> None:
    house.configure(publish={"zip": zipped})
    job = house.admit()
    house.store.transition(job.id, State.PROGRESS, reason="its turn")
    manifest = house.spool(job, zipped=zipped)
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, manifest=manifest)
    house.drive(house.publisher(), job)
    folder = house.outbox / "red-shoe"
    assert (folder / "red-shoe.zip").exists() is zipped
    if zipped:
        with zipfile.ZipFile(folder / "red-shoe.zip") as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == {
                name: path.read_bytes() for name, path in files_in(folder).items() if name != "red-shoe.zip"
            }


def test_modes_and_group_are_the_settings_whatever_the_umask(house: House) -> None:
    import grp

    group = grp.getgrgid(os.getgroups()[0] if os.getgroups() else os.getgid()).gr_name
    house.configure(publish={"group": group})
    before = os.umask(0o077)
    try:
        house.drive(house.publisher(), house.finished())
    finally:
        os.umask(before)
    folder = house.outbox / "red-shoe"
    for made in (folder, folder / "nvdiffrec"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o2775
    for path in [*files_in(folder).values(), house.outbox / "red-shoe.latest.json"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o664
        assert path.group() == group


@pytest.mark.parametrize("group", [None, "no such group"])
def test_a_refused_mode_is_one_warning(house: House, group: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    house.configure(publish={"group": group})
    house.files.only = lambda call, path: call in ("chmod", "chown")
    house.files.fails(1, lambda: PermissionError(errno.EPERM, "not permitted"), times=1000)
    job = house.drive(house.publisher(), house.finished())
    assert job.state is State.SUCCESS
    assert house.steps(job)[-2:] == [State.PUBLISHING, State.SUCCESS]
    assert capsys.readouterr().out.count("publish.mode_refused") == 1


def test_a_refusal_is_published_from_the_store(house: House) -> None:
    error = ValidationFailed("front.png is blank.").as_json()
    job = house.admit("bad\udcff", name="bad_", error=error)
    house.store.transition(job.id, State.PUBLISHING, reason="refused", outcome=State.FAILURE)
    job = house.drive(house.publisher(), job)
    assert job.state is State.FAILURE
    folder = house.outbox / f"bad_.failed-{job.id}"
    assert json.loads((folder / "error.json").read_bytes()) == error
    facts = json.loads((folder / "job.json").read_bytes())
    assert facts["job"]["bundle"] == r"bad\xff"
    assert facts["job"]["entry"] == "bad%FF"


def test_job_json_keeps_to_its_schema(house: House) -> None:
    import jsonschema

    from engine.quality import schema

    job = house.drive(house.publisher(), house.finished())
    error = ValidationFailed("No.").as_json()
    refused = house.admit("other", error=error)
    house.store.transition(refused.id, State.PUBLISHING, reason="refused", outcome=State.FAILURE)
    refused = house.drive(house.publisher(), refused)
    for each in (job, refused):
        document = json.loads((Path(each.result_path or "") / "job.json").read_bytes())
        jsonschema.validate(document, schema("job"))
        assert document["job"]["id"] == each.id


def test_only_its_own_inboxes_jobs_are_published(house: House) -> None:
    from daemon.publish import Publisher

    job = house.finished()
    other = Publisher(house.settings, house.store, house.clock, house.files, lambda: None, inboxes={"other"})
    assert house.drive(other, job, for_s=60).state is State.PUBLISHING
