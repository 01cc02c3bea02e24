import pytest

from config.errors import Cancelled, TimedOut
from config.job import JobOptions
from config.sections import Settings
from engine.pipeline import _SHARES, _shares
from engine.progress import Progress, Tracker


def tracker(seen: list[Progress], cancel: list[bool], now: list[float]) -> Tracker:
    return Tracker({"a": 1.0, "b": 3.0}, seen.append, lambda: cancel[0], lambda: now[0])


def test_fractions_follow_the_shares_and_never_fall() -> None:
    seen: list[Progress] = []
    now = [100.0]
    t = tracker(seen, [False], now)
    with t.stage("a") as checkpoint:
        checkpoint(0.5)
        checkpoint(0.2)
        now[0] += 2.0
    with t.stage("b") as checkpoint:
        checkpoint(0.5)
        now[0] += 6.0
    assert [p.fraction for p in seen] == pytest.approx([0, 0.125, 0.125, 0.25, 0.25, 0.625, 1.0])
    assert [p.stage for p in seen] == ["a"] * 4 + ["b"] * 3
    assert t.timings_s == pytest.approx({"a": 2.0, "b": 6.0})


def test_eta_is_unknown_at_first_and_extrapolates_then() -> None:
    seen: list[Progress] = []
    now = [0.0]
    t = tracker(seen, [False], now)
    with t.stage("a"):
        now[0] = 2.0
    assert seen[0].eta_s is None
    assert seen[-1].eta_s == pytest.approx(6.0)


def test_another_plan_tells_the_time_left_at_once_and_the_bar_stays() -> None:
    seen: list[Progress] = []
    now = [0.0]
    t = tracker(seen, [False], now)
    with t.stage("a"):
        now[0] = 2.0
    t.expect([("a", 1.0), ("long", 997.0), ("b", 1.0), ("b", 1.0)])
    with t.stage("long") as checkpoint:
        assert seen[-1] == Progress("long", 0.25, pytest.approx(999.0))  # the bar had been there before
        now[0] = 502.0
        checkpoint(0.5)
        assert seen[-1].fraction == pytest.approx(0.4995)
        assert seen[-1].eta_s == pytest.approx(502.0, rel=0.01)
    fractions = []
    for _ in range(2):  # it runs twice, each time with a share of its own
        with t.stage("b"):
            fractions.append(seen[-1].fraction)
    assert fractions == pytest.approx([0.998, 0.999])
    assert seen[-1].fraction == pytest.approx(1.0)
    assert t.timings_s.keys() == {"a", "long", "b"}


def test_stages_that_a_job_has_not_are_not_waited_for() -> None:
    seen: list[Progress] = []
    now = [0.0]
    t = tracker(seen, [False], now)
    with t.stage("a"):
        now[0] = 2.0
    assert seen[-1].fraction == pytest.approx(0.25)
    t.weigh({"a": 1.0, "c": 1.0})
    with t.stage("c"):
        assert seen[-1].fraction == pytest.approx(0.5)
        assert seen[-1].eta_s == pytest.approx(2.0)
    assert seen[-1].fraction == pytest.approx(1.0)


def test_the_bar_counts_the_stages_that_the_options_ask_for() -> None:
    quality = Settings().quality
    draft, standard = (_shares(JobOptions(quality=q), getattr(quality, q)) for q in ("draft", "standard"))
    assert set(standard) - set(draft) == {"refine"}
    assert draft["texture"] < standard["texture"]
    apart = _shares(JobOptions(materials="separated"), quality.standard)
    assert {name: share for name, share in apart.items() if name not in standard}.keys() == {"materials"}
    assert apart["materials"] > 0
    assert list(apart) == [name for name in _SHARES if name in apart], "in the order that they run"


def test_cancel_is_felt_at_the_next_checkpoint() -> None:
    cancel = [False]
    seen: list[Progress] = []
    t = tracker(seen, cancel, [0.0])
    with pytest.raises(Cancelled), t.stage("a") as checkpoint:
        checkpoint(0.1)
        cancel[0] = True
        checkpoint(0.2)
    assert len(seen) == 2
    assert "a" not in t.timings_s


def test_a_job_over_its_time_limit_is_stopped_at_the_next_checkpoint() -> None:
    now = [0.0]
    t = tracker([], [False], now)
    t.timeout_s = 5.0
    with t.stage("a"):
        now[0] = 4.0
    with pytest.raises(TimedOut, match="limit of 5 s; it was at b"), t.stage("b") as checkpoint:
        now[0] = 5.5
        checkpoint(0.5)
