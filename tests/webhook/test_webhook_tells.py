"""The webhook: every end of a job is told, signed, until it is taken; nothing secret is said elsewhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import typer

from config.errors import ValidationFailed
from config.sections import Settings
from daemon.files import Files
from daemon.states import State
from daemon.webhook import Webhook, check_webhook
from daemon.webhook.event import TYPES
from daemon.webhook.post import Message, NotTaken, post
from daemon.webhook.schema import SCHEMA_FILE, event_schema
from daemon.webhook.settings import read_key
from daemon.webhook.webhook import TOLD
from tests.webhook.conftest import SECRET

if TYPE_CHECKING:
    from tests.webhook.conftest import House, Receiver


def succeed(house: House, name: str = "shoe") -> str:
    job = house.drop(name)
    house.store.transition(job.id, State.PROGRESS, reason="")
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.SUCCESS, verdict="warning")
    house.store.transition(job.id, State.SUCCESS, reason="done", result_path=str(house.settings.outbox / "safe"))
    return job.id


def test_each_step_that_is_told_has_a_type() -> None:
    assert set(TYPES) == TOLD


def test_an_example_of_the_specification() -> None:
    """From https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    key = base64.b64decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    message = Message(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, b'{"email":"test@example.com","username":"test_user"}'
    )
    assert message.signature(key) == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="


def test_an_end_is_told_and_signed(house: House, receiver: Receiver) -> None:
    job = succeed(house)
    house.run(10)
    ((headers, body, path),) = receiver.got
    assert path == "/hooks/secret-path"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(int(house.clock.now().timestamp()) - 10)
    assert headers["content-type"] == "application/json"
    event = json.loads(body)
    jsonschema.validate(event, json.loads(SCHEMA_FILE.read_bytes()))
    assert (event["type"], event["data"]["job"], event["data"]["verdict"]) == ("job.finished", job, "warning")
    assert event["data"]["result"] == str(house.settings.outbox / "safe")
    assert house.store.deliveries() == []


def test_each_kind_of_end(house: House, receiver: Receiver) -> None:
    error = {"code": "X", "message": "No.", "details": {}, "suggestion": "Mend it.", "retry": False}
    jobs = [house.drop(name) for name in ("a", "b\udcff\n", "c")]
    house.store.transition(jobs[0].id, State.PUBLISHING, reason="", outcome=State.FAILURE, error=error)
    house.store.transition(jobs[0].id, State.FAILURE, reason="refused")
    house.store.transition(jobs[1].id, State.CANCELLED, reason="asked", by="tom\udc80", cancel_by="tom")
    house.store.transition(jobs[2].id, State.HELD, reason="The disk is full.", hold_code="DISK_FULL")
    house.run(10)
    events = receiver.events()
    for event in events:
        jsonschema.validate(event, event_schema())
    assert [event["type"] for event in events] == ["job.failed", "job.cancelled", "job.held"]
    assert events[0]["data"]["error"] == error
    assert events[1]["data"]["bundle"] == "b\\xff\\n"
    assert events[2]["data"]["sentence"] == "The disk is full."


def test_an_error_that_holds_bytes_of_a_name_is_told(house: House, receiver: Receiver) -> None:
    job = house.drop("shoe")
    error = {
        "code": "X",
        "message": "No \udcff.",
        "details": {"\udcff": ["\ud800", 1]},
        "suggestion": "",
        "retry": False,
    }
    house.store.transition(job.id, State.PUBLISHING, reason="", outcome=State.FAILURE, error=error)
    house.store.transition(job.id, State.FAILURE, reason="refused")
    house.run(10)
    assert receiver.events()[0]["data"]["error"]["message"] == "No \\udcff."


def test_a_refusal_is_tried_again_with_the_same_id(house: House, receiver: Receiver) -> None:
    receiver.answers[:] = [500, 429, 200]
    succeed(house)
    house.run(60)
    ids = {headers["webhook-id"] for headers, _, _ in receiver.got}
    assert (len(receiver.got), len(ids)) == (3, 1)
    times = [int(headers["webhook-timestamp"]) for headers, _, _ in receiver.got]
    assert [after - before for before, after in pairwise(times)] == [5, 10]
    assert house.store.deliveries() == []


