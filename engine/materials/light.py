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
    at = received(samples.normal)
    log_open = np.log(samples.openness)
    brightness = np.log(samples.linear)
    theta, occlusion = _fit(samples, at, log_open, brightness.mean(1), None, 0.0)
    channels = np.repeat(theta[:, None], 3, 1)
    if colour:
        for k in range(3):
            channels[:, k] = _fit(samples, at, log_open, brightness[:, k], theta, occlusion)[0]
    # White from all sides together: a tint that lies on everything can't be told from the looks, and counts to them.
    radiance = np.exp(channels)
    solid = patches()[1] / patches()[1].sum()
    radiance /= (radiance * solid[:, None]).sum(0)
    light = Light(radiance, occlusion)
    shade = light.shading(samples.normal, samples.openness)
    light = light.scaled(1 / float(np.percentile(shade.mean(1), _FULL)))
    looks = samples.linear / light.shading(samples.normal, samples.openness)
    return light.scaled(max(1.0, float(np.percentile(looks.max(1), _NOT_BURNT))))


def _fit(
    samples: SurfaceSamples, at: Float, log_open: Float, brightness: Float, prior: Float | None, occlusion: float
) -> tuple[Float, float]:
    """[96] logarithms of radiance, and the occlusion's exponent, by reweighted Gauss-Newton steps, damped.

    at: `received` at the samples. prior: logarithms to stay near, and to start from; with it `occlusion` is kept.
    """
    i, j, weight = samples.first, samples.second, samples.weight / samples.weight.sum()
    count, patch_count = at.shape
    incidence = csr_matrix(
        (np.concatenate([np.ones(len(i)), -np.ones(len(j))]), (np.tile(np.arange(len(i)), 2), np.concatenate([i, j]))),
        shape=(len(i), count),
    )
    change, opening = brightness[i] - brightness[j], log_open[i] - log_open[j]
    target = np.zeros(patch_count) if prior is None else prior
    stiffness = np.full(patch_count, _EVENNESS if prior is None else _WHITENESS)
    theta, a = target.copy(), occlusion
    free = prior is None

    def residual(theta: Float, a: float) -> Float:
        e = np.log(at @ np.exp(theta))
        return np.asarray(change - (e[i] - e[j]) - a * opening)

    def cost(r: Float, theta: Float) -> float:
        return float((weight * np.sqrt(r * r + _L1 * _L1)).sum() + (stiffness * (theta - target) ** 2).sum())

    r = residual(theta, a)
    best, damping = cost(r, theta), 1e-4
    for _ in range(_ROUNDS):
        radiance = np.exp(theta)
        slope = at * radiance / (at @ radiance)[:, None]
        if free:
            slope = np.concatenate([slope, log_open[:, None]], 1)
        v = weight / np.sqrt(r * r + _L1 * _L1)
        # The pairs' weighted differences as a graph Laplacian: far fewer products than pair by pair.
        laplacian = incidence.T @ incidence.multiply(v[:, None]).tocsr()
        matrix = slope.T @ (laplacian @ slope)
        gradient = slope.T @ (incidence.T @ (v * r))
        gradient[:patch_count] -= 2 * stiffness * (theta - target)
        matrix[np.arange(patch_count), np.arange(patch_count)] += 2 * stiffness
        gained = 0.0
        for _ in range(5):
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
    return theta, a
