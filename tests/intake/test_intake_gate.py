"""The gate as a table: what is there, what was seen before, how late it is, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.errors import InvalidFileFormat
from daemon.intake.completeness import Assessment, Content, Memory, Rules, Verdict, assess
from daemon.intake.layout import IMAGE_KEYS
from daemon.intake.markers import Marker
from daemon.intake.snapshot import Item, Snapshot, fingerprint_of, identity_of

RULES = Rules()


def file(name: str, size: int = 1000, mtime_ns: int = 5, ctime_ns: int = 5, **more: object) -> Item:
    return Item(name, "file", size, mtime_ns, ctime_ns, 0o100644, 1000, **more)  # type: ignore[arg-type]


def folder(name: str, **more: object) -> Item:
    return Item(name, "folder", mode=0o040755, uid=1000, **more)  # type: ignore[arg-type]


FOLDERS = [folder("multi_views"), folder("depth_renders")]
TWELVE = [*FOLDERS, *(file(key) for key in IMAGE_KEYS)]


def snapshot(items: list[Item], *, entry: str = "shoe", root: str = "", top: Item | None = None) -> Snapshot:
    ordered = tuple(sorted(items, key=lambda item: item.name))
    markers = tuple(
        Marker(item.last.lstrip("."), item.name, False, identity_of(item), item.uid)  # type: ignore[arg-type]
        for item in ordered
        if item.last.startswith(".")
    )
    return Snapshot(
        entry, "folder", top or folder("", mtime_ns=3, ctime_ns=3), root, ordered, markers, False,
        fingerprint_of(ordered, root=root),
    )  # fmt: skip


def zipped(size: int = 9000, mtime_ns: int = 5, ctime_ns: int = 5) -> Snapshot:
    top = file("", size, mtime_ns, ctime_ns)
    return Snapshot("shoe.zip", "zip", top, fingerprint=fingerprint_of((top,)))


def without(*names: str) -> list[Item]:
    return [item for item in TWELVE if item.name not in names]


def ok(shot: Snapshot, checked_s: float = 0.0) -> Content:
    return Content(shot.fingerprint, "ok", checked_s)


def bad(shot: Snapshot, outcome: str, checked_s: float = 0.0) -> Content:
    error = InvalidFileFormat("multi_views/front.png is bad.")
    return Content(shot.fingerprint, outcome, checked_s, error=error, sentence=error.message)  # type: ignore[arg-type]


class Gatekeeper:
    """Looks again and again at what it is shown; reads content when asked to, as `content` says."""

    def __init__(self, rules: Rules = RULES, memory: Memory | None = None) -> None:
        self.rules, self.memory, self.content = rules, memory or Memory(), ok

    def look(self, shot: Snapshot, now_s: float) -> Assessment:
        answer = assess(shot, self.memory, now_s, self.rules)
        if answer.verdict is Verdict.CHECK:
            self.memory = replace(answer.memory, content=self.content(shot, now_s))
            answer = assess(shot, self.memory, now_s, self.rules)
        self.memory = answer.memory
        return answer


def grown(keeper: Gatekeeper) -> Gatekeeper:
    """The first look showed less than a whole bundle, at -10 s."""
    keeper.look(snapshot([folder("multi_views")]), -10)
    return keeper


def test_a_complete_and_quiet_bundle_is_taken_and_not_a_moment_earlier() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    assert keeper.look(shot, 4.9).verdict is Verdict.WAIT
    assert keeper.look(shot, 4.9).again_s == 5.0
    assert keeper.look(shot, 5.0).verdict is Verdict.ADMIT


def test_quiet_needs_two_looks_however_late_the_first_one_is() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    assert keeper.look(shot, 1000).verdict is Verdict.WAIT


def test_polled_bundles_need_three_looks() -> None:
    keeper, shot = grown(Gatekeeper(replace(RULES, looks=3))), snapshot(TWELVE)
    keeper.look(shot, 0)
    assert keeper.look(shot, 6).verdict is Verdict.WAIT
    assert keeper.look(shot, 7).verdict is Verdict.ADMIT


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


def test_a_growing_file_begins_the_wait_anew() -> None:
    keeper = grown(Gatekeeper())
    for second in range(0, 60, 4):
        shot = snapshot([*without("multi_views/top.png"), file("multi_views/top.png", size=second)])
        assert keeper.look(shot, second).verdict is Verdict.WAIT
    assert keeper.look(shot, 61).verdict is Verdict.ADMIT


def test_ready_skips_the_wait() -> None:
    shot = snapshot([*TWELVE, file(".ready")])
    assert grown(Gatekeeper()).look(shot, 0).verdict is Verdict.ADMIT


def test_ready_never_skips_the_content_check() -> None:
    shot = snapshot([*TWELVE, file(".ready")])
    keeper = grown(Gatekeeper())
    keeper.content = lambda shot, now_s: bad(shot, "damaged", now_s)
    answer = keeper.look(shot, 0)
    assert answer.verdict is Verdict.REFUSE
    assert answer.sentence == "multi_views/front.png is bad."


def test_ready_with_files_missing_waits_a_minute() -> None:
    keeper = Gatekeeper()
    shot = snapshot([*without("multi_views/top.png"), file(".ready")])
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    assert keeper.look(shot, 59).verdict is Verdict.WAIT
    answer = keeper.look(shot, 60)
    assert answer.verdict is Verdict.REFUSE
    assert answer.error is not None
    assert answer.error.code == "INVALID_FILE_COUNT"
    assert answer.sentence == ".ready says that all files are here, but multi_views/top.png is missing."


def test_where_ready_is_required_nothing_goes_without_it() -> None:
    keeper, shot = grown(Gatekeeper(replace(RULES, require_ready=True))), snapshot(TWELVE)
    keeper.look(shot, 0)
    answer = keeper.look(shot, 1e6)
    assert answer.verdict is Verdict.WAIT
    assert ".ready" in answer.sentence
    assert keeper.look(snapshot([*TWELVE, file(".ready")]), 1e6 + 1).verdict is Verdict.ADMIT


def test_renamed_in_is_taken_at_once() -> None:
    shot = snapshot(TWELVE, top=folder("", mtime_ns=5, ctime_ns=9))
    assert Gatekeeper().look(shot, 0).verdict is Verdict.ADMIT
    assert Gatekeeper().look(zipped(mtime_ns=5, ctime_ns=9), 0).verdict is Verdict.ADMIT


def test_whole_at_first_sight_but_perhaps_written_in_place_waits_a_second() -> None:
    keeper, shot = Gatekeeper(), snapshot(TWELVE)
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    assert keeper.look(shot, 0.9).verdict is Verdict.WAIT
    assert keeper.look(shot, 1.0).verdict is Verdict.ADMIT


def test_whole_at_first_sight_and_then_changed_waits_for_quiet() -> None:
    keeper = Gatekeeper()
    keeper.look(snapshot(TWELVE), 0)
    shot = snapshot([*TWELVE, file("job.toml")])
    assert keeper.look(shot, 0.5).verdict is Verdict.WAIT
    assert keeper.look(shot, 5.4).verdict is Verdict.WAIT
    assert keeper.look(shot, 5.5).verdict is Verdict.ADMIT


def test_preallocated_waits_and_is_refused_after_a_last_look() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: bad(shot, "unfinished", now_s)
    keeper.look(shot, 0)
    for now_s in (5, 100, 300, 599):
        assert keeper.look(shot, now_s).verdict is Verdict.WAIT
    assert keeper.look(shot, 600).verdict is Verdict.REFUSE
    assert keeper.memory.content is not None
    assert keeper.memory.content.checked_s == 600


def test_preallocated_and_filled_without_a_new_time_is_found_whole_by_reading_again() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: bad(shot, "unfinished", now_s)
    keeper.look(shot, 0)
    keeper.look(shot, 5)
    keeper.content = ok
    assert keeper.look(shot, 30).verdict is Verdict.WAIT
    assert keeper.look(shot, 65).verdict is Verdict.ADMIT


def test_damaged_is_refused_once_quiet() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: bad(shot, "damaged", now_s)
    assert keeper.look(shot, 0).verdict is Verdict.WAIT
    assert keeper.look(shot, 5).verdict is Verdict.REFUSE


def test_damaged_at_first_sight_is_not_refused_while_it_may_be_being_written() -> None:
    keeper, shot = Gatekeeper(), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: bad(shot, "damaged", now_s)
    assert keeper.look(shot, 1).verdict is Verdict.WAIT
    assert keeper.look(shot, 6).verdict is Verdict.REFUSE


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
        keeper.content = None  # type: ignore[assignment] - must not be asked
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
def test_entries_that_are_no_bundle(entry: str, kind: str, mode: int, words: str) -> None:
    shot = Snapshot(entry, kind, Item("", kind, mode=mode))  # type: ignore[arg-type]
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


def test_content_that_can_not_be_read_is_waited_for_and_tried_again() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: Content(shot.fingerprint, "unreadable", now_s, sentence="It can't be read.")
    keeper.look(shot, 0)
    assert keeper.look(shot, 5).sentence == "It can't be read."
    keeper.content = ok
    assert keeper.look(shot, 64).verdict is Verdict.WAIT
    assert keeper.look(shot, 65).verdict is Verdict.ADMIT


def test_an_unreadable_folder_is_told() -> None:
    shot = snapshot([folder("", trouble="permission denied (owner anna, mode 0700)")])
    answer = Gatekeeper().look(shot, 0)
    assert answer.verdict is Verdict.WAIT
    assert answer.recognised
    assert answer.sentence.startswith("shoe can't be read: permission denied (owner anna, mode 0700).")


def test_incomplete_for_too_long_is_expired_and_may_still_be_completed() -> None:
    keeper, shot = Gatekeeper(), snapshot(without("multi_views/top.png"))
    keeper.look(shot, 0)
    assert keeper.look(shot, 86399).verdict is Verdict.WAIT
    answer = keeper.look(shot, 86400)
    assert answer.verdict is Verdict.REFUSE
    assert answer.error is not None
    assert answer.error.code == "JOB_EXPIRED"
    assert answer.sentence == "Nothing has changed for 1 day: 11 of 12 files; waiting for multi_views/top.png."
    keeper.memory = replace(keeper.memory, handled=shot.fingerprint)
    assert keeper.look(shot, 90000).verdict is Verdict.HANDLED
    whole = snapshot(TWELVE)
    assert keeper.look(whole, 90001).verdict is Verdict.WAIT
    assert keeper.look(whole, 90006).verdict is Verdict.ADMIT


def test_handled_content_is_never_taken_again_unchanged_and_a_mended_file_is_enough() -> None:
    shot = snapshot(TWELVE)
    keeper = Gatekeeper(memory=Memory(handled=shot.fingerprint))
    assert keeper.look(shot, 0).verdict is Verdict.HANDLED
    assert keeper.look(shot, 1e9).verdict is Verdict.HANDLED
    mended = snapshot([*without("multi_views/top.png"), file("multi_views/top.png", mtime_ns=77, ctime_ns=77)])
    assert keeper.look(mended, 1e9 + 1).verdict is Verdict.WAIT
    assert keeper.look(mended, 1e9 + 6).verdict is Verdict.ADMIT


def test_what_was_read_before_a_change_is_not_believed_after_it() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.look(shot, 0)
    keeper.look(shot, 5)
    changed = snapshot([*without("multi_views/top.png"), file("multi_views/top.png", size=7)])
    keeper.look(changed, 6)
    assert assess(changed, keeper.memory, 11, RULES).verdict is Verdict.CHECK


def test_times_of_files_are_never_compared_with_a_clock() -> None:
    for time_ns in (0, 1, 2**62, -5):
        items = [replace(item, mtime_ns=time_ns, ctime_ns=time_ns) for item in TWELVE]
        keeper, shot = grown(Gatekeeper()), snapshot(items)
        assert keeper.look(shot, 0).verdict is Verdict.WAIT
        assert keeper.look(shot, 5).verdict is Verdict.ADMIT


def test_a_zip_waits_for_quiet_and_is_judged_by_its_content() -> None:
    keeper = Gatekeeper()
    keeper.content = lambda shot, now_s: bad(shot, "unfinished", now_s)
    assert keeper.look(zipped(1000), 0).verdict is Verdict.WAIT
    keeper.content = ok
    assert keeper.look(zipped(2000), 2).verdict is Verdict.WAIT
    assert keeper.look(zipped(2000), 6.9).verdict is Verdict.WAIT
    assert keeper.look(zipped(2000), 7).verdict is Verdict.ADMIT


def test_people_are_told_after_ten_quiet_seconds() -> None:
    keeper, shot = Gatekeeper(), snapshot(without("multi_views/top.png"))
    first = keeper.look(shot, 0)
    assert not first.notice
    assert first.again_s == 10
    assert keeper.look(shot, 10).notice


def test_the_gates_are_named_in_turn_for_those_who_ask() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.look(shot, 0)
    answer = keeper.look(shot, 5)
    assert [gate.name for gate in answer.gates] == ["readable", "complete", "copied", "regular", "quiet", "content"]
    assert all(gate.passed for gate in answer.gates)