def test_it_is_given_up_at_last_and_said(house: House, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.answers[:] = [404]
    succeed(house)
    house.run(600)
    assert len(receiver.got) == house.settings.webhook.attempts
    assert house.store.deliveries() == []
    assert capsys.readouterr().out.count("webhook.given_up") == 1


def test_one_that_is_refused_holds_no_other_up(house: House, receiver: Receiver) -> None:
    receiver.answers[:] = [500, 200]
    first, second = succeed(house, "a"), succeed(house, "b")
    house.run(2)
    assert [event["data"]["job"] for event in receiver.events()] == [first, second]
    house.run(10)
    assert [event["data"]["job"] for event in receiver.events()] == [first, second, first]


def test_a_receiver_that_is_silent_or_away_is_not_hammered(house: House, receiver: Receiver) -> None:
    receiver.answers[:] = ["silent"]
    for name in "abcdef":
        succeed(house, name)
    began_s = time.monotonic()
    house.step()
    assert time.monotonic() - began_s < 5
    assert house.step() > 1, "the others wait too"
    house.run(4)
    assert len(receiver.got) == 1
    receiver.free.set()
    receiver.answers[:] = [200]
    house.run(60)
    assert len({event["data"]["job"] for event in receiver.events()}) == 6
    house.configure(url="http://127.0.0.1:9/")
    succeed(house, "z")
    house.run(3)
    assert len(house.store.deliveries()) == 1


def test_what_was_not_taken_is_told_by_the_next_daemon(house: House, receiver: Receiver) -> None:
    receiver.answers[:] = [500]
    job = succeed(house)
    house.run(3)
    (step,) = house.store.deliveries()
    assert step.attempts == 1
    other = succeed(house, "while nobody ran")
    receiver.answers[:] = [200]
    house.start()
    house.run(1)
    assert [event["data"]["job"] for event in receiver.events()] == [job, job, other]
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]
    house.start()
    house.run(10)
    assert len(receiver.got) == 3, "once taken, never again"


KILLED = """
import os, sys
from pathlib import Path
from config.sections import Settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.store import open_store
from daemon.webhook import Webhook
settings = Settings.model_validate_json(sys.argv[1], strict=False)
store = open_store(settings.state_dir, clock=SystemClock(), create=False)
store.close_delivery = lambda number: os.kill(os.getpid(), 9)  # taken, and never written down
Webhook(settings, store, SystemClock(), Files()).step(0.0)
"""


def test_a_daemon_killed_between_tells_it_once_more(house: House, receiver: Receiver) -> None:
    succeed(house)
    command = [sys.executable, "-c", KILLED, house.settings.model_dump_json()]
    done = subprocess.run(command, check=False, cwd=Path.cwd(), stdout=subprocess.DEVNULL)
    assert done.returncode == -9
    assert len(receiver.got) == 1
    house.run(3)
    (first, second) = receiver.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"]


def test_off_means_off_and_what_happened_meanwhile_is_not_told(house: House, receiver: Receiver) -> None:
    url = receiver.url
    house.configure(url="")
    succeed(house)
    house.run(20)
    house.configure(url=url)
    house.run(10)
    assert receiver.got == []
    succeed(house, "later")
    house.run(10)
    assert len(receiver.got) == 1


def test_redirects_are_not_followed(house: House, receiver: Receiver) -> None:
    for status in (301, 302, 307, 308):
        receiver.answers[:] = [status]
        receiver.got.clear()
        succeed(house, str(status))
        house.step()
        assert {path for _, _, path in receiver.got} == {"/hooks/secret-path"}
        house.run(200)
        assert {path for _, _, path in receiver.got} == {"/hooks/secret-path"}


