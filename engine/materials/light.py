"""The light that leaves the looks of an object as even as they can be.

A point shows looks times light: I = kd·E(n)·o^a, with E the irradiance at its normal, o how open it is to the sky and a
how much that counts. Between neighbouring points of one material kd is mostly the same, so what their brightness
differs by is the light's doing, and what is left over is edges of the looks, which are few: Σ|Δ log kd| over
neighbours is least for the true light. That is Retinex's argument (Land and McCann, 1971) with the shape known, and
nvdiffrec's smoothness term for kd (Munkberg et al., "Extracting Triangular 3D Models, Materials, and Lighting From
Images", CVPR 2022) with the light solved for instead of descended to. From the same paper is the prior that light is
white: channels are drawn towards their mean.

The light is a small cube map (`environment`). Its radiance is the exponential of what is solved for, so it is never
negative, and the prior that pulls that towards zero is one for a light that is even: spherical harmonics of order 2
would do for the bright side, but ring around a lamp, and on the dark side, where the ringing is as large as the light
itself, looks would be off by a quarter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from engine.materials.environment import patches, received
from engine.materials.samples import SurfaceSamples

Float = NDArray[np.float64]

MOST_OCCLUSION: Final = 1.5
_L1: Final = 0.01
_ROUNDS: Final = 30
_FULL: Final = 95.0
_NOT_BURNT: Final = 99.5
"""Percentiles of the samples: of those lit so well the light is 1, of those so bright the looks are at most white."""
_EVENNESS: Final = 1e-4
_WHITENESS: Final = 1e-3
"""Priors on the logarithm of each patch's radiance, against the mean absolute difference of the pairs."""
_LESS_EVEN: Final = 1e-5
"""The first where a gloss tells of the light too: a lamp's reflection is as sharp as the surface is smooth."""
_TRIES: Final = 12
"""Dampings of a step, each 8 times the last; with views, 5 were too few now and then, and a fit stopped halfway."""
_VIEWS: Final = 0.2
"""How much what views differ by counts, against the pairs."""


@dataclass(frozen=True, eq=False)
class Light:
    """Distant surroundings.

    radiance: [96, 3] float64, of the cube map's patches. occlusion: the exponent a that openness has.
    A surface of looks kd with normal n shows kd·E(n)·openness^a, with E irradiance over π.
    """

    radiance: Float
    occlusion: float

    def shading(self, normals: NDArray[np.floating[Any]], openness: NDArray[np.floating[Any]]) -> Float:
        """[N, 3] what the light makes of white, at unit normals [N, 3] of openness [N]."""
        return np.asarray((received(normals) @ self.radiance) * (np.asarray(openness) ** self.occlusion)[:, None])

    def scaled(self, factor: float) -> Light:
        """The same light, `factor` times as strong."""
        return Light(self.radiance * factor, self.occlusion)


@dataclass(frozen=True, eq=False)
class Differences:
    """What two views differ by at the same places: looks are the same in both, what is reflected isn't.

    change: [P, 3] float64, of linear light. reflected: [P, 96], of what a patch of radiance 1 would send to the two.
    Both over how bright the place is.
    """

    change: Float
    reflected: Float

    def only(self, chosen: NDArray[np.bool_]) -> Differences:
        """The same at some of the places."""
        return Differences(self.change[chosen], self.reflected[chosen])


def even() -> Light:
    """Light of 1 from all sides."""
    return Light(np.ones((len(patches()[0]), 3)), 0.0)


def log_residual(light: Light, samples: SurfaceSamples) -> Float:
    """[P] what the pairs' brightness differs by beyond the light: mean of the channels' logarithms."""
    rest = (np.log(samples.linear) - np.log(light.shading(samples.normal, samples.openness))).mean(1)
    return np.asarray(rest[samples.first] - rest[samples.second])


def fit_light(samples: SurfaceSamples, *, colour: bool = True) -> Light:
    """The light that leaves the least of the pairs' differences.

    How strong it is can't be told: a place that is lit as well as any shows its looks as they are, as pictures are
    exposed for that; and no looks are brighter than white.
    colour: False for the mean of the channels alone. The same samples give the same light.
    """
    return _exposed(samples, _channels(samples, colour, None))[0]


def fit_light_and_gloss(samples: SurfaceSamples, views: Differences) -> tuple[Light, Float]:
    """The same where the surface is known to reflect: the light that leaves the least of both.

    samples: of looks under the light, what is reflected taken off. Returns the light, and the strength [3] of what is
    reflected of it over what is reflected in `views`: there the light is as strong as it is, not as is taken for white.
    """
    return _exposed(samples, _channels(samples, True, views))


def _channels(samples: SurfaceSamples, colour: bool, views: Differences | None) -> Light:
    at = received(samples.normal)
    log_open = np.log(samples.openness)
    brightness = np.log(samples.linear)
    grey = None if views is None else _grey(views)
    found = _fit(samples, at, log_open, brightness.mean(1), None, 0.0, grey)
    channels = np.repeat(found.theta[:, None], 3, 1)
    if colour:
        for k in range(3):
            own = None if views is None else (views.change[:, k], views.reflected)
            channels[:, k] = _fit(samples, at, log_open, brightness[:, k], found.theta, found.occlusion, own).theta
    return Light(np.exp(channels), found.occlusion)


def _grey(views: Differences) -> tuple[Float, Float]:
    return views.change.mean(1), views.reflected


