"""Commands where no daemon runs: they see the same store, and what they ask for is done by the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.states import State
from tests.intake.scene import Scene, write_bundle


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    lines = [f'{key} = "{getattr(made.settings, key)}"' for key in ("inbox", "outbox", "state_dir")]
    (tmp_path / "meshdrop.toml").write_text("\n".join([*lines, "limits.min_size_px = 16"]) + "\n")
    yield made
    made.store.close()


def meshdrop(scene: Scene, *arguments: object) -> Result:
    config = str(scene.folder / "meshdrop.toml")
    return CliRunner().invoke(app, [*(str(each) for each in arguments), "--config", config])


def waiting(scene: Scene) -> str:
    write_bundle(scene.inbox / "shoe")
    scene.run(8)
    return scene.job("shoe").id


def test_cancel_asks_once_and_a_finished_job_is_told(scene: Scene) -> None:
    job = waiting(scene)
    assert meshdrop(scene, "cancel", job[:5]).exit_code == 0
    asked = scene.store.job(job)
    assert asked.cancel_requested_at is not None
    assert (asked.cancel_by or "").endswith("(command)")
    scene.finish(asked, "CANCELLED")
    late = meshdrop(scene, "cancel", job)
    assert late.exit_code == 2
    assert "JOB_NOT_READY" in late.output
    unknown = meshdrop(scene, "cancel", "zzzzzzzz")
    assert unknown.exit_code == 2
    assert "JOB_NOT_FOUND" in unknown.output


def test_retry_is_refused_with_what_to_do(scene: Scene) -> None:
    job = waiting(scene)
    early = meshdrop(scene, "retry", job)
    assert early.exit_code == 2
    assert "has not finished" in early.output
    scene.finish(scene.store.job(job), "FAILURE", result_path="/out")
    scene.store.update(job, source=str(scene.inbox / "gone"))
    gone = meshdrop(scene, "retry", job)
    assert gone.exit_code == 2
    assert "Drop the bundle again" in gone.output
    assert len(scene.jobs()) == 1


def test_a_bundle_that_was_refused_is_mended_and_not_retried(scene: Scene) -> None:
    write_bundle(scene.inbox / "shoe", more={"multi_views/top.png": b"\xff\xd8\xff\xe0" + bytes(99)})
    scene.run(8)
    job = scene.finish(scene.job("shoe"), "FAILURE", result_path="/out")
    again = meshdrop(scene, "retry", job.id)
    assert again.exit_code == 2
    assert "taken again as soon as a file of it changes" in " ".join(again.output.split())


def test_show_gives_the_whole_history(scene: Scene) -> None:
    job = waiting(scene)
    scene.finish(scene.store.job(job), result_path="/out/shoe")
    facts = json.loads(meshdrop(scene, "show", "shoe", "--json").output)
    assert facts["job"] == job
    assert [step["to"] for step in facts["history"]] == ["PENDING", "PROGRESS", "PUBLISHING", "SUCCESS"]
    assert len(facts["inputs"]) == 12
    assert job in meshdrop(scene, "show", job).output


def test_flags_are_kept_for_the_next_daemon(scene: Scene) -> None:
    assert meshdrop(scene, "pause").exit_code == 0
    assert meshdrop(scene, "drain").exit_code == 0
    assert scene.store.flag("paused")
    assert scene.store.flag("draining")
    assert waiting_not(scene)
    assert meshdrop(scene, "resume").exit_code == 0
    assert not scene.store.flag("paused")
    scene.run(10)
    assert scene.job("shoe").state is State.PENDING


def waiting_not(scene: Scene) -> bool:
    """A drained inbox takes nothing."""
    write_bundle(scene.inbox / "shoe")
    scene.run(30)
    return not scene.jobs()


def test_prune_says_what_it_would_delete_and_deletes_only_when_told(scene: Scene) -> None:
    job = waiting(scene)
    scene.finish(scene.store.job(job))
    scene.run(5)
    archived = scene.inbox / "_done" / f"shoe-{job}"
    assert archived.is_dir()
    assert "Nothing to delete" in meshdrop(scene, "prune").output
    planned = meshdrop(scene, "prune", "--older-than", "1h")
    assert str(archived) in planned.output.replace("\n", "")
    assert archived.is_dir()
    mine = scene.inbox / "_done" / "mine"
    mine.mkdir()
    assert meshdrop(scene, "prune", "--older-than", "1h", "--yes").exit_code == 0
    assert not archived.exists()
    assert mine.is_dir()


def test_submit_refuses_what_is_no_bundle_and_what_is_taken(scene: Scene) -> None:
    (scene.folder / "notes.txt").write_text("milk")
    assert meshdrop(scene, "submit", scene.folder / "notes.txt").exit_code == 2
    assert meshdrop(scene, "submit", scene.folder / "nothing").exit_code == 2
    made = write_bundle(scene.folder / "made")
    assert meshdrop(scene, "submit", made, "--name", "../out").exit_code == 2
    assert meshdrop(scene, "submit", made, "--inbox", "other").exit_code == 2
    assert meshdrop(scene, "submit", made, "--name", "shoe", "--force").exit_code == 0
    assert meshdrop(scene, "submit", made, "--name", "shoe").exit_code == 2
    scene.run(8)
    assert scene.job("shoe").options["force"] is True
    assert not (scene.inbox / "shoe" / ".redo").exists()


def test_a_daemon_that_can_not_run_is_not_waited_for(tmp_path: Path) -> None:
    """`submit --start` starts one; it ends at once, on a database that is damaged."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "meshdrop.db").write_bytes(b"not a database " * 1000)
    (tmp_path / "inbox").mkdir()
    write_bundle(tmp_path / "shoe")
    keys = {"inbox": "inbox", "outbox": "outbox", "state_dir": "state"}
    config = tmp_path / "meshdrop.toml"
    config.write_text("".join(f'{key} = "{tmp_path / folder}"\n' for key, folder in keys.items()))
    done = CliRunner().invoke(app, ["submit", "--start", str(tmp_path / "shoe"), "--config", str(config)])
    assert done.exit_code == 4, done.output
    assert "The daemon that was started has ended (exit status 4), and shoe is not finished." in done.output
    assert str(tmp_path / "state" / "run.log") in done.output.replace("\n", "")
    assert "is damaged" in (tmp_path / "state" / "run.log").read_text()
