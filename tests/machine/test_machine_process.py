"""A process is told from every other one, before and after."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

from daemon.process import ProcessIdentity, start_of, this_process


def test_this_process_is_alive() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert me.alive
    assert ProcessIdentity.from_json(me.as_json()) == me


def test_a_pid_that_went_to_another_process_is_not_the_same() -> None:
    me = this_process()
    assert not replace(me, started="1").alive
    assert not replace(me, boot="another").alive
    assert not replace(me, host="another").alive
    assert not ProcessIdentity.from_json({}).alive


def test_a_process_that_ended_is_not_alive_not_even_as_a_zombie() -> None:
    child = subprocess.Popen(["sleep", "30"])
    identity = replace(this_process(), pid=child.pid, started=start_of(child.pid) or "")
    assert identity.alive
    child.kill()
    while start_of(child.pid) is not None:
        pass
    assert not identity.alive
    child.wait()
    assert start_of(child.pid) is None


def test_names_with_brackets_are_no_trouble() -> None:
    child = subprocess.Popen(["bash", "-c", "exec -a '(a) b)' sleep 30"])
    assert (start_of(child.pid) or "").isdigit()
    child.kill()
    child.wait()


def test_no_such_process() -> None:
    assert start_of(0) is None
    assert start_of(-1) is None
    assert start_of(2**22 + 1) is None
