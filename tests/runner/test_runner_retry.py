"""What a job's end leads to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import error_classes
from daemon.runner.retry import Again, Facts, Fail, Hold, decide, lowered_options

CODES = sorted(error_classes())


def facts(
    crashes: int = 0, lowered: bool = False, quality: str = "standard", retries: int = 2, low: bool = True
) -> Facts:
    return Facts(crashes, lowered, quality, retries, low)


def error(code: str) -> dict[str, object]:
    return error_classes()[code]("It went wrong.").as_json()


@pytest.mark.parametrize("code", [code for code in CODES if error_classes()[code].kind in ("input", "bug", "usage")])
def test_what_another_run_can_t_mend_fails_at_once(code: str) -> None:
    decision = decide(error(code), facts())
    assert isinstance(decision, Fail)
    assert decision.error["code"] == code


@pytest.mark.parametrize("code", [code for code in CODES if error_classes()[code].kind == "infrastructure"])
def test_the_machine_s_and_the_share_s_faults_hold(code: str) -> None:
    assert decide(error(code), facts(crashes=9)) == Hold(code, "It went wrong.")


@pytest.mark.parametrize("code", ["MODEL_OOM", "MODEL_VRAM_OOM"])
def test_out_of_memory_is_tried_once_at_a_lower_quality(code: str) -> None:
    decision = decide(error(code), facts(quality="high"))
    assert isinstance(decision, Again)
    assert decision.lowered
    assert decision.delay_s == 0
    assert decision.note
    assert "standard" in decision.note
    for hopeless in (facts(lowered=True), facts(quality="draft"), facts(low=False)):
        assert isinstance(decide(error(code), hopeless), Fail)


def test_a_lower_quality_has_its_own_sizes() -> None:
    options = {"quality": "high", "texture_size_px": 8192, "target_faces": 900_000, "seed": 7}
    assert lowered_options(options) == {"quality": "standard", "texture_size_px": None, "target_faces": None, "seed": 7}
    assert lowered_options({})["quality"] == "draft"
    assert lowered_options({"quality": "draft"})["quality"] == "draft"


def test_crashes_are_tried_again_later_and_later_then_fail() -> None:
    first = decide(error("WORKER_CRASHED"), facts(crashes=0))
    second = decide(error("WORKER_CRASHED"), facts(crashes=1))
    third = decide(error("WORKER_CRASHED"), facts(crashes=2))
    assert isinstance(first, Again)
    assert isinstance(second, Again)
    assert 0 < first.delay_s < second.delay_s
    assert (first.crashes, second.crashes) == (1, 2)
    assert isinstance(third, Fail)
    assert third.error["details"]["crashes"] == 3
    assert "3 times" in third.error["message"]


@given(st.sampled_from([*CODES, "NO_SUCH_CODE", ""]), st.integers(0, 20), st.booleans(), st.integers(0, 10))
def test_nothing_runs_for_ever(code: str, crashes: int, lowered: bool, retries: int) -> None:
    """Fed with its own decisions, it comes to an end, or to what only a person can mend."""
    now = facts(crashes, lowered, "high", retries)
    for _ in range(15):
        decision = decide({"code": code, "message": "It went wrong."}, now)
        if not isinstance(decision, Again):
            return
        assert 0 <= decision.delay_s <= 60
        now = facts(decision.crashes, decision.lowered, "standard", retries)
    pytest.fail(f"{code} is tried for ever")
