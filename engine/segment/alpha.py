"""Coverage in the rim, at full size, from the colours on both sides of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.segment.fields import Colour, Mask, Real, local_mean, resize, signed_distance

_RIM_PX = 3.0
_CONTRAST_LEVELS = 14.0


def soften(rgb: Colour, small: Colour, mask: Mask) -> NDArray[np.uint8]:
    """Coverage of the object in a window of a view.

    In the rim a pixel's colour I is taken as a mixture of the object's F and the background's B nearby: alpha is
    (I - B)·(F - B) / |F - B|² (matting with known colours, as in Chuang et al., 2001, without their covariances),
    trusted as far as F and B differ, and held between bounds that depend on the distance from the mask's contour.

    Args:
        rgb: [H, H, 3] the window at full size.
        small: [h, h, 3] the same at the working size.
        mask: [h, h] the object at the working size.

    Returns:
        [H, H] uint8, 255 = object.

    """
    full, work = rgb.shape[0], small.shape[0]
    factor = full / work
    distance = signed_distance(mask)
    colour = small.astype(np.float32)
    inner, outer = _side(colour, distance), _side(colour, -distance)
    d = resize(distance, full) * np.float32(factor)
    rim = np.flatnonzero(np.abs(d.ravel()) < _RIM_PX * max(1.0, factor))
    out = (d > 0).astype(np.float32).ravel()
    if not len(rim):
        return np.asarray(out.reshape(full, full) * 255, np.uint8)
    F = _at(inner, rim, full, work)
    B = _at(outer, rim, full, work)
    pixel = rgb.reshape(-1, 3)[rim].astype(np.float32)
    axis = F - B
    contrast = (axis**2).sum(1)
    mixed = np.clip(((pixel - B) * axis).sum(1) / np.maximum(contrast, 1), 0, 1)
    trust = contrast / (contrast + 3 * _CONTRAST_LEVELS**2)
    reach = d.ravel()[rim] / max(1.0, factor)
    plain = np.clip(0.5 + d.ravel()[rim], 0, 1)
    alpha = trust * mixed + (1 - trust) * plain
    out[rim] = np.clip(alpha, np.clip((reach - 0.75) / 1.5, 0, 1), np.clip((reach + 2.25) / 1.5, 0, 1))
    return np.asarray(out.reshape(full, full) * 255 + 0.5, np.uint8)


def _side(colour: Real, distance: Real) -> Real:
    """The colour of one side near its border, extended beyond it, without the mixed pixels of the rim."""
    weight = np.where(distance > 1.5, 1.0, np.where(distance > 0, 0.02, 0.0)).astype(np.float32)
    weight *= distance < 12
    return local_mean(colour, weight, 2.0, 1)[0]


def _at(field: Real, where: NDArray[np.intp], full: int, work: int) -> Real:
    """A field at the working size, at full-size pixels (bilinear)."""
    if full == work:
        return np.asarray(field.reshape(-1, 3)[where])
    y, x = np.divmod(where, full)
    scale = work / full
    position = [(y + 0.5) * scale - 0.5, (x + 0.5) * scale - 0.5]
    planes = [ndimage.map_coordinates(field[..., k], position, order=1, mode="nearest") for k in range(3)]
    return np.stack(planes, -1)
