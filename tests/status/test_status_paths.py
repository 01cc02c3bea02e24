"""Paths as people know them, both ways."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sections import PathNames, Settings
from daemon.paths import server_path, shown_path

SETTINGS = Settings(
    paths=(
        PathNames(server=Path("/srv/props"), windows="Z:\\props", mac="/Volumes/props"),
        PathNames(server=Path("/srv/props/deep"), windows="\\\\nas\\deep"),
        PathNames(server=Path("/srv/mac"), mac="/Volumes/mac"),
    )
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/srv/props/inbox/red shoe", "Z:\\props\\inbox\\red shoe or /Volumes/props/inbox/red shoe"),
        ("/srv/props", "Z:\\props or /Volumes/props"),
        ("/srv/props/deep/x", "\\\\nas\\deep\\x"),
        ("/srv/mac/x", "/Volumes/mac/x"),
        ("/srv/propsx/y", "/srv/propsx/y"),
        ("/srv/props/a\n\udcff", "Z:\\props\\a\\n\\xff or /Volumes/props/a\\n\\xff"),
    ],
)
def test_people_see_their_names(path: str, text: str) -> None:
    assert shown_path(path, SETTINGS) == text


@pytest.mark.parametrize(
    "text",
    [
        "/srv/props/inbox/shoe",
        "Z:\\props\\inbox\\shoe",
        '"Z:\\props\\inbox\\shoe"',
        "z:/PROPS/inbox/shoe",
        "Z:\\props\\inbox\\shoe\\",
        "/Volumes/props/inbox/shoe",
        "/volumes/Props/inbox/shoe/",
        "file:///Volumes/props/inbox/shoe",
        "file:///Z:/props/inbox/shoe",
        "inbox/shoe",
        "./inbox/shoe",
    ],
)
def test_every_form_is_understood(text: str) -> None:
    assert server_path(text, SETTINGS, Path("/srv/props")) == Path("/srv/props/inbox/shoe")


@pytest.mark.parametrize("text", ["\\\\nas\\deep\\x", "//nas/deep/x", "\\\\NAS\\Deep\\x"])
def test_a_share_without_a_letter(text: str) -> None:
    assert server_path(text, SETTINGS, Path("/")) == Path("/srv/props/deep/x")


@pytest.mark.parametrize("text", ["/Volumes/propsx/y", "/elsewhere/y"])
def test_other_paths_stay_what_they_are(text: str) -> None:
    assert server_path(text, SETTINGS, Path("/")) == Path(text)


names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(st.lists(names, min_size=1, max_size=4))
def test_there_and_back(parts: list[str]) -> None:
    path = Path("/srv/props/in", *parts)
    windows, _, mac = shown_path(path, SETTINGS).partition(" or ")
    assert PureWindowsPath(windows).drive == "Z:"
    assert server_path(windows, SETTINGS, Path("/")) == path
    assert server_path(mac, SETTINGS, Path("/")) == path