def _exposed(samples: SurfaceSamples, light: Light) -> tuple[Light, Float]:
    """The light as strong and as white as is assumed; and by what [3] it is weaker so than it was."""
    # White from all sides together: a tint that lies on everything can't be told from the looks, and counts to them.
    solid = patches()[1] / patches()[1].sum()
    white = (light.radiance * solid[:, None]).sum(0)
    exposed = Light(light.radiance / white, light.occlusion)
    shade = exposed.shading(samples.normal, samples.openness)
    factor = 1 / float(np.percentile(shade.mean(1), _FULL))
    exposed = exposed.scaled(factor)
    looks = samples.linear / exposed.shading(samples.normal, samples.openness)
    more = max(1.0, float(np.percentile(looks.max(1), _NOT_BURNT)))
    return exposed.scaled(more), white / (factor * more)


@dataclass(frozen=True, eq=False)
class Solution:
    """theta: [96], logarithms of radiance. occlusion: the exponent. cost: what is left, the priors included."""

    theta: Float
    occlusion: float
    cost: float

    def unexplained(self, views: Differences) -> Float:
        """[P] what the light's reflection leaves of what views differ by, on the mean of the channels."""
        change, reflected = _grey(views)
        return np.asarray(change - reflected @ np.exp(self.theta))


def fit_grey(samples: SurfaceSamples, views: Differences | None, at: Float) -> Solution:
    """The light on the mean of the channels, as strong as it reflects. at: `received` at the samples."""
    brightness = np.log(samples.linear).mean(1)
    return _fit(samples, at, np.log(samples.openness), brightness, None, 0.0, None if views is None else _grey(views))


def _fit(
    samples: SurfaceSamples,
    at: Float,
    log_open: Float,
    brightness: Float,
    prior: Float | None,
    occlusion: float,
    views: tuple[Float, Float] | None = None,
) -> Solution:
    """By reweighted Gauss-Newton steps, damped.

    at: `received` at the samples. prior: logarithms to stay near, and to start from; with it `occlusion` is kept.
    views: change [Q] and reflected [Q, 96] of one channel, as in `Differences`.
    """
    i, j, weight = samples.first, samples.second, samples.weight / samples.weight.sum()
    count, patch_count = at.shape
    incidence = csr_matrix(
        (np.concatenate([np.ones(len(i)), -np.ones(len(j))]), (np.tile(np.arange(len(i)), 2), np.concatenate([i, j]))),
        shape=(len(i), count),
    )
    change, opening = brightness[i] - brightness[j], log_open[i] - log_open[j]
    seen, mirrored = views or (np.zeros(0), np.zeros((0, patch_count)))
    share = _VIEWS / max(len(seen), 1)
    evenness = _EVENNESS if views is None else _LESS_EVEN
    stiffness = np.full(patch_count, evenness if prior is None else _WHITENESS)
    theta, a = np.zeros(patch_count) if prior is None else prior.copy(), occlusion
    free = prior is None

    def target(theta: Float) -> Float | float:
        if prior is not None:
            return prior
        return 0.0 if views is None else float(theta.mean())  # a reflection is as strong as its light

    def residual(theta: Float, a: float) -> tuple[Float, Float]:
        radiance = np.exp(theta)
        e = np.log(at @ radiance)
        return np.asarray(change - (e[i] - e[j]) - a * opening), np.asarray(seen - mirrored @ radiance)

    def cost(r: tuple[Float, Float], theta: Float) -> float:
        left = float((weight * np.sqrt(r[0] * r[0] + _L1 * _L1)).sum()) + float(
            share * np.sqrt(r[1] * r[1] + _L1 * _L1).sum()
        )
        return left + float((stiffness * (theta - target(theta)) ** 2).sum())

    r = residual(theta, a)
    best, damping = cost(r, theta), 1e-4
    for _ in range(_ROUNDS if views is None else 2 * _ROUNDS):
        radiance = np.exp(theta)
        slope = at * radiance / (at @ radiance)[:, None]
        if free:
            slope = np.concatenate([slope, log_open[:, None]], 1)
        v = weight / np.sqrt(r[0] * r[0] + _L1 * _L1)
        # The pairs' weighted differences as a graph Laplacian: far fewer products than pair by pair.
        laplacian = incidence.T @ incidence.multiply(v[:, None]).tocsr()
        matrix = slope.T @ (laplacian @ slope)
        gradient = slope.T @ (incidence.T @ (v * r[0]))
        if views is not None:
            steep = mirrored * radiance
            u = share / np.sqrt(r[1] * r[1] + _L1 * _L1)
            matrix[:patch_count, :patch_count] += steep.T @ (steep * u[:, None])
            gradient[:patch_count] += steep.T @ (u * r[1])
        gradient[:patch_count] -= 2 * stiffness * (theta - target(theta))
        matrix[np.arange(patch_count), np.arange(patch_count)] += 2 * stiffness
        gained = 0.0
        for _ in range(5 if views is None else _TRIES):
            damped = (
                matrix + damping * np.eye(len(matrix)) * (np.trace(matrix) / len(matrix)) + 1e-12 * np.eye(len(matrix))
            )
            step = np.linalg.solve(damped, gradient)
            new_theta = np.clip(theta + np.clip(step[:patch_count], -2, 2), -6, 6)
            new_a = float(np.clip(a + step[patch_count], 0, MOST_OCCLUSION)) if free else a
            new_r = residual(new_theta, new_a)
            value = cost(new_r, new_theta)
            if value < best:
                gained, best = best - value, value
                theta, a, r = new_theta, new_a, new_r
                damping = max(damping / 4, 1e-6)
                break
            damping *= 8
        if gained < 2e-4 * best:
            break
    return Solution(theta, a, best)
