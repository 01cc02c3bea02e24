"""What people who mean harm may drop: nothing of it gets out, gets in, grows, or speaks for the daemon."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.logs import configure_logs
from daemon.states import State
from tests.daemon_stand_in.bundles import bundle_files
from tests.proof import fuzz
from tests.proof.amounts import Budget, amount, seconds, tell
from tests.proof.house import House, remove, scratch
from tests.proof.targets import CORPUS, TARGETS, is_zip, seeds

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_corpus(kind: str) -> None:
    """Everything that was ever found, and everything that is known to have broken others."""
    found = seeds(kind)
    assert len(found) > 10
    for data in found:
        TARGETS[kind](data)


def mutated(kind: str, chance: random.Random) -> bytes:
    """An input of the corpus with some of its bytes changed, cut out, doubled or taken from another."""
    every = seeds(kind)
    data = bytearray(chance.choice(every))
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at : at + 4] = struct.pack("<I", chance.choice(INTERESTING))
            case 2:
                data[at : at + 2] = struct.pack("<H", chance.choice(INTERESTING) & 0xFFFF)
            case 3:
                del data[at : at + chance.choice((1, 4, 100))]
            case 4:
                data[at:at] = data[at : at + chance.choice((4, 46, 200))]
            case 5:
                other = chance.choice(every)
                start = chance.randrange(len(other) + 1)
                data[at : at + 30] = other[start : start + chance.choice((4, 30, 300))]
            case 6:  # the fields that say where and how much
                marks = [data.find(mark) for mark in (b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04", b"IHDR", b"IDAT")]
                mark = chance.choice([m for m in marks if m >= 0] or [at])
                place = mark + chance.randrange(4, 46)
                data[place : place + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(INTERESTING))
    return bytes(data[:60000])


@pytest.mark.parametrize("kind", TARGETS)
def test_mutations_of_the_corpus(kind: str) -> None:
    """For PROOF_FUZZ_S seconds; what breaks is kept in the corpus."""
    seed = amount("seed", int(time.time()))
    budget, chance, count, whole = Budget("fuzz", 1.5), random.Random(seed), 0, 0
    while not budget.spent or count < 20:
        data = mutated(kind, chance)
        count += 1
        whole += kind == "zip" and is_zip(data)
        try:
            TARGETS[kind](data)
        except BaseException:
            (CORPUS / kind / f"found-{seed}-{count}").write_bytes(data)
            raise
    tell(
        f"fuzz_{kind}",
        add=("inputs", "seconds", *(["opened"] if whole else [])),
        inputs=count,
        seconds=round(seconds("fuzz", 1.5)),
        seed=seed,
        **({"opened": whole} if whole else {}),
    )


@pytest.mark.slow
@pytest.mark.skipif(not fuzz.is_there(), reason="needs atheris: make fuzz")
@pytest.mark.parametrize("kind", TARGETS)
def test_what_coverage_leads_to(kind: str) -> None:
    """For PROOF_GUIDED_S seconds each; what breaks is kept in the corpus."""
    code, words = fuzz.guided(kind, round(seconds("guided", 5)))
    assert code == 0, words[-5000:]


@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=600))
def test_any_bytes(kind: str, data: bytes) -> None:
    TARGETS[kind](data)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["model", "quality", "priority", "formats", "seed", "cameras", "depth", "x", "force"]),
        st.recursive(
            st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=20)),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_options(table: dict[str, Any]) -> None:
    TARGETS["job"](_toml(table).encode("utf-8", "surrogatepass"))


def _toml(table: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("e", ".0e", 1) if "e" in repr(value) and "." not in repr(value) else repr(value)
    return json.dumps(value)


# -- the whole daemon ---------------------------------------------------------------------------------------------

SECRET = b"the secret of this machine"
NAMES = (
    "<img src=x onerror=alert(1)>", "<script>alert(1)", "a\nINJECTED 1 job.state", "\x1b[31mred\x1b[0m", "\u202egnp",
    "..\\..\\up", "-rf", "$(touch owned)", "'; DROP TABLE jobs; --", "%s%n{0}", "\udcff\udcfe", "x" * 240, "CON",
    "index.html", "status.json", ".partial-abcdefgh", "shoe.latest.json", "STATUS.txt.d",
)  # fmt: skip


@pytest.mark.ci
def test_every_way_out_is_closed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Links, devices, paths in zips and job.toml; names that are markup, commands, log lines, the daemon's own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(SECRET)
    (outside / "folder").mkdir()
    configure_logs("json")
    with scratch() as folder:
        house = House(folder, failed={"stay": 3600})
        try:
            dropped = _drop_all(house, outside)
            house.begin()
            assert house.drive(lambda: house.idle(10), 400.0)
            house.drive(lambda: False, 60.0)
            house.check()
            jobs = house.jobs()
            ended = {job.entry: job for job in jobs}
            for name in NAMES:
                if name in ended:
                    assert ended[name].state is State.SUCCESS, (name, ended[name].error)
            assert len([name for name in NAMES if name in ended]) >= len(NAMES) - 3
            assert all(ended[name].state is State.FAILURE for name in dropped if name in ended)
            assert (outside / "secret.png").read_bytes() == SECRET
            assert sorted(path.name for path in outside.iterdir()) == ["folder", "secret.png"]
            assert not list((outside / "folder").iterdir())
            made = {path.name for path in folder.iterdir()}
            assert made == {"inbox", "outbox", "state"}
            for path in house.outbox.rglob("*"):
                assert not path.is_symlink()
                if path.is_file() and path.suffix != ".zip":
                    assert SECRET not in path.read_bytes()
            page = (house.outbox / "index.html").read_text()
            assert "<img src=x" not in page
            assert "<script>alert" not in page
            _look_at_log(capfd.readouterr().err)
            for notice in house.inbox.rglob("*STATUS.txt"):
                text = notice.read_text()
                assert "\x1b" not in text
                assert "\u202e" not in text
                assert "\nINJECTED" not in text
            tell("hostile_drops", dropped=len(NAMES) + len(dropped), jobs=len(jobs), refused=len(dropped), escapes=0)
        finally:
            structlog.reset_defaults()
            house.close()


def _drop_all(house: House, outside: Path) -> list[str]:
    """Everything at once; what must be refused, or never becomes a job."""
    for number, name in enumerate(NAMES):
        made = house.drop(f"made-{number}", seed=number + 50)
        made.rename(house.inbox / os.fsdecode(os.fsencode(name)))
    bad = []
    for number, name in enumerate(("link", "fifo", "socket", "hard", "paths")):
        path = house.drop(name, seed=number + 1)
        view = path / "multi_views" / "front.png"
        if name != "paths":
            view.unlink()
        if name == "link":
            view.symlink_to(outside / "secret.png")
        elif name == "fifo":
            os.mkfifo(view)
        elif name == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                here = os.getcwd()  # noqa: PTH109 - the path of a socket is short
                os.chdir(view.parent)
                server.bind("front.png")
                os.chdir(here)
        elif name == "hard":
            secret = house.state / "secret.png"
            secret.write_bytes(bundle_files()["multi_views/front.png"])
            os.link(secret, view)
        else:
            (path / "job.toml").write_text('formats = ["../../outside/folder/x"]\nmodel = "/bin/sh"\n')
        bad.append(name)
    linked = house.drop("linked-folder", seed=20)
    remove(linked / "depth_renders")
    (linked / "depth_renders").symlink_to(outside / "folder")
    bad.append("linked-folder")
    (house.inbox / "itself").symlink_to(outside)
    for number, target in enumerate(("../../outside/folder/evil", "/tmp/evil", "C:\\evil", "multi_views/../../up")):
        path = house.drop(f"slip-{number}.zip", seed=30 + number)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(target), b"evil")
        bad.append(path.name)
    path = house.drop("slip-link.zip", seed=40)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("multi_views/extra")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(outside))
    bad.append(path.name)
    return bad


def _look_at_log(text: str) -> None:
    lines = text.splitlines()
    assert len(lines) > 20
    for line in lines:
        record = json.loads(line)  # one object a line, whatever the names
        assert not record["event"].startswith("INJECTED")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_one_bundle_that_breaks_the_intake_is_its_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has thought of, in one bundle, must not stop the inbox for all."""
    from daemon.intake import intake

    real = intake.check_content

    def check(inbox: Path, snapshot: Any, *rest: Any) -> Any:
        if snapshot.entry == "evil":
            raise RecursionError("maximum recursion depth exceeded")
        return real(inbox, snapshot, *rest)

    monkeypatch.setattr(intake, "check_content", check)
    with scratch() as folder:
        house = House(folder)
        try:
            house.drop("evil")
            house.drop("shoe", seed=1)
            house.begin()
            assert house.drive(lambda: [job.state for job in house.jobs()] == [State.SUCCESS], 60.0)
            assert [loop.beat.error for loop in house.loops if loop.name.startswith("intake")] == [None]
        finally:
            house.close()