@pytest.mark.parametrize(
    ("answer", "reachable"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", True),
        (b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", True),
        (b"HTTP/1.1 2000 Yes\r\n\r\n", False),
        (b"\x16\x03\x01", False),
        (b"", False),
    ],
)
def test_an_answer_that_is_none_is_a_no(answer: bytes, reachable: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as aside:
        aside.submit(_answer, server, [answer])
        with pytest.raises(NotTaken) as no:
            post(f"http://127.0.0.1:{server.getsockname()[1]}/x", Message("i", 1, b"{}"), b"k" * 32, 5.0)
    assert no.value.reachable is reachable


def test_a_receiver_that_drips_does_not_hold_the_thread(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as aside:
        drops = [b"HTTP/1.1 100 Continue\r\nX: ", *[b"a"] * 30]
        aside.submit(_answer, server, drops, 0.1)
        house.configure(url=f"http://127.0.0.1:{server.getsockname()[1]}/x")
        succeed(house)
        began_s = time.monotonic()
        house.step()
        assert time.monotonic() - began_s < 2, "its time-out is half a second"
    assert [step.attempts for step in house.store.deliveries()] == [1]


def _answer(server: socket.socket, parts: list[bytes], every_s: float = 0.0) -> None:
    """Take one request and answer it in these parts."""
    connected, _ = server.accept()
    with connected, suppress(OSError):
        connected.recv(65536)
        for part in parts:
            connected.sendall(part)
            time.sleep(every_s)


def test_nothing_secret_is_logged(house: House, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.answers[:] = [500, 200]
    succeed(house)
    house.run(20)
    house.configure(url="http://127.0.0.1:9/hooks/secret-path")
    succeed(house, "b")
    house.run(2)
    house.configure(secret="too short")
    house.run(2)
    said = capsys.readouterr()
    text = said.out + said.err
    assert text.count("webhook.told") == 1
    assert "webhook.unusable" in text
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "secret-path", "too short "):
        assert secret not in text
    assert SECRET not in repr(house.settings)


@pytest.mark.parametrize(
    ("url", "more", "complaint"),
    [
        ("http://example.com/x", {}, "http://"),
        ("ftp://example.com/x", {}, "https://"),
        ("example.com", {}, "https://"),
        ("https://user:pass@example.com", {}, "password"),
        ("https://[bad", {}, "no address"),
        ("https://example.com:port/", {}, "no address"),
        ("https://example..com/", {}, "no address"),
        (f"https://{'a' * 64}.com/", {}, "no address"),
        ("https://example.com/über", {}, "letter"),
        ("https://example.com/a b", {}, "space"),
        ("https://example.com/a\nb", {}, "space"),
        ("https://example.com", {"secret": ""}, "no secret"),
        ("https://example.com", {"secret": "short"}, "too short"),
        ("https://example.com", {"secret": "whsec_???"}, "base64"),
        ("http://127.0.0.1.example.com/", {}, "http://"),
        ("http://localhost.example.com/", {}, "http://"),
    ],
)
def test_settings_that_can_not_work_are_refused(url: str, more: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationFailed, match=complaint) as error:
        check_webhook(Settings.model_validate({"webhook": {"url": url, "secret": SECRET, **more}}))
    assert "pass@" not in error.value.message
    assert SECRET not in error.value.message


@pytest.mark.parametrize(
    "url", ["", "https://example.com/x", "http://localhost:1/", "http://[::1]:1/", "http://127.3.2.1/"]
)
def test_settings_that_can_work(url: str) -> None:
    check_webhook(Settings.model_validate({"webhook": {"url": url, "secret": SECRET}}))
    check_webhook(Settings.model_validate({"webhook": {"url": "http://x.org", "secret": SECRET, "allow_http": True}}))


def test_the_secret_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    settings = Settings.model_validate({"webhook": {"url": "https://x.org", "secret_file": path}})
    check_webhook(settings)
    with pytest.raises(ValidationFailed, match="can't be read"):
        read_key(settings, Files())
    path.write_text(SECRET + "\n")
    assert read_key(settings, Files()) == base64.b64decode(SECRET.removeprefix("whsec_"))
    link = tmp_path / "link"
    link.symlink_to(path)
    settings = Settings.model_validate({"webhook": {"url": "https://x.org", "secret_file": link}})
    assert read_key(settings, Files())
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(ValidationFailed, match="no text"):
        read_key(settings, Files())


def test_a_certificate_of_nobody_is_refused(house: House, receiver: Receiver, tmp_path: Path) -> None:
    """A receiver whose certificate nobody vouches for gets nothing: the handshake ends before the message."""
    import shutil
    import ssl

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    names = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*made, *names], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert receiver.server is not None
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    receiver.server.handle_error = lambda *_: None  # type: ignore[method-assign]
    house.configure(url=receiver.url.replace("http://", "https://"), timeout_s=3.0)
    succeed(house)
    house.step()
    assert receiver.got == []
    (step,) = house.store.deliveries()
    assert step.attempts == 1


def test_config_show_hides_the_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from daemon.commands.configuration import check, show

    path = tmp_path / "meshdrop.toml"
    path.write_text(f'[webhook]\nurl = "https://x.org"\nsecret = "{SECRET}"\n')
    for as_json in (False, True):
        show(as_json=as_json, config=path)
        said = capsys.readouterr().out
        assert SECRET not in said
        assert "(hidden)" in said
        assert "https://x.org" in said
    check(config=path)
    path.write_text('[webhook]\nurl = "http://x.org"\nsecret = 1234567890123456789\n')
    with pytest.raises(typer.Exit):
        check(config=path)
    assert "1234567890123456789" not in "".join(capsys.readouterr())


def test_the_secret_does_not_reach_the_worker() -> None:
    text = (Path(__file__).parents[2] / "daemon" / "runner" / "runner.py").read_text()
    assert 'model_dump(exclude={"webhook"})' in text


def test_the_schema_is_the_models_and_every_field_is_documented() -> None:
    """After a change to the model: python -m daemon.webhook.schema."""
    schema = event_schema()
    assert json.loads(SCHEMA_FILE.read_bytes()) == json.loads(json.dumps(schema))
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text().split("### A webhook", 1)[1]
    for table in (schema, *schema["$defs"].values()):
        for name, field in table["properties"].items():
            assert field.get("description"), name
            assert f"`{name}`" in text, name


def test_a_loop_of_its_own(house: House, receiver: Receiver) -> None:
    """While the receiver hangs, other rooms go on."""
    receiver.answers[:] = ["silent"]
    house.configure(timeout_s=10.0)
    succeed(house)
    thread = threading.Thread(target=Webhook(house.settings, house.store, house.clock, Files()).step, args=(0.0,))
    thread.start()
    until_s = time.monotonic() + 10
    while not receiver.got and time.monotonic() < until_s:
        time.sleep(0.01)
    began_s = time.monotonic()
    succeed(house, "b")
    assert time.monotonic() - began_s < 2, "the store is not held"
    assert thread.is_alive()
    receiver.free.set()
    thread.join(10)
