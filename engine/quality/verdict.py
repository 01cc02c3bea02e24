"""The verdict on a result: pure, from figures to words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from config.job import Thresholds

Status = Literal["normal", "warning", "failure"]
Rule = Literal[
    "meets_normal",
    "psnr_below_normal",
    "ssim_below_normal",
    "orientation_ambiguous",
    "psnr_below_warning",
    "ssim_below_warning",
]
MEANING: Final[dict[Rule, str]] = {
    "meets_normal": "PSNR and SSIM reach the limits of a normal result",
    "psnr_below_normal": "PSNR is below the limit of a normal result",
    "ssim_below_normal": "SSIM is below the limit of a normal result",
    "orientation_ambiguous": "the views fit together in more than one way; the default layout was taken",
    "psnr_below_warning": "PSNR is below the lowest limit",
    "ssim_below_warning": "SSIM is below the lowest limit",
}


@dataclass(frozen=True)
class Verdict:
    """status, the rule that decided it, and the limits it was held to (normal's, or warning's below that)."""

    status: Status
    rule: Rule
    psnr_expected: float
    ssim_expected: float


def judge(psnr: float, ssim: float, ambiguous: bool, limits: Thresholds) -> Verdict:
    """The verdict on the headline figures. A result whose orientation is `ambiguous` is a warning at best."""
    lowest = (limits.warning_psnr, limits.warning_ssim)
    if psnr < limits.warning_psnr:
        return Verdict("failure", "psnr_below_warning", *lowest)
    if ssim < limits.warning_ssim:
        return Verdict("failure", "ssim_below_warning", *lowest)
    if psnr < limits.normal_psnr:
        return Verdict("warning", "psnr_below_normal", *lowest)
    if ssim < limits.normal_ssim:
        return Verdict("warning", "ssim_below_normal", *lowest)
    if ambiguous:
        return Verdict("warning", "orientation_ambiguous", *lowest)
    return Verdict("normal", "meets_normal", limits.normal_psnr, limits.normal_ssim)
