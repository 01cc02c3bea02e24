"""The gate as a table: what was seen before, how late it is, and what follows."""

from __future__ import annotations

from dataclasses import replace

from daemon.intake.completeness import Content, Memory, Verdict, assess
from tests.intake.gatekeeper import RULES, TWELVE, Gatekeeper, bad, file, folder, grown, ok, snapshot, without, zipped


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


def test_content_that_can_not_be_read_is_waited_for_and_tried_again() -> None:
    keeper, shot = grown(Gatekeeper()), snapshot(TWELVE)
    keeper.content = lambda shot, now_s: Content(shot.fingerprint, "unreadable", now_s, sentence="It can't be read.")
    keeper.look(shot, 0)
    assert keeper.look(shot, 5).sentence == "It can't be read."
    keeper.content = ok
    assert keeper.look(shot, 64).verdict is Verdict.WAIT
    assert keeper.look(shot, 65).verdict is Verdict.ADMIT


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
