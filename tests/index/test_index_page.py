"""The page of an outbox: what stands in it, that nothing can break out of it, how large and how fast it is."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from daemon.index.page import policy
from daemon.index.rows import json_text
from daemon.names import shown
from daemon.states import State
from daemon.status.collect import collect

if TYPE_CHECKING:
    from tests.index.conftest import House

SCRIPT = (Path(__file__).parents[2] / "daemon" / "index" / "page.js").read_text()


def data_of(page: bytes) -> dict[str, Any]:
    (text,) = re.findall(rb'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    fields = re.findall(r'"(\w+)"', SCRIPT.split("const FIELDS = [")[1].split("]")[0])
    data["jobs"] = {row[0]: dict(zip(fields, row, strict=False)) for row in data["jobs"]}
    return data


def test_the_policy_lets_in_its_own_script_and_style_and_nothing_else(house: House) -> None:
    page = house.write().read_text()
    (given_policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in given_policy
    assert given_policy.startswith("default-src 'none';")
    assert not re.search(r"unsafe|https?:|\*|script-src[^;]*self", given_policy)
    assert policy("a", "b") != policy("a ", "b")
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script")


def test_most_pages_are_of_one_length(house: House) -> None:
    lengths = set()
    for number in range(20):
        house.drop(f"shoe {number}")
        lengths.add(len(house.write().read_bytes()))
    assert len(lengths) == 1
    (length,) = lengths
    assert length % (1 << 16) == 0


def test_nothing_in_the_page_is_elsewhere(house: House) -> None:
    house.finish(house.drop("shoe")[0], State.SUCCESS, "report.html", "thumbnail.webp")
    page = house.write().read_text()
    page = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//\w+\.\w+|@import|url\(", page)
    assert not re.search(r"\s(on\w+|style)=", page.split("<script")[0]), "the policy would refuse it"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_in_a_script_element_stays_there(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert "<" not in text
    assert not set(text) & set("\u2028\u2029")


@given(st.text(st.characters(), min_size=1, max_size=60))
def test_any_name_can_be_shown_in_a_script_element(name: str) -> None:
    raw = name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    text = json_text([shown(raw)]).encode("utf-8", "backslashreplace").decode()
    assert json.loads(text) == [shown(raw)]
    assert text.isprintable() or not shown(raw).isprintable()


def test_hostile_names_are_text(house: House, hostile: tuple[str, ...]) -> None:
    for job in house.drop(*hostile):
        house.finish(job, State.SUCCESS, "report.html")
    house.beat(waiting=[{"inbox": "inbox", "bundle": hostile[0], "sentence": hostile[1]}], last_error=hostile[2])
    page = house.write().read_bytes()
    data = data_of(page)
    assert sorted(job["name"] for job in data["jobs"].values()) == sorted(map(shown, hostile))
    assert data["waiting"][0]["bundle"] == hostile[0]
    assert page.count(b"<script") == 2
    assert b"<img" not in page
    plain = page.split(b'<main class="plain">')[1].split(b"</main>")[0].decode()
    for name in hostile:
        assert html.escape(shown(name)) in plain


def test_links_lead_to_the_folders_whatever_their_names(house: House) -> None:
    (job,) = house.drop("100% #1?.é")
    made = house.finish(job, State.SUCCESS, "report.html", "thumbnail.webp")
    raw = house.settings.outbox / "raw\udcff name"
    made.rename(raw)
    house.store.update(job.id, result_path=str(raw))
    (row,) = data_of(house.write().read_bytes())["jobs"].values()
    assert unquote_to_bytes(row["folder"]) == b"raw\xff name"
    (status,) = collect(house.store, house.settings, house.clock).recent
    assert status.report == f"{row['folder']}/report.html"
    assert status.thumbnail == f"{row['folder']}/thumbnail.webp"
    house.store.update(job.id, result_path="/elsewhere/shoe")
    (row,) = data_of(house.write().read_bytes())["jobs"].values()
    assert row["folder"] == 0, "a link there would lead nowhere"


def test_it_shows_what_a_result_has(house: House) -> None:
    jobs = house.drop("a", "b", "c", "d")
    house.finish(jobs[0], State.SUCCESS, "thumbnail.webp", "preview_0.png", "report.html")
    house.finish(jobs[1], State.SUCCESS, "preview_0.png")
    house.finish(jobs[2], State.FAILURE, "error.json", verdict=None, error={"code": "X", "suggestion": "Mend it."})
    rows = data_of(house.write().read_bytes())["jobs"]
    assert [rows[job.id].get("files", 0) for job in jobs] == [7, 2, 0, 0]
    assert (rows[jobs[2].id]["code"], rows[jobs[2].id]["remedy"]) == ("X", "Mend it.")
    assert rows[jobs[3].id]["place"] == 1


def test_a_row_follows_its_job(house: House) -> None:
    """Rows are kept from one time to the next: not for longer than they are true."""
    jobs = house.drop("a", "b", "c")
    places = {key: row["place"] for key, row in data_of(house.write().read_bytes())["jobs"].items()}
    assert places == {job.id: place for place, job in enumerate(jobs, 1)}
    house.store.transition(jobs[0].id, State.PROGRESS, reason="")
    house.store.progress(jobs[0].id, "texture", 0.5, 30.0)
    rows = data_of(house.write().read_bytes())["jobs"]
    assert (rows[jobs[0].id]["look"], rows[jobs[0].id]["fraction"], rows[jobs[0].id]["eta"]) == (0, 0.5, 30)
    assert [rows[job.id]["place"] for job in jobs[1:]] == [1, 2], "without a change of their own"
    assert rows[jobs[1].id]["sentence"].endswith("number 1")


def test_the_state_names_of_the_script_are_those_of_the_rows(house: House) -> None:
    jobs = house.drop(*"abcdefgh")
    store = house.store
    store.transition(jobs[0].id, State.PROGRESS, reason="")
    store.transition(jobs[1].id, State.PUBLISHING, reason="", outcome=State.SUCCESS)
    store.transition(jobs[2].id, State.HELD, reason="full", hold_code="DISK_FULL")
    house.finish(jobs[4])
    house.finish(jobs[5], verdict="warning")
    house.finish(jobs[6], State.FAILURE)
    store.transition(jobs[7].id, State.CANCELLED, reason="")
    rows = data_of(house.write().read_bytes())["jobs"]
    looks = re.findall(r"^ {0,2}(\w+): \[|, (\w+): \[", SCRIPT.split("const LOOKS = {")[1].split("};")[0], re.M)
    names = [first or second for first, second in looks]
    expected = ["work", "publish", "held", "queue", "done", "look", "failed", "cancelled"]
    assert [names[rows[job.id]["look"]] for job in jobs] == expected


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def test_five_thousand_jobs_are_small_and_quick(house: House) -> None:
    """Times are told by that of writing and reading the page's data as JSON: machines differ, and are busy at times."""
    house.fill(5000)
    first_s, taken_s = [], []
    for _ in range(3):
        house.start()
        first_s.append(seconds(house.write))
    data = data_of((house.settings.outbox / "index.html").read_bytes())
    json_s = min(seconds(lambda: json.loads(json.dumps(data))) for _ in range(5))
    for number in range(5):
        house.store.update(house.store.jobs(limit=1)[0].id, priority=number)
        house.drop(f"new {number}")
        taken_s.append(seconds(house.write))
    page = house.settings.outbox / "index.html"
    assert page.stat().st_size < 2_000_000
    assert min(taken_s) < 5 * json_s, "measured: 2.2"
    assert min(first_s) < 20 * json_s, "nothing is kept yet; measured: 6 to 7"
    data = data_of(page.read_bytes())
    assert len(data["jobs"]) == 5000
    assert data["more"] == 5
    assert sum(data["counts"].values()) == 5005


def test_it_is_no_part_of_the_start() -> None:
    names = ("jinja2", "daemon.index", "prometheus_client", "urllib.request", "daemon.webhook.event")
    program = f"import sys, daemon.service, daemon.status; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_its_parts_are_packaged() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (given_data,) = re.findall(r'^"\*" = \[(.*)\]$', text, re.M)
    for path in (Path(__file__).parents[2] / "daemon" / "index").iterdir():
        assert path.suffix in (".py", "") or f'"*{path.suffix}"' in given_data, path.name
