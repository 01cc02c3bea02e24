"""A lost database."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ValidationFailed
from daemon.publish.answers import find_answer
from daemon.publish.rebuild import rebuild_if_lost
from daemon.states import State
from daemon.store import DATABASE_NAME, open_store
from tests.publish.house import House


@pytest.fixture
def lost(house: House, folder: Path, database: Path) -> House:
    """The house with an outbox full of results and a new database."""
    publisher = house.publisher()
    house.drive(publisher, house.finished("good"))
    house.drive(publisher, house.finished("bad", verdict="failure", content="c2"))
    refused = house.admit("ref\udcffused", name="ref_used", error=ValidationFailed("No.").as_json(), content="c3")
    house.store.transition(refused.id, State.PUBLISHING, reason="", outcome=State.FAILURE)
    house.drive(publisher, refused)
    (folder / "new").mkdir()
    shutil.copy(database, folder / "new" / DATABASE_NAME)
    return replace(house, store=open_store(folder / "new", clock=house.clock))


def test_everything_comes_back(house: House, lost: House) -> None:
    assert rebuild_if_lost(lost.settings, lost.store, lost.files) == 3
    for before in house.store.jobs():
        after = lost.store.job(before.id)
        for field in (
            "inbox", "entry", "name", "state", "outcome", "content_key", "fingerprint", "attempt", "owner", "error",
            "manifest", "result_path", "created_at", "started_at",
        ):  # fmt: skip
            assert getattr(after, field) == getattr(before, field), field
        assert lost.store.inputs(before.id) == house.store.inputs(before.id)
    lost.store.close()


def test_what_was_made_answers(lost: House) -> None:
    rebuild_if_lost(lost.settings, lost.store, lost.files)
    again = lost.admit("another")
    answer = find_answer(again, lost.store, lost.files)
    assert answer
    assert answer.name == "good"
    lost.store.close()


def test_only_an_empty_database_is_rebuilt(lost: House) -> None:
    lost.admit("something")
    assert rebuild_if_lost(lost.settings, lost.store, lost.files) == 0
    lost.store.close()


def test_copies_and_rubbish_in_the_outbox_do_not_matter(lost: House) -> None:
    shutil.copytree(lost.outbox / "good", lost.outbox / "a copy")
    shutil.copytree(lost.outbox / "good", lost.outbox / "zz copy")
    (lost.outbox / "rubbish").mkdir()
    (lost.outbox / "rubbish" / "job.json").write_text("{")
    (lost.outbox / "rubbish2").mkdir()
    (lost.outbox / "rubbish2" / "job.json").write_text('{"job": {"id": 5}}')
    (lost.outbox / "file").write_text("")
    (lost.outbox / "link").symlink_to("/nowhere")
    assert rebuild_if_lost(lost.settings, lost.store, lost.files) == 3
    (good,) = lost.store.successes("c1")
    assert good.result_path == str(lost.outbox / "good")
    lost.store.close()


def test_an_outbox_that_is_gone_is_no_error(lost: House) -> None:
    shutil.rmtree(lost.outbox)
    assert rebuild_if_lost(lost.settings, lost.store, lost.files) == 0
    lost.store.close()
