"""Do the colours agree where views overlap? Evidence for what depth can't tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.model import fov_deg
from engine.calibrate.problem import Fit
from engine.calibrate.shared import SIZE_PX, shared_surface
from engine.camera import Camera
from engine.jit import parallel_map
from engine.segment import Segmentation
from engine.segment.fields import shrink_colours

Floats = NDArray[np.float64]

BLUR_PX: Final = 1.5
NEARBY_PX: Final = 10.0
WHOLE: Final = 0.98
"""A pixel with this much coverage shows nothing of the background."""
LEAST: Final = 30
EVERY: Final = 4
"""Of so many pixels one is compared where there are many layouts to try."""
FAINT: Final = 0.003
"""Deviations of chromaticity and log lightness of this size count as none."""


@dataclass(frozen=True, eq=False)
class Look:
    """A view as it is compared.

    features: [S, S, 3] chromaticity (2) and lightness against what is nearby: what shading changes least. known: [S, S]
    whether the object shows there.
    """

    features: Floats
    known: NDArray[np.bool_]


def _look(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Look:
    whole = (shrink_colours(alpha, SIZE_PX) > WHOLE * 255).astype(np.float64)
    near = ndimage.gaussian_filter(whole, BLUR_PX)
    colour = ndimage.gaussian_filter(shrink_colours(rgb, SIZE_PX) / 255 * whole[..., None], (BLUR_PX, BLUR_PX, 0))
    colour /= np.maximum(near, 1e-3)[..., None]
    total = colour.sum(2, keepdims=True) + 0.1
    light = np.log(total[..., 0])
    around = ndimage.gaussian_filter(light * whole, NEARBY_PX, truncate=2.5)
    around /= np.maximum(ndimage.gaussian_filter(whole, NEARBY_PX, truncate=2.5), 1e-3)
    return Look(np.concatenate([colour[..., :2] / total, (light - around)[..., None]], 2), near > 0.3)


def looks_of(bundle: Bundle, segmentation: Segmentation) -> dict[ViewName, Look]:
    """Every view's look, by name."""
    found = parallel_map(lambda name: _look(bundle.rgb[name], segmentation.rgb_alpha[name]), VIEW_NAMES)
    return dict(zip(VIEW_NAMES, found, strict=True))


def correlation(own: Floats, other: Floats) -> float:
    """-1..1, of [n, 3] features, those that vary most counting most; 0 where nothing varies."""
    own, other = own - own.mean(0), other - other.mean(0)
    spread = np.sqrt((own**2).mean(0) * (other**2).mean(0))
    return float((own * other).mean(0).sum() / (spread.sum() + FAINT))


def colour_agreement(bundle: Bundle, segmentation: Segmentation, fits: list[Fit]) -> Floats:
    """[len(fits)] mean correlation (-1..1) of the views' colours over the surface that two views share."""
    looks = looks_of(bundle, segmentation)
    return np.array([_agreement(bundle, segmentation, looks, fit) for fit in fits])


def _agreement(bundle: Bundle, segmentation: Segmentation, looks: Mapping[ViewName, Look], fit: Fit) -> float:
    angle, poses = fov_deg(float(fit.full[0])), fit.layout.poses()
    cameras = {name: Camera.from_fov(angle, bundle.depth_size_px, poses[i]) for i, name in enumerate(VIEW_NAMES)}
    coding = fit.family.codings(fit.full, bundle.depth_code_max)
    values, weights = [], []
    for pair in shared_surface(bundle, segmentation, cameras, coding, EVERY):
        a, b = looks[pair.a], looks[pair.b]
        use = a.known[pair.at_a] & b.known[pair.at_b]
        if int(use.sum()) >= LEAST:
            values.append(correlation(a.features[pair.at_a][use], b.features[pair.at_b][use]))
            weights.append(float(np.sqrt(use.sum())))
    return float(np.average(values, weights=weights)) if values else 0.0
