"""Which of two models comes first."""

from __future__ import annotations

from typing import Any

import pytest

from engine.quality import Comparison, compare

GENERATED = {"surface": 0.1, "silhouette_iou": 0.95, "lead": 0.1}


def _results(own: tuple[str, float], other: tuple[str, float]) -> list[dict[str, Any]]:
    """reconviagen's and nvdiffrec's verdict and foreground PSNR."""
    return [
        {"model": "reconviagen", "status": own[0], "foreground": {"psnr": own[1]}, "generated": GENERATED},
        {"model": "nvdiffrec", "status": other[0], "foreground": {"psnr": other[1]}},
    ]


@pytest.mark.parametrize(
    ("own", "other", "better", "rule"),
    [
        (("normal", 20.0), ("warning", 30.0), "reconviagen", "status"),
        (("failure", 30.0), ("warning", 20.0), "nvdiffrec", "status"),
        (("normal", 25.2), ("normal", 25.0), "reconviagen", "foreground"),
        (("warning", 25.0), ("warning", 25.2), "nvdiffrec", "foreground"),
        (("normal", 25.05), ("normal", 25.0), "nvdiffrec", "measured"),
        (("normal", 25.0), ("normal", 25.0), "nvdiffrec", "measured"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_better_one(own: tuple[str, float], other: tuple[str, float], better: str, rule: str, turned: bool) -> None:
    results = _results(own, other)
    found = compare(results[::-1] if turned else results)
    assert (found.better, found.rule) == (better, rule)
    assert {found.better, found.other} == {"reconviagen", "nvdiffrec"}


def test_it_goes_into_quality_json_as_it_is() -> None:
    told = Comparison("nvdiffrec", "reconviagen", "measured").as_json()
    assert told == {"better": "nvdiffrec", "other": "reconviagen", "rule": "measured"}
