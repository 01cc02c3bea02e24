"""Names of every hostile kind, in the daemon's own words and in an inbox."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.names import LONGEST_NAME_BYTES, bundle_name, safe_name, same_name, shown
from tests.intake.scene import Scene, write_bundle

_ANY_NAME = st.binary(min_size=1, max_size=255).map(os.fsdecode).filter(lambda name: name not in (".", ".."))
_HOSTILE = (
    "line\nbreak", "\udcff\udcfe", "x" * 255, "\u202egnp.exe", "-rf", "con", "NUL.txt", "a" * 64 + ".",
    "caf\u00e9", "cafe\u0301", " lead", "trail. ", "a:b", "a\\b", "\x1b[31mred", "\u200b", "\ufeffbom", "🪑", "é" * 127,
)  # fmt: skip


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(_ANY_NAME)
def test_what_is_shown_is_one_harmless_line(name: str) -> None:
    text = shown(name)
    text.encode()  # no surrogates
    assert text.isprintable() or {unicodedata.category(char) for char in text} <= {
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Cf",
    }  # fmt: skip
    assert len(text.splitlines()) <= 1
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(_ANY_NAME)
def test_what_is_made_is_a_name_everywhere(name: str) -> None:
    made = safe_name(name)
    assert made
    assert made == unicodedata.normalize("NFC", made)
    assert not set(made) & set('<>:"/\\|?*')
    assert all(ord(char) >= 32 for char in made)
    assert made not in (".", "..")
    assert not made.endswith((".", " "))
    assert not made.startswith((".", " "))
    assert len(made.encode()) + len(".failed-01234567") <= LONGEST_NAME_BYTES
    assert safe_name(made) == made


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("red-shoe", "red-shoe"), ("a:b?c", "a_b_c"), ("trail. ", "trail__"), ("con", "_con"), ("Com1.x", "_Com1.x"),
        ("cafe\u0301", "caf\u00e9"), ("..", "__"), ("\udcff", "_"), ("line\nbreak", "line_break"), ("", "_"),
        ("\u202egnp", "_gnp"), (".hidden", "_hidden"), ("console", "console"), ("LPT¹", "_LPT¹"),
    ],
)  # fmt: skip
def test_safe_names(name: str, made: str) -> None:
    assert safe_name(name) == made


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("red-shoe", "red-shoe"), ("line\nbreak", "line\\nbreak"), ("\udcff", "\\xff"), ("\u202ex", "\\u202ex"),
        ("cafe\u0301", "caf\u00e9"), ("\x1b[0m", "\\x1b[0m"), ("\u2028", "\\u2028"), ("🪑", "🪑"),
    ],
)  # fmt: skip
def test_shown_names(name: str, text: str) -> None:
    assert shown(name) == text


def test_bundle_names_and_twins() -> None:
    assert bundle_name("blue-chair.ZIP") == "blue-chair"
    assert bundle_name(".zip") == ".zip"
    assert bundle_name("a.b") == "a.b"
    assert same_name("Caf\u00e9", "CAFE\u0301")
    assert not same_name("a", "b")


def test_hostile_names_are_bundles_like_any_other(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number, name in enumerate(_HOSTILE):
        write_bundle(scene.inbox / name, number)
    write_bundle(scene.inbox / "..x")  # hidden: some program's own business
    scene.run(8)
    jobs = scene.jobs()
    assert sorted(job.entry for job in jobs) == sorted(_HOSTILE)
    scene.run(15)
    for job in jobs:
        scene.finish(job, result_path=str(scene.outbox / job.name))
    scene.run(30)
    assert set(names_in(scene.inbox)) == {".meshdrop", "_done", "..x"}
    assert len(names_in(scene.inbox / "_done")) == len(_HOSTILE)
    assert names_in(tmp_path) == ["inbox", "outbox", "state"]
    scene.store.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(min_size=1, max_size=80).filter(
        lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
    )
)
def test_no_name_stops_the_others(tmp_path: Path, name: bytes) -> None:
    base = tmp_path / str(len(names_in(tmp_path)))
    base.mkdir()
    scene = Scene(base)
    raw = os.fsdecode(name)
    try:
        write_bundle(scene.inbox / raw / "x")
        write_bundle(scene.inbox / "good", 5)
        scene.run(8)
        assert "good" in {job.entry for job in scene.jobs()}
        scene.intake.explain(raw)
        assert all(waiting.as_json()["bundle"].encode() for waiting in scene.intake.waiting())
    finally:
        scene.store.close()
