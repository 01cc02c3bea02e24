"""What fusion hands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.fuse.view_maps import ViewMaps


@dataclass(frozen=True, eq=False)
class SignedDistanceVolume:
    """Samples of a truncated signed distance on a regular grid.

    values: [X, Y, Z] float32, world units, positive outside the object and on the volume's own faces. origin: [3] world
    position of sample (0, 0, 0). voxel_size: distance of two samples, world units.
    """

    values: NDArray[np.float32]
    origin: NDArray[np.float64]
    voxel_size: float


@dataclass(frozen=True, eq=False)
class Fusion:
    """The six depth renders as one solid.

    depth: [h, w] float32 planar camera z of each view, world units, without quantisation's terraces; 0 = background.
    maps: the same as local planes, for what needs the surface's slope; None where a solid does not come from views.
    """

    volume: SignedDistanceVolume
    depth: dict[ViewName, NDArray[np.float32]]
    maps: ViewMaps | None = None


def depth_error(drawn: NDArray[np.float32], delivered: NDArray[np.float32], diagonal: float) -> float:
    """Median |difference| of two depth maps [h, w] (0 = none) where both are, over `diagonal`; 1 if nowhere."""
    both = (drawn > 0) & (delivered > 0)
    if not both.any() or diagonal <= 0:
        return 1.0
    return float(np.median(np.abs(drawn[both] - delivered[both]))) / diagonal
