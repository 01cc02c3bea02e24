"""Rule 7: what is published is for the group to use, whoever the daemon is and whatever the share refuses."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from config.sections import Settings
from daemon.files import Files
from daemon.publish import Publisher
from daemon.roots import open_root
from daemon.states import State
from daemon.store import open_store
from tests.daemon_stand_in import make_bundle
from tests.publish.house import BreakingFiles, FakeClock, House, files_in
from tests.second_user import ANNA, DAEMON, GROUP, as_user, needs_root, reachable_folder
from tests.service.daemon_process import Daemon


@needs_root
def test_people_of_the_outboxs_group_may_use_and_remove_what_is_published() -> None:
    """The daemon is another user with a strict umask; the outbox hands its group on."""

    def daemon() -> None:
        clock = FakeClock()
        settings = Settings(inbox=folder / "inbox", outbox=folder / "outbox", state_dir=folder / "state")
        with open_store(settings.state_dir, clock=clock) as store:
            open_root(settings.outbox, "outbox", settings.state_dir, Files(), clock)
            house = House(settings, store, clock, BreakingFiles())
            job = house.finished("shoe")
            assert house.drive(Publisher(settings, store, clock, Files(), lambda: None), job).state is State.SUCCESS

    def anna() -> None:
        result = folder / "outbox" / "shoe"
        for path in (*files_in(result).values(), folder / "outbox" / "shoe.latest.json"):
            with path.open("r+b") as file:
                file.read()
        (result / "my notes.txt").write_text("mine")
        shutil.rmtree(result)

    with reachable_folder() as folder:
        outbox = folder / "outbox"
        os.chown(outbox, 0, GROUP)
        outbox.chmod(0o2775)
        as_user(DAEMON, daemon, group=GROUP, umask=0o077)
        made = [outbox / "shoe", *(outbox / "shoe").rglob("*"), outbox / "shoe.latest.json"]
        assert {path.stat().st_gid for path in made} == {GROUP}
        modes = {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()}
        assert modes == {0o664}
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o2775}
        as_user(ANNA, anna, group=GROUP)


@needs_root
def test_notices_are_for_all_to_read_whatever_the_umask() -> None:
    from tests.intake.scene import Scene, write_bundle

    def daemon() -> None:
        scene = Scene(folder)
        scene.run(15)
        scene.store.close()

    def anna() -> None:
        assert "10 of 12 files" in (folder / "inbox" / "shoe" / "STATUS.txt").read_text()
        assert "loose" in (folder / "inbox" / "STATUS.txt").read_text()

    with reachable_folder() as folder:
        shoe = write_bundle(folder / "inbox" / "shoe", without=("multi_views/top.png", "depth_renders/top.png"))
        shoe.chmod(0o777)
        (folder / "inbox" / "front.png").write_bytes(b"")
        as_user(DAEMON, daemon, umask=0o077)
        as_user(ANNA, anna)


@pytest.mark.peers
@needs_root
@pytest.mark.skipif(shutil.which("bindfs") is None, reason="needs bindfs")
def test_shares_that_refuse_modes_and_groups_get_their_results_with_one_warning(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(watch__poll_s=0.5, publish__group="daemon")
    mounts: list[Path] = []
    try:
        for share in (daemon.inbox, daemon.outbox):
            behind: Path = daemon.folder / f"{share.name}-behind"
            behind.mkdir()
            options = ["--chmod-deny", "--chown-deny", "--chgrp-deny"]
            subprocess.run(["bindfs", *options, str(behind), str(share)], check=True, timeout=20)
            mounts.append(share)
        daemon.start()
        make_bundle(daemon.folder / "inbox-behind" / "shoe")  # behind the mount: no event comes
        job = daemon.job("shoe")
        assert job.state is State.SUCCESS
        assert (daemon.folder / "outbox-behind" / "shoe" / "mesh.glb").is_file()
        warnings = [record for record in daemon.records() if record["event"] == "publish.mode_refused"]
        assert [record["job"] for record in warnings] == [job.id]
        daemon.stop()
    finally:
        daemon.close()
        for share in mounts:
            subprocess.run(["umount", "-l", str(share)], check=True, timeout=20)
