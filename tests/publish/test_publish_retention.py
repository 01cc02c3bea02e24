"""What is deleted, and what never is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from daemon.publish.retention import apply_prune, plan_prune
from daemon.states import State
from daemon.store import Job
from tests.publish.house import House, Killed, files_in

DAY_S = 86400.0


def publish(house: House, entry: str) -> Job:
    return house.drive(house.publisher(), house.finished(entry))


def plan(house: House) -> list[str]:
    return [item.path.name for item in plan_prune(house.settings, house.store, house.clock, house.files)]


def prune(house: House) -> None:
    apply_prune(plan_prune(house.settings, house.store, house.clock, house.files), house.store, house.files)


def test_by_default_nothing_is_ever_deleted(house: House) -> None:
    publish(house, "shoe")
    house.clock.passed_s += 10_000 * DAY_S
    assert plan(house) == []
    house.publisher().step(house.clock.passed_s)
    assert (house.outbox / "shoe").exists()


def test_results_go_by_age(house: House) -> None:
    house.configure(retention={"results": "7d"})
    old = publish(house, "old")
    house.clock.passed_s += 5 * DAY_S
    publish(house, "young")
    house.clock.passed_s += 3 * DAY_S
    assert plan(house) == ["old"]
    assert (house.outbox / "old").exists(), "a plan changes nothing"
    prune(house)
    assert house.visible() == ["young", "young.latest.json"]
    assert house.store.job(old.id).result_path is None
    assert house.store.job(old.id).state is State.SUCCESS


def test_the_publisher_prunes_by_itself_where_the_settings_say_so(house: House) -> None:
    house.configure(retention={"results": "7d"})
    publish(house, "old")
    house.clock.passed_s += 8 * DAY_S
    house.publisher().step(house.clock.passed_s)
    assert house.visible() == []


def test_what_the_database_does_not_know_stays(house: House) -> None:
    house.configure(retention={"results": "1d"})
    job = publish(house, "shoe")
    shutil.copytree(house.outbox / "shoe", house.outbox / "shoe - copy")
    (house.outbox / "somebody's").mkdir()
    other = publish(house, "other")
    shutil.rmtree(house.outbox / "other")
    (house.outbox / "other").mkdir()
    (house.outbox / "other" / "mine.txt").write_text("put there later, by its name")
    house.clock.passed_s += 3 * DAY_S
    prune(house)
    assert house.visible() == ["other", "other.latest.json", "shoe - copy", "somebody's"]
    assert house.store.job(job.id).result_path is None
    assert house.store.job(other.id).result_path is not None


def test_a_link_in_its_place_is_not_followed(house: House, folder: Path) -> None:
    house.configure(retention={"results": "1d"})
    publish(house, "shoe")
    (house.outbox / "shoe").rename(folder / "elsewhere")
    (house.outbox / "shoe").symlink_to(folder / "elsewhere")
    house.clock.passed_s += 3 * DAY_S
    assert plan(house) == []


def test_the_oldest_go_until_there_is_space(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.configure(retention={"free_mb": 100})
    for entry in ("first", "second", "third"):
        publish(house, entry)
        house.clock.passed_s += 60
    size = sum(path.stat().st_size for path in files_in(house.outbox / "first").values())
    real = os.statvfs(house.outbox)
    wanted = 100 << 20

    def statvfs(path: Path) -> os.statvfs_result:
        fields = list(real)
        fields[1], fields[4] = 1, wanted - size - 1
        return os.statvfs_result(fields)

    monkeypatch.setattr(house.files, "statvfs", statvfs)
    assert plan(house) == ["first", "second"]


def test_a_result_that_answered_lately_stays(house: House) -> None:
    from daemon.publish.answers import find_answer

    house.configure(retention={"results": "7d"})
    publish(house, "shoe")
    house.clock.passed_s += 5 * DAY_S
    again = house.admit("shoe")
    made = find_answer(again, house.store, house.files)
    assert made
    house.store.transition(again.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, answered_by=made.id)
    house.drive(house.publisher(), again)
    house.clock.passed_s += 5 * DAY_S
    assert plan(house) == []
    house.clock.passed_s += 5 * DAY_S
    prune(house)
    assert house.visible() == []
    assert house.store.job(again.id).result_path is None


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_archived_bundles_go_by_age(house: House, suffix: str) -> None:
    house.configure(retention={"archived": "7d"})
    job = publish(house, f"shoe{suffix}")
    done = house.settings.inbox / "_done"
    for name in (f"shoe-{job.id}{suffix}", "not known"):
        (done / name).mkdir(parents=True)
    house.store.update(job.id, source=str(done / f"shoe-{job.id}{suffix}"))
    (house.settings.inbox / ".meshdrop").mkdir()
    house.clock.passed_s += 8 * DAY_S
    prune(house)
    assert [path.name for path in done.iterdir()] == ["not known"]
    assert (house.outbox / f"shoe{suffix}").exists()


def test_a_bundle_that_is_still_in_the_inbox_stays(house: House) -> None:
    house.configure(retention={"archived": "7d"})
    publish(house, "shoe")
    (house.settings.inbox / "shoe").mkdir()
    house.clock.passed_s += 8 * DAY_S
    assert plan(house) == []


def test_killed_while_deleting(house: House) -> None:
    house.configure(retention={"results": "7d"})
    publish(house, "old")
    house.clock.passed_s += 8 * DAY_S
    for number in range(1, 200):
        house.files.fails(number, Killed)
        try:
            prune(house)
        except Killed:
            if (house.outbox / "old").exists():  # never half of it
                assert set(files_in(house.outbox / "old")) >= set(
                    json.loads((house.outbox / "old" / "job.json").read_bytes())["files"]
                )
            continue
        break
    house.files.works()
    prune(house)
    assert house.visible() == []
