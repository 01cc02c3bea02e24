"""The gate as a table: what is there, under which names and of which kinds, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from daemon.intake.completeness import Verdict
from daemon.intake.layout import IMAGE_KEYS
from daemon.intake.snapshot import Item, Snapshot
from tests.intake.gatekeeper import FOLDERS, TWELVE, Gatekeeper, file, folder, grown, snapshot, without


def test_it_names_what_is_missing() -> None:
    shot = snapshot(without("depth_renders/top.png", "depth_renders/left.png"))
    answer = Gatekeeper().look(shot, 0)
    assert answer.verdict is Verdict.WAIT
    assert answer.missing == ("depth_renders/left.png", "depth_renders/top.png")
    assert answer.sentence == "10 of 12 files; waiting for depth_renders/left.png, depth_renders/top.png."


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (FOLDERS, "0 of 12 files; waiting for the six files of multi_views and the six files of depth_renders."),
        (
            [item for item in TWELVE if not item.name.startswith("depth")],
            "6 of 12 files; waiting for depth_renders/front.png, depth_renders/back.png, depth_renders/left.png, "
            "depth_renders/right.png, depth_renders/top.png, depth_renders/bottom.png.",
        ),
        (
            [*without("multi_views/top.png"), file("multi_views/tpo.png")],
            "11 of 12 files; waiting for multi_views/top.png. multi_views/tpo.png is none of the six views: "
            "a wrong name?",
        ),
        (
            [*without("multi_views/top.png"), file("multi_views/Top.jpg")],
            "11 of 12 files; waiting for multi_views/top.png. There is multi_views/Top.jpg: please export as PNG; "
            "renaming is not enough.",
        ),
    ],
)
def test_sentences_for_incomplete_bundles(items: list[Item], sentence: str) -> None:
    assert Gatekeeper().look(snapshot(items), 0).sentence == sentence


@pytest.mark.parametrize("name", ["multi_views/top.png.part", ".syncthing.top.png.tmp", "depth_renders/~$x"])
def test_a_temporary_file_holds_the_bundle_however_long_it_is_quiet(name: str) -> None:
    keeper, shot = grown(Gatekeeper()), snapshot([*TWELVE, file(name)])
    keeper.look(shot, 0)
    answer = keeper.look(shot, 600)
    assert answer.verdict is Verdict.WAIT
    assert answer.sentence == f"12 of 12 files; {name} is still being copied. If no copy is running, delete it."
    without_it = snapshot(TWELVE)
    keeper.look(without_it, 601)
    assert keeper.look(without_it, 606).verdict is Verdict.ADMIT


@pytest.mark.parametrize(
    "name", ["multi_views/._front.png", ".DS_Store", "multi_views/Thumbs.db", "depth_renders/desktop.ini", "STATUS.txt",
             "error.json", ".STATUS.txt.0a1b2c3d.tmp", "notes.txt", "multi_views/readme.md"],
)  # fmt: skip
def test_leftovers_and_other_files_do_no_harm(name: str) -> None:
    keeper, shot = grown(Gatekeeper()), snapshot([*TWELVE, file(name)])
    keeper.look(shot, 0)
    assert keeper.look(shot, 5).verdict is Verdict.ADMIT


@pytest.mark.parametrize("name", ["STATUS.txt", "error.json", ".ready", ".cancel", "Thumbs.db", "multi_views/._a"])
def test_the_daemons_own_files_markers_and_leftovers_are_no_change(name: str) -> None:
    more = snapshot([*TWELVE, file(name)]) if not name.endswith(("db", "_a")) else snapshot(TWELVE)
    assert more.fingerprint == snapshot(TWELVE).fingerprint


@pytest.mark.parametrize(
    ("changed", "is_change"),
    [
        (file("multi_views/front.png", size=1001), True),
        (file("multi_views/front.png", mtime_ns=6), True),
        (file("multi_views/front.png", ctime_ns=6), True),
        (file("multi_views/front.png"), False),
        (replace(file("multi_views/front.png"), uid=7), False),
    ],
)
def test_what_counts_as_a_change(changed: Item, is_change: bool) -> None:
    other = snapshot([*without("multi_views/front.png"), changed])
    assert (other.fingerprint != snapshot(TWELVE).fingerprint) is is_change


@pytest.mark.parametrize("twin", ["multi_views/Front.png", "multi_views/FRONT.PNG"])
def test_names_that_differ_in_case_alone_are_refused(twin: str) -> None:
    keeper, shot = grown(Gatekeeper()), snapshot([*TWELVE, file(twin)])
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    answer = keeper.look(shot, 5)
    assert answer.verdict is Verdict.REFUSE
    assert answer.error is not None
    assert answer.error.code == "INVALID_FILE_COUNT"
    assert "differ only in capitals" in answer.sentence


def test_job_files_and_folders_in_two_forms_are_refused() -> None:
    for twins in ([file("job.toml"), file("Job.TOML.txt")], [folder("Multi_Views")]):
        keeper, shot = grown(Gatekeeper()), snapshot([*TWELVE, *twins])
        keeper.look(shot, 0)
        answer = keeper.look(shot, 5)
        if twins[0].kind == "file":
            assert answer.error is not None
            assert answer.error.code == "INVALID_FILE_COUNT"
        else:
            assert "same folder name" in str([gate.sentence for gate in answer.gates])


def test_names_in_other_forms_are_taken() -> None:
    items = [folder("MULTI_VIEWS"), folder("Depth_Renders")]
    items += [file(f"MULTI_VIEWS/{key.split('/')[1].upper()}") for key in IMAGE_KEYS[:6]]
    items += [file(f"Depth_Renders/{key.split('/')[1].title()}") for key in IMAGE_KEYS[6:]]
    keeper, shot = grown(Gatekeeper()), snapshot(items)
    keeper.look(shot, 0)
    assert keeper.look(shot, 5).verdict is Verdict.ADMIT


@pytest.mark.parametrize("extra", ["multi_views/front_2.png", "depth_renders/normals.png"])
def test_extra_views_are_refused(extra: str) -> None:
    keeper, shot = grown(Gatekeeper()), snapshot([*TWELVE, file(extra)])
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    answer = keeper.look(shot, 5)
    assert answer.verdict is Verdict.REFUSE
    assert answer.error is not None
    assert answer.error.code == "INVALID_FILE_COUNT"
    assert extra in answer.sentence


def test_twelve_of_which_one_has_a_wrong_name_is_refused_in_the_end() -> None:
    keeper, shot = Gatekeeper(), snapshot([*without("multi_views/top.png"), file("multi_views/tpo.png")])
    keeper.look(shot, 0)
    assert keeper.look(shot, 599).verdict is Verdict.WAIT
    answer = keeper.look(shot, 600)
    assert answer.verdict is Verdict.REFUSE
    assert answer.sentence == "multi_views/top.png is missing. There is multi_views/tpo.png."


def test_links_devices_and_hard_links_are_refused_unopened() -> None:
    kinds = [
        Item("multi_views/top.png", "link", mode=0o120777),
        Item("multi_views/top.png", "other", mode=0o010644),
        Item("multi_views/top.png", "other", mode=0o060644),
        Item("multi_views/top.png", "other", mode=0o140644),
        Item("multi_views/top.png", "folder", mode=0o040755),
        file("multi_views/top.png", links=2),
    ]
    words = ["is a link", "is a pipe", "is a device", "is a socket", "is a folder", "is a hard link (2 names"]
    for item, word in zip(kinds, words, strict=True):
        keeper, shot = grown(Gatekeeper()), snapshot([*without("multi_views/top.png"), item])
        keeper.content = lambda *_: pytest.fail("it was asked")
        keeper.look(shot, 0)
        answer = keeper.look(shot, 5)
        assert answer.verdict is Verdict.REFUSE, word
        assert answer.error is not None
        assert answer.error.code == "INVALID_FILE_FORMAT"
        assert word in answer.sentence


def test_one_or_two_wrapping_folders_are_looked_through() -> None:
    for root in ("a", "a/b"):
        items = [folder(root), *(replace(item, name=f"{root}/{item.name}") for item in TWELVE)]
        keeper, shot = grown(Gatekeeper()), snapshot(items, root=root)
        keeper.look(shot, 0)
        assert keeper.look(shot, 5).verdict is Verdict.ADMIT


def test_an_entry_without_anything_of_a_bundle_is_left_alone() -> None:
    for items, words in (
        ([folder("a"), folder("a/multi_views"), folder("b"), folder("b/depth_renders")], "a folder of bundles (a, b)"),
        ([file("front.png"), file("back.png")], "loose"),
        ([file("notes.txt")], "holds no multi_views"),
        ([], "holds no multi_views"),
    ):
        answer = Gatekeeper().look(snapshot(items), 1e9)
        assert answer.verdict is Verdict.NOTHING
        assert not answer.recognised
        assert words in answer.sentence


@pytest.mark.parametrize(
    ("entry", "kind", "mode", "words"),
    [
        ("front.png", "file", 0o100644, "lies loose"),
        ("shoe.7z", "file", 0o100644, ".zip"),
        ("readme.txt", "file", 0o100644, "is not a bundle"),
        ("shoe", "link", 0o120777, "is a link"),
        ("shoe", "other", 0o010644, "is a pipe"),
    ],
)
def test_entries_that_are_no_bundle(entry: str, kind: Literal["file", "link", "other"], mode: int, words: str) -> None:
    shot = Snapshot(entry, kind, Item("", kind, mode=mode))
    answer = Gatekeeper().look(shot, 0)
    assert answer.verdict is Verdict.NOTHING
    assert words in answer.sentence


def test_an_unreadable_file_is_waited_for_and_told_with_owner_and_mode() -> None:
    trouble = "permission denied (owner anna, mode 0600)"
    shot = snapshot([*without("multi_views/top.png"), file("multi_views/top.png", trouble=trouble)])
    keeper = grown(Gatekeeper())
    keeper.look(shot, 0)
    answer = keeper.look(shot, 1e7)
    assert answer.verdict is Verdict.WAIT
    assert answer.sentence == (
        "multi_views/top.png can't be read: permission denied (owner anna, mode 0600). "
        "Please allow reading; it goes on by itself."
    )


def test_an_unreadable_folder_is_told() -> None:
    shot = snapshot([folder("", trouble="permission denied (owner anna, mode 0700)")])
    answer = Gatekeeper().look(shot, 0)
    assert answer.verdict is Verdict.WAIT
    assert answer.recognised
    assert answer.sentence.startswith("shoe can't be read: permission denied (owner anna, mode 0700).")
