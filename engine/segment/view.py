"""One view's foreground from its colours, with the depth render's silhouette as the prior.

In the manner of GrabCut (Rother, Kolmogorov and Blake, 2004): colour models of object and background, from where the
silhouette leaves no doubt, then from the result; a cut that follows edges. Besides, the background is known near
each pixel, and what it reaches without crossing an edge, or what is merely a darker shade of it, is shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.distance import squared_distance
from engine.segment.fields import (
    Colour,
    Mask,
    Real,
    colour_density,
    local_statistics,
    signed_distance,
)
from engine.segment.kernels import describe
from engine.segment.solve import minimise_cut

# Lengths are in pixels of an image of 1024², and scaled to the working size.
OUTSIDE_PX = 28.0
INSIDE_PX = 28.0
LOOSE_PRIOR_PX = 8.0
TIGHT_PRIOR_PX = 0.7
_SMOOTHNESS = 2.0
_EDGE_FLOOR = 0.06
_STRONGEST = 3.0
_CALM_LEVELS = 3.0
_SHADOW_REACH_PX = 14.0
_UNSEEN_DENSITY = 2e-6
# The most evidence for the object (log odds) that a pixel may have which looks like a dark shadow, or which the open
# background reaches without an edge, outside the silhouette and inside it.
_SHADOW_EVIDENCE = np.float32(-0.3)
_OPEN_OUTSIDE = np.float32(-1.0)
_OPEN_INSIDE = np.float32(-1.3)


@dataclass(frozen=True, eq=False)
class Scene:
    """A view at a working size, and all that does not depend on the labels. unit: pixels that are one at 1024²."""

    unit: float
    bins: NDArray[np.int32]
    distance: Real
    gradient: Real
    edge: Real
    background: Mask
    near_background: Real
    flooded: Mask
    ceiling: Real
    noise: float


def look(rgb: Colour, silhouette: Mask, unit: float) -> Scene:
    """Prepare a window [n, n, 3] with the depth's silhouette in it [n, n]."""
    distance = signed_distance(silhouette)
    background = distance < -OUTSIDE_PX * unit
    if background.sum() < 100:
        background = distance <= np.quantile(distance, 0.05)
    step = max(1, round(8 * unit))
    few, weight = rgb[::step, ::step], background[::step, ::step].astype(np.float32)
    behind = local_statistics(few, weight, 64 * unit / step)
    inner = (distance > 6 * unit)[::step, ::step].astype(np.float32)
    if inner.sum() >= 8:
        before = local_statistics(few, inner, 16 * unit / step)
    else:  # the object is thin all over
        own = rgb[distance > min(0.0, float(distance.max()) - 1)].astype(np.float32)
        before = np.empty_like(behind)
        before[:] = [*own.mean(0), own.std()]
    slope, bins, to_b, to_f, shade, tinted = describe(rgb, behind, before, step)
    noise = float(np.median(slope[background])) + 0.5
    edge = np.asarray(
        _SMOOTHNESS * (_EDGE_FLOOR + (1 - _EDGE_FLOOR) / (1 + (slope / (3 * noise + 4)) ** 2)), np.float32
    )

    calm = (slope < _CALM_LEVELS + 2 * noise) & (distance < _SHADOW_REACH_PX * unit)
    labels, _ = ndimage.label(ndimage.binary_opening(calm) | background)
    reached = np.zeros(int(labels.max()) + 1, np.bool_)
    reached[labels[background]] = True
    reached[0] = False
    flooded = reached[labels]
    to_b = np.where(flooded, np.minimum(to_b, np.float32(0.5)), to_b)
    near = np.asarray(np.clip((to_b**2 - to_f**2) / 4, -_STRONGEST, _STRONGEST), np.float32)
    shadow = shade & (distance < 0)
    shadow |= _penumbra(shadow, flooded, tinted, unit) & (distance < 0)
    ceiling = np.where(shadow, _SHADOW_EVIDENCE, np.float32(2 * _STRONGEST))
    ceiling = np.where(flooded, np.where(distance < 0, _OPEN_OUTSIDE, _OPEN_INSIDE), ceiling)
    return Scene(unit, bins, distance, slope, edge, background, near, flooded, ceiling, noise)


def _penumbra(shadow: Mask, flooded: Mask, shade: Mask, unit: float) -> Mask:
    """Shades of the background between a dark shadow and the open background."""
    if not shadow.any():
        return shadow
    near_shadow = squared_distance(shadow) < (6.5 * unit) ** 2
    return np.asarray(shade & near_shadow & (squared_distance(flooded) < (8.5 * unit) ** 2))


def cut(scene: Scene, start: Mask | None, prior_px: float, rounds: int, iterations: int, band_px: float) -> Mask:
    """Label a scene; the object's mask [n, n].

    start: labels to learn colours from and to search around, the silhouette where None. prior_px: how far the RGB's
    contour is thought to be from the depth's. band_px: how far from `start` the contour may lie.
    """
    unit, distance = scene.unit, scene.distance
    tight = prior_px <= TIGHT_PRIOR_PX
    n = distance.shape[0]
    around = distance if start is None or tight else signed_distance(start)
    free = np.abs(around) < band_px * unit
    free[[0, -1]] = False
    free[:, [0, -1]] = False
    active = np.flatnonzero(free).astype(np.int32)
    free[:-1] |= free[1:]
    free[:, :-1] |= free[:, 1:]
    sides = np.flatnonzero(free).astype(np.int32)
    bins = scene.bins
    prior = np.clip(distance / (prior_px * unit), -3, 3)
    u = np.ascontiguousarray(around > 0, np.float32)
    sure = start is not None
    edge = np.ascontiguousarray(scene.edge.ravel())
    for _ in range(rounds):
        labelled = u > 0.5
        if sure:
            inside = labelled.astype(np.float32)
            outside = np.where(distance > -80 * unit, 1.0, 0.05) * ~labelled
        else:
            inside = np.where(distance > 6 * unit, 1.0, 0.2) * labelled
            outside = (scene.background | (scene.flooded & (distance < 0))).astype(np.float32)
        object_density = colour_density(bins, inside)
        other_density = colour_density(bins, outside)
        ratio = np.log((object_density + _UNSEEN_DENSITY) / (other_density + _UNSEEN_DENSITY))
        evidence = 0.5 * np.clip(ratio, -_STRONGEST, _STRONGEST)[bins] + 0.5 * scene.near_background
        evidence = (evidence if tight else np.minimum(evidence, scene.ceiling)) + prior
        flat = np.ascontiguousarray(u.ravel())
        minimise_cut(
            flat, np.ascontiguousarray(-0.5 * evidence.ravel(), np.float32), edge, active, sides, n, iterations
        )
        u = flat.reshape(n, n)
        sure = True
    return np.asarray(u > 0.5)


def edges_near_silhouette(scene: Scene) -> tuple[float, float]:
    """Whether the view's contour is where the depth's is, told from the edges alone.

    Returns the share of clear edges in a strip 4 to 14 px (at 1024²) outside the silhouette, which is empty where the
    two agree, and the share of the silhouette's contour that has a clear edge, low where object and background are
    alike.
    """
    clear = scene.gradient > 6 * scene.noise + 10
    strip = (scene.distance < -4 * scene.unit) & (scene.distance > -14 * scene.unit)
    contour = np.abs(scene.distance) < 1
    at_contour = ndimage.maximum_filter(clear, 3)[contour]
    return float(clear[strip].mean()) if strip.any() else 0.0, float(at_contour.mean()) if at_contour.size else 0.0