def test_one_bundle_that_breaks_the_copying_fails_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon import spool

    real = spool.take_snapshot

    def take(inbox: Path, entry: str, *rest: Any, **more: Any) -> Any:
        if entry == "evil":
            raise RuntimeError("nobody has thought of it")
        return real(inbox, entry, *rest, **more)

    with scratch() as folder:
        house = House(folder)
        try:
            monkeypatch.setattr(spool, "take_snapshot", take)
            house.drop("evil")
            house.drop("shoe", seed=1)
            house.begin()
            assert house.drive(lambda: len(house.jobs()) == 2 and all(job.final for job in house.jobs()), 60.0)
            ended = {job.entry: (job.state, (job.error or {}).get("code")) for job in house.jobs()}
            assert ended == {"evil": (State.FAILURE, "UNKNOWN_ERROR"), "shoe": (State.SUCCESS, None)}
        finally:
            house.close()


@pytest.mark.parametrize(
    ("text", "longest"),
    [("".join(f"k{number} = 1\n" for number in range(60_000)), 4000), (f"{'k' * 900_000} = 1\n", 1000)],
    ids=["many", "long"],
)
def test_a_job_file_full_of_mistakes_is_told_shortly(text: str, longest: int) -> None:
    from config.errors import ValidationFailed
    from daemon.intake.job_file import parse_job_file

    begin_s = time.process_time()
    with pytest.raises(ValidationFailed) as caught:
        parse_job_file(text.encode())
    assert len(json.dumps(caught.value.as_json())) < 2 * longest
    assert time.process_time() - begin_s < 5.0


# -- the worker ---------------------------------------------------------------------------------------------------


def test_the_worker_has_no_more_rights_than_it_needs() -> None:
    """No new privileges, by a program with set-user-ID say; no core files; the memory that the settings allow."""
    script = (
        "import os, resource, threading\n"
        "from daemon.logs import configure_logs\n"
        "from daemon.worker.server import _limit\n"
        "configure_logs('json')\n"
        "_limit(4096)\n"
        "print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_AS)[0] >> 20)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split() == ["1", "0", "4096"]
