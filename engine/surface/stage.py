"""Stage 6: from the signed distance volume to the mesh."""

from __future__ import annotations

import numpy as np

from config.errors import ModelFailed
from engine.fuse.result import Fusion
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.surface.components import keep_parts
from engine.surface.marching import marching_cubes
from engine.surface.planes import vertex_planes
from engine.surface.simplify import simplify
from engine.surface.smooth import taubin
from engine.surface.verify import defects

SMOOTHING = 3


def extract_surface(fusion: Fusion, target_faces: int, checkpoint: Checkpoint) -> Mesh:
    """The object's surface: closed, oriented, 2-manifold, without degenerate faces in float32, simplified.

    Positions are exactly representable in float32, so that what is verified here is what files hold. Raises ModelFailed
    where there is no surface.
    """
    volume = fusion.volume
    dense = keep_parts(marching_cubes(volume.values, volume.origin, volume.voxel_size))
    if not len(dense.faces):
        raise ModelFailed("fusing the depth renders left no solid")
    checkpoint(0.2)
    smooth = taubin(dense, SMOOTHING)
    checkpoint(0.3)
    planes = None if fusion.maps is None else vertex_planes(smooth, fusion.maps, volume.voxel_size)
    mesh = _as_float32(simplify(smooth, target_faces, lambda fraction: checkpoint(0.3 + 0.6 * fraction), planes))
    # every step keeps the topology; only rounding could still spoil it, and the marching cubes' own faces stand that
    for candidate in (mesh, _as_float32(smooth), _as_float32(dense)):
        found = defects(candidate)
        if not found:
            checkpoint(1.0)
            return candidate
    raise ModelFailed("the surface is not a closed manifold: " + ", ".join(found))


def _as_float32(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices.astype(np.float32).astype(np.float64), mesh.faces)
