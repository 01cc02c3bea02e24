"""The last step: depth ranges from outlines and from meeting surfaces together, and what decides the rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calibrate.flat import levelled
from engine.calibrate.model import Family
from engine.calibrate.observe import Observation
from engine.calibrate.overlap import Meeting, Slopes, distances, meeting_system
from engine.calibrate.problem import project
from engine.calibrate.result import Rounding
from engine.calibrate.settle import (
    HUBER_PX,
    NOISE_PX,
    SHARED_DIRECTIONS,
    Rims,
    gather_fans,
    outline_system,
    range_prior,
    settle,
)

Floats = NDArray[np.float64]

REACHES_PX: Final = (6.0, 4.0, 3.0, 2.0, 1.5, 1.5)
"""Biweight's limit, step by step: outlines leave ranges within a few pixels."""
APART_PX: Final = 2.0
"""Biweight's limit for how well surfaces meet in the end."""
ENOUGH: Final = 500
"""Fewer meeting points don't decide the rounding."""
PLAIN: Final = 0.1
"""By what share surfaces have to meet better under the other rounding than under the one that the histogram says. It is
20 to 70 % where slopes are many, and chance where they are few. Asking for more gains nothing: of 39 bundles this mends
three, at 49 to 72 %, and spoils four, at 24 to 51 %, by 0.07 % of the distance at most; a sample needs under 30 %."""
PLAINLY: Final = 0.4
"""The same where ranges are stated and nothing gives way: codes that had been cut off met better by 45 to 89 %, rounded
ones worse, or by 35 % on 480 points."""
SOME: Final = 200
"""Meeting points from which on that counts."""
FAR_APART_PX: Final = 6.0
FEW: Final = 10
"""Fewer meeting points leave the ranges to the outlines. Of 106 bundles four had none: a plain object's flat faces and
open ends, one of them 4.5 % off in depth. The next fewest was 15, and right."""


@dataclass(frozen=True, eq=False)
class Finished:
    """full: [13] parameters. apart: mean biweight loss of the meeting points, 0..1; meeting: how many there are.

    Points further apart than FAR_APART_PX (occluded ones, mostly) are not among them.
    """

    family: Family
    full: Floats
    apart: float
    meeting: int

    @property
    def unchecked(self) -> bool:
        """Whether views with ranges of their own see nothing in common on slopes: outlines alone say how deep they lie.

        (How far apart surfaces lie where they meet tells no more: what fitted at all met, measured.)
        """
        return self.family.structure != "shared" and self.meeting < FEW


def finish(observation: Observation, family: Family, full: Floats, poses: Floats) -> Finished:
    """Settle the ranges at the angle of view of `full`: on the outlines first, then with the meeting surfaces.

    Where code 0 stands for depth 0, codes that were cut off and codes that were rounded bend surfaces differently: the
    rounding under which surfaces meet better is taken. (Else an offset makes up for it, and the histogram has it.)
    """
    rims = Rims.of(observation)
    rough = settle(observation, family, full, poses, rims=rims).full
    slopes = Slopes.of(observation)
    own = _joined(observation, rims, slopes, family, rough, poses)
    if family.structure != "view_max" and not family.zero_offset:
        return own
    other_family = replace(family, rounding="nearest" if family.rounding == "floor" else "floor")
    moved = (family.code_shift_levels - other_family.code_shift_levels) / observation.fingerprint.code_max
    start = own.full.copy()
    start[7:13] *= 1 + moved / observation.spread.mean(1)
    other = _joined(observation, rims, slopes, other_family, start, poses)
    enough = min(own.meeting, other.meeting) >= ENOUGH
    return other if enough and other.apart < (1 - PLAIN) * own.apart else own


def rounding_of(observation: Observation, family: Family, full: Floats, poses: Floats) -> Rounding:
    """How codes of stated ranges were made: cut off where surfaces meet plainly better so, else rounded.

    full: [13] with the stated ranges, which stay as they are. poses: [6, 4, 4] in camera distances.
    """
    slopes = Slopes.of(observation)

    def meeting(rounding: Rounding) -> tuple[float, int]:
        read = replace(family, rounding=rounding)
        shift = read.code_shift_levels / observation.fingerprint.code_max
        return _apart(distances(slopes, full, read, poses, shift, FAR_APART_PX))

    (rounded, count), (cut_off, other_count) = meeting("nearest"), meeting("floor")
    return "floor" if min(count, other_count) >= SOME and cut_off < (1 - PLAINLY) * rounded else "nearest"


def _apart(meetings: list[Meeting]) -> tuple[float, int]:
    """The mean biweight loss of meeting points, and how many there are."""
    r = np.concatenate([rows[:, 0] for _, _, rows in meetings]) if meetings else np.zeros(0)
    loss = 1 - np.maximum(1 - (r / APART_PX) ** 2, 0) ** 3
    return (float(loss.mean()) if len(r) else 1.0), len(r)


def _joined(
    observation: Observation, rims: Rims, slopes: Slopes, family: Family, full: Floats, poses: Floats
) -> Finished:
    """Gauss-Newton on both kinds of residuals, each weighted by what it knows."""
    code_max = observation.fingerprint.code_max
    shift = family.code_shift_levels / code_max
    half = observation.fine.shape[1] / 2
    basis, theta = family.basis(), project(family.basis(), full, observation.spread)
    base = np.zeros(13)
    base[0] = full[0]
    start = base + basis @ theta
    stretch = range_prior(observation)
    prior = stretch @ basis
    fans = gather_fans(rims, family, start, poses, shift, half)
    for reach in REACHES_PX:
        now = base + basis @ theta
        A, gradient = meeting_system(distances(slopes, now, family, poses, shift, reach), reach)
        residuals, J = outline_system(fans, now, family, poses, shift, half)
        # at an outline a surface stands square to its view: half a level is open there, and a whole fan shares it
        level_px = np.abs(J[:, 1:7] @ now[7:13]) / code_max
        variance = SHARED_DIRECTIONS * (NOISE_PX**2 + level_px**2 / 12)
        weight = np.minimum(1, HUBER_PX / np.maximum(np.abs(residuals), 1e-9)) / variance
        A += J.T @ (J * weight[:, None])
        gradient += J.T @ (weight * residuals)
        system = basis.T @ A @ basis + prior.T @ prior
        slope = basis.T @ gradient + prior.T @ (stretch @ (now - start))
        theta = theta - np.linalg.solve(system + 1e-6 * np.diag(np.diag(system) + 1e-9), slope)
    end = base + basis @ theta
    if family.structure != "shared":
        end = levelled(end, family, observation.flat)
    return Finished(family, end, *_apart(distances(slopes, end, family, poses, shift, FAR_APART_PX)))
