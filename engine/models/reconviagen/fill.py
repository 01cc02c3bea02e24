"""What the cameras measured, kept; what none of them sees, taken from the generated object, and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from config.bundle_layout import ViewName
from engine.camera import Camera
from engine.fuse.result import Fusion, SignedDistanceVolume
from engine.jit import jit
from engine.mesh import Mesh
from engine.progress import Checkpoint

_SEEN_VOXELS: Final = 1.5
"""A point this close to a view's depth, along the camera's axis, is one that the view sees."""

_KEPT_VOXELS: Final = 3
"""How deep below a surface that is seen the measured solid stays as it is."""

_BAND_VOXELS: Final = 3.0

_WITHIN_VOXELS: Final = 1.0
_LABEL_VOXELS: Final = 2.0
"""A face so deep in the measured solid was not measured, unless a view's depth is so close to it along its axis:
smoothing and simplifying move a surface by a voxel or so.
"""

_AT_ONCE: Final = 200_000


def seen_by_a_camera(
    points: NDArray[np.float64],
    cameras: Mapping[ViewName, Camera],
    depth: Mapping[ViewName, NDArray[np.float32]],
    tolerance: float,
) -> NDArray[np.bool_]:
    """Whether a view's depth shows a point. What is not seen is what gets the label "generated".

    points: [N, 3], world. depth: of `fuse`, at the cameras' size. tolerance: world units, along the camera's axis.
    Returns [N].
    """
    seen = np.zeros(len(points), np.bool_)
    for name, camera in cameras.items():
        rest = np.nonzero(~seen)[0]
        uv_px, z = camera.project(points[rest])
        with np.errstate(invalid="ignore"):
            column, row = np.floor(uv_px).T
        size = camera.size_px
        inside = (z > 0) & (column >= 0) & (row >= 0) & (column < size) & (row < size)
        rest, z = rest[inside], z[inside]
        measured = depth[name][row[inside].astype(np.intp), column[inside].astype(np.intp)]
        seen[rest] = (measured > 0) & (np.abs(measured - z) < tolerance)
    return seen


def fill_unseen(
    fusion: Fusion,
    cameras: Mapping[ViewName, Camera],
    generated: Mesh,
    checkpoint: Checkpoint = lambda fraction: None,
) -> Fusion:
    """Take away from the measured solid what no camera sees and the generated object does not have.

    What six views leave open counts as solid (`fuse`): the generated object can only be smaller there. Within a few
    voxels of a surface that a camera sees, the measured solid stays as it is. generated: in the world.
    """
    volume = fusion.volume
    values, h = volume.values, volume.voxel_size
    near = np.argwhere(np.abs(values) < _SEEN_VOXELS * h)
    checkpoint(0.05)
    seen = seen_by_a_camera(volume.origin + near * h, cameras, fusion.depth, _SEEN_VOXELS * h)
    checkpoint(0.1)
    kept = np.zeros(values.shape, np.bool_)
    kept[tuple(near[seen].T)] = True
    for _ in range(_KEPT_VOXELS):
        kept = ndimage.binary_dilation(kept, ndimage.generate_binary_structure(3, 1))
        checkpoint(0.2)
    other = signed_distance(generated, volume, lambda fraction: checkpoint(0.2 + 0.8 * fraction))
    filled = np.where(kept, values, np.maximum(values, other))
    return replace(fusion, volume=SignedDistanceVolume(filled, volume.origin, h))


def signed_distance(
    mesh: Mesh, like: SignedDistanceVolume, checkpoint: Checkpoint = lambda fraction: None
) -> NDArray[np.float32]:
    """A mesh's signed distance at a volume's samples, exact near the surface and cut off three voxels from it.

    mesh: closed, in the world, its vertices not much farther apart than a voxel. Returns [X, Y, Z], positive outside.
    """
    h, shape = like.voxel_size, like.values.shape
    inside = _inside(mesh, like)
    checkpoint(0.1)
    cut = np.float32(_BAND_VOXELS * h)
    out = np.where(inside, -cut, cut).astype(np.float32)
    band = np.zeros(shape, np.bool_)
    at = np.rint((mesh.vertices - like.origin) / h).astype(np.int64)
    at = at[((at >= 0) & (at < shape)).all(axis=1)]
    band[tuple(at.T)] = True
    band |= _borders(inside)
    for _ in range(3):
        band = ndimage.binary_dilation(band)
        checkpoint(0.2)
    samples = np.argwhere(band)
    tree, normals = cKDTree(mesh.vertices), mesh.vertex_normals()
    for first in range(0, len(samples), _AT_ONCE):
        some = samples[first : first + _AT_ONCE]
        place = like.origin + some * h
        _, closest = tree.query(place)
        offset = place - mesh.vertices[closest]
        height = np.abs(np.einsum("ij,ij->i", offset, normals[closest])).astype(np.float32)
        index = tuple(some.T)
        out[index] = np.minimum(height, cut) * np.where(inside[index], -1, 1)
        checkpoint(0.2 + 0.8 * (first + len(some)) / len(samples))
    return out


def _borders(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(inside ^ ndimage.binary_erosion(inside))


def _inside(mesh: Mesh, like: SignedDistanceVolume) -> NDArray[np.bool_]:
    """Which samples lie inside: those with an odd number of faces below them."""
    # Meshes from grids have vertices right on the columns, where rounding decides: move them a little beside.
    place = (mesh.vertices - like.origin) / like.voxel_size + (1.1e-4, 1.7e-4, 0)
    odd = np.zeros(like.values.shape, np.bool_)
    _count_crossings(np.ascontiguousarray(place), np.ascontiguousarray(mesh.faces, np.int32), odd)
    return np.logical_xor.accumulate(odd, axis=2)


@jit
def _count_crossings(place: Any, faces: Any, odd: Any) -> None:  # pragma: no cover
    """Flip `odd` at the first sample above each crossing of a face with a column of samples."""
    X, Y, Z = odd.shape
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, bx, by, cx, cy = place[a, 0], place[a, 1], place[b, 0], place[b, 1], place[c, 0], place[c, 1]
        x0 = max(int(np.ceil(min(ax, bx, cx))), 0)
        x1 = min(int(np.floor(max(ax, bx, cx))), X - 1)
        y0 = max(int(np.ceil(min(ay, by, cy))), 0)
        y1 = min(int(np.floor(max(ay, by, cy))), Y - 1)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                # An edge is crossed by the half-open rule, so that a column through it meets one of its faces.
                meets = False
                if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                    meets = not meets
                if (by > y) != (cy > y) and x < (cx - bx) * (y - by) / (cy - by) + bx:
                    meets = not meets
                if (cy > y) != (ay > y) and x < (ax - cx) * (y - cy) / (ay - cy) + cx:
                    meets = not meets
                if meets:
                    u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                    v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                    z = u * place[a, 2] + v * place[b, 2] + (1 - u - v) * place[c, 2]
                    k = max(int(np.ceil(z)), 0)
                    if k < Z:
                        odd[x, y, k] = not odd[x, y, k]


def generated_faces(
    mesh: Mesh,
    cameras: Mapping[ViewName, Camera],
    depth: Mapping[ViewName, NDArray[np.float32]],
    measured: SignedDistanceVolume,
) -> NDArray[np.bool_]:
    """Which faces come from the generated object: no camera sees them, and they lie within the measured solid.

    What no camera sees on the measured solid's own border is left as measured: free space ends there. mesh: in the
    world, of a volume that `fill_unseen` made. Returns [F].
    """
    h = measured.voxel_size
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    at = ((centres - measured.origin) / h).T
    within = ndimage.map_coordinates(measured.values, at, order=1, mode="nearest") < -_WITHIN_VOXELS * h
    out = np.zeros(len(centres), np.bool_)
    out[within] = ~seen_by_a_camera(centres[within], cameras, depth, _LABEL_VOXELS * h)
    return out


def share_of_area(mesh: Mesh, faces: NDArray[np.bool_]) -> float:
    """What share of a mesh's surface some faces [F] have, 0..1."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return float(area[faces].sum() / max(area.sum(), 1e-300))
