"""The same content again."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from config.errors import IncompleteResults
from daemon.files import Files
from daemon.publish.answers import find_answer, verify_result
from daemon.publish.package import digest, package_result
from daemon.states import State
from daemon.store import Job
from tests.publish.house import House, Killed


@pytest.fixture
def made(house: House) -> Job:
    return house.drive(house.publisher(), house.finished())


def answered(house: House, made: Job, entry: str) -> Job:
    job = house.admit(entry)
    found = find_answer(job, house.store, house.files)
    assert found is not None
    assert found.content_key == made.content_key
    return house.store.transition(
        job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, verdict=found.verdict, answered_by=found.id
    )


def test_the_same_name_gets_no_new_folder(house: House, made: Job) -> None:
    before = house.visible()
    job = house.drive(house.publisher(), answered(house, made, "red-shoe"))
    assert job.state is State.SUCCESS
    assert job.answered_by == made.id
    assert job.result_path == made.result_path
    assert job.verdict == "normal"
    assert house.visible() == before
    assert json.loads((house.outbox / "red-shoe.latest.json").read_bytes())["job"] == job.id


def test_an_answer_in_place_answers_again(house: House, made: Job) -> None:
    house.drive(house.publisher(), answered(house, made, "red-shoe"))
    third = house.admit("blue-shoe")
    assert find_answer(third, house.store, house.files) is not None


def test_another_name_gets_its_own_complete_folder(house: House, made: Job) -> None:
    job = house.drive(house.publisher(), answered(house, made, "blue-shoe"))
    folder = house.outbox / "blue-shoe"
    assert job.result_path == str(folder)
    assert (folder / "mesh.glb").read_bytes() == (house.outbox / "red-shoe" / "mesh.glb").read_bytes()
    document = json.loads((folder / "job.json").read_bytes())
    assert document["name"] == "blue-shoe"
    assert document["job"]["id"] == job.id
    assert document["job"]["answered_by"] == made.id
    assert sorted(path.name for path in folder.glob("*.zip")) == ["blue-shoe.zip"]
    with zipfile.ZipFile(folder / "blue-shoe.zip") as archive:
        assert json.loads(archive.read("job.json"))["job"]["id"] == job.id
    assert verify_result(job, house.files)


def test_folders_of_a_result_come_along(house: House, made: Job) -> None:
    house.drive(house.publisher(), answered(house, made, "blue-shoe"))
    first, second = (house.outbox / name / "nvdiffrec" / "mesh.glb" for name in ("red-shoe", "blue-shoe"))
    assert second.read_bytes() == first.read_bytes()
    with zipfile.ZipFile(house.outbox / "blue-shoe" / "blue-shoe.zip") as archive:
        assert archive.read("nvdiffrec/mesh.glb") == first.read_bytes()


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "a/b/c", "/outside", "a//b", "./a", "a/"])
def test_a_name_that_leads_out_of_a_result_answers_nothing(house: House, made: Job, name: str) -> None:
    (house.outbox / "outside").write_bytes(b"x")
    assert made.manifest is not None
    assert verify_result(made, house.files)
    facts = digest(house.outbox / "outside", house.files)
    assert not verify_result(dataclasses.replace(made, manifest={**made.manifest, name: facts}), house.files)


def test_a_folder_in_a_folder_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "quality.json").write_text("{}")
    with pytest.raises(IncompleteResults, match="a/b, which is no file"):
        package_result(tmp_path, {"bundle": "x"}, None, Files())


@pytest.mark.parametrize("entry", ["red-shoe", "blue-shoe"])
def test_a_result_that_changed_after_the_look_runs(house: House, made: Job, entry: str) -> None:
    job = answered(house, made, entry)
    (Path(made.result_path or "") / "mesh.glb").write_bytes(b"edited")
    house.publisher().step(0.0)
    job = house.store.job(job.id)
    assert job.state is State.PENDING
    assert job.answered_by is None
    assert house.results_of(job) == []


def _edit(folder: Path) -> None:
    data = (folder / "mesh.glb").read_bytes()
    (folder / "mesh.glb").write_bytes(data[:-1] + b"?")  # of the same length


def _cut(folder: Path) -> None:
    (folder / "mesh.obj").write_bytes(b"")


def _remove(folder: Path) -> None:
    (folder / "preview_0.png").unlink()


def _move(folder: Path) -> None:
    folder.rename(folder.with_name("mine"))


@pytest.mark.parametrize("change", [_edit, _cut, _remove, _move])
def test_only_a_whole_result_answers(house: House, made: Job, change: object) -> None:
    assert verify_result(made, house.files)
    assert callable(change)
    change(Path(made.result_path or ""))
    assert not verify_result(made, house.files)
    assert find_answer(house.admit("other"), house.store, house.files) is None


def test_what_people_add_does_not_matter(house: House, made: Job) -> None:
    (Path(made.result_path or "") / "notes.txt").write_text("nice")
    assert verify_result(made, house.files)


def test_force_runs(house: House, made: Job) -> None:
    job = house.admit("other")
    job = house.store.update(job.id, options={"force": True})
    assert find_answer(job, house.store, house.files) is None


def test_any_call_may_fail_while_answering(house: House, made: Job) -> None:
    """With another name: killed at the Nth call for every N, then a fresh publisher."""
    for number in range(1, 1000):
        entry = f"shoe{number}"
        job = answered(house, made, entry)
        house.files.fails(number, Killed)
        with suppress(Killed):
            house.publisher().step(house.clock.passed_s)
        hit = house.files.was_hit
        house.files.works()
        job = house.drive(house.publisher(), job)
        (folder,) = house.results_of(job)
        assert folder.name == entry
        assert verify_result(job, Files())
        assert house.steps(job).count(State.PENDING) == 1
        if not hit:
            return
    pytest.fail("it never ends")
