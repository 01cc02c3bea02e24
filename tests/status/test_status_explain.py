"""Why a bundle is where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from config.errors import UsageError
from daemon.states import State
from daemon.status.explain import explain_path
from daemon.store import Job
from tests.daemon_stand_in import make_bundle

if TYPE_CHECKING:
    from tests.status.conftest import House


def explain(house: House, path: object) -> str:
    return explain_path(str(path), house.settings, house.store)


def finished(house: House, entry: str) -> Job:
    (job,) = house.store.admit([house.new(entry)])
    house.store.transition(job.id, State.PUBLISHING, reason="made", outcome=State.SUCCESS)
    result = str(house.settings.outbox / entry)
    return house.store.transition(job.id, State.SUCCESS, reason="published", result_path=result)


def test_a_bundle_that_is_not_complete_names_its_gate(house: House) -> None:
    views = house.settings.inbox / "shoe" / "multi_views"
    views.mkdir(parents=True)
    (views / "front.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for path in (house.settings.inbox / "shoe", views / "front.png"):
        text = explain(house, path)
        assert "shoe:" in text.splitlines()[0]
        assert "-> " in text
        assert "top.png" in text


@pytest.mark.parametrize("form", ["Z:\\props\\inbox\\shoe", "/Volumes/props/inbox/shoe", "z:/PROPS/inbox/shoe"])
def test_windows_and_mac_paths(house: House, form: str) -> None:
    house.configure(paths=({"server": house.settings.inbox.parent, "windows": "Z:\\props", "mac": "/Volumes/props"},))
    job = finished(house, "shoe")
    text = explain(house, form)
    assert job.id in text
    assert "no longer in the inbox" in text
    assert "Z:\\props\\outbox\\shoe" in text


def test_results_archives_markers_and_ids_lead_to_the_job(house: House) -> None:
    job = finished(house, "shoe")
    inbox, outbox = house.settings.inbox, house.settings.outbox
    for path in (
        job.id,
        job.id[:5],
        outbox / "shoe",
        outbox / "shoe" / "mesh.glb",
        outbox / f"shoe.failed-{job.id}",
        inbox / "_done" / f"shoe-{job.id}",
        inbox / "shoe.cancel",
    ):
        text = explain(house, path)
        assert job.id in text, path
        assert "published" in text, "its history is told"


def test_a_zip(house: House) -> None:
    (house.settings.inbox / "shoe.zip").write_bytes(b"PK")
    text = explain(house, house.settings.inbox / "shoe.STATUS.txt")
    assert "shoe.zip" in text


def test_nothing_there_and_nothing_known(house: House) -> None:
    assert "nothing is known" in explain(house, house.settings.inbox / "ghost")
    assert "No job is known" in explain(house, house.settings.outbox / "ghost")


def test_a_path_elsewhere_is_refused_with_what_would_do(house: House) -> None:
    with pytest.raises(UsageError) as refused:
        explain(house, "/somewhere/else")
    assert str(house.settings.inbox) in refused.value.suggestion
    with pytest.raises(UsageError):
        explain(house, house.settings.inbox)


def test_a_complete_bundle_while_draining(house: House) -> None:
    make_bundle(house.settings.inbox / "shoe")
    assert "No new bundles" not in explain(house, house.settings.inbox / "shoe")
    house.store.set_flag("draining", True, by="ann")
    assert "No new bundles" in explain(house, house.settings.inbox / "shoe").splitlines()[0]
