"""Faces that cross the near plane, or reach too far outside the picture for exact integers.

They are few, so this is plain Python: Sutherland and Hodgman, "Reentrant Polygon Clipping", CACM 17(1), 1974.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClippedFaces:
    """The visible parts of clipped faces, as triangles.

    position_clip: [C, 3, 4] float64 corners. weights: [C, 3, 3] float64, each corner's barycentric weights in its face.
    face: [C] int32.
    """

    position_clip: Array
    weights: Array
    face: NDArray[np.int32]


def clip_planes(guard: tuple[float, float]) -> Array:
    """[5, 4]: inside is plane · (x, y, z, w) >= 0. guard: largest |x/w| and |y/w|."""
    gx, gy = guard
    return np.array([[0, 0, 1, 1], [1, 0, 0, gx], [-1, 0, 0, gx], [0, 1, 0, gy], [0, -1, 0, gy]], np.float64)


def _clip_polygon(polygon: list[Array], plane: Array) -> list[Array]:
    """polygon: corners of [x, y, z, w, weights...]."""
    out: list[Array] = []
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        da, db = float(plane @ a[:4]), float(plane @ b[:4])
        if da >= 0:
            out.append(a)
        if (da >= 0) != (db >= 0):
            # Always from the same end, so that neighbours get the same new corner and no crack opens.
            if tuple(a[:4]) <= tuple(b[:4]):
                out.append(a + (b - a) * (da / (da - db)))
            else:
                out.append(b + (a - b) * (db / (db - da)))
    return out


def clip_faces(
    position_clip: Array, faces: NDArray[np.int32], indices: NDArray[np.int64], planes: Array
) -> ClippedFaces:
    """Clip the faces [F, 3] named in `indices` [N] to the planes [P, 4]; position_clip: [V, 4]."""
    positions: list[Array] = []
    weights: list[Array] = []
    source: list[int] = []
    for index in indices:
        corners = position_clip[faces[index]]
        if not np.isfinite(corners).all() or bool(((corners @ planes.T) < 0).all(0).any()):
            continue
        polygon = list(np.concatenate([corners, np.eye(3)], 1))
        for plane in planes:
            polygon = _clip_polygon(polygon, plane) if polygon else []
        for k in range(1, len(polygon) - 1):
            triangle = np.stack([polygon[0], polygon[k], polygon[k + 1]])
            positions.append(triangle[:, :4])
            weights.append(triangle[:, 4:])
            source.append(int(index))
    return ClippedFaces(
        np.array(positions, np.float64).reshape(-1, 3, 4),
        np.array(weights, np.float64).reshape(-1, 3, 3),
        np.array(source, np.int32),
    )
