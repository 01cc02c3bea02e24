"""Binary PLY: mesh.ply.

Vertices are shared and carry normals and colours, so the surface is watertight and coloured in every reader (Blender,
Open3D, MeshLab, trimesh). Texture coordinates are left to OBJ and GLB: readers that know them split the vertices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.export.files import write_file
from engine.export.glb import generator
from engine.export.layout import normal_float32, position_float32
from engine.mesh import TexturedMesh

VERTEX: Final = np.dtype([("position", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
FACE: Final = np.dtype([("corners", "u1"), ("vertex", "<i4", 3)])
HEADER: Final = """ply
format binary_little_endian 1.0
comment {generator}
element vertex {vertices}
property float x
property float y
property float z
property float nx
property float ny
property float nz
property uchar red
property uchar green
property uchar blue
element face {faces}
property list uchar int vertex_indices
end_header
"""
TOWARDS_CENTROID: Final = (0.0, 0.25, 0.5)


def _bilinear(texture: NDArray[np.uint8], uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample [S, S, 3] at uv [N, 2] (0..1, v down), clamped: [N, 3] in 0..255."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    upper = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    lower = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)


def vertex_colours(textured: TexturedMesh) -> NDArray[np.uint8]:
    """[V, 3] sRGB: the texture's mean around each vertex.

    Samples lie within the faces that meet there, on the way to each one's centroid: more than one, since a vertex
    stands for many texels, and never beyond a chart's edge.
    """
    mesh = textured.mesh
    uv = textured.uv[textured.faces_uv]
    centroid = uv.mean(1)
    total = np.zeros((len(mesh.vertices), 3))
    count = np.zeros(len(mesh.vertices))
    for corner in range(3):
        at = mesh.faces[:, corner]
        count += np.bincount(at, minlength=len(count)) * len(TOWARDS_CENTROID)
        colour = np.zeros((len(at), 3), np.float32)
        for share in TOWARDS_CENTROID:
            colour += _bilinear(
                textured.texture_kd, uv[:, corner] * np.float32(1 - share) + centroid * np.float32(share)
            )
        for channel in range(3):
            total[:, channel] += np.bincount(at, colour[:, channel], minlength=len(count))
    return np.asarray(np.rint(total / np.maximum(count, 1)[:, None]), np.uint8)


def write_ply(textured: TexturedMesh, path: Path) -> None:
    """Write positions, normals, colours and faces. Raises DiskFull or ShareUnavailable."""
    mesh = textured.mesh
    vertex = np.zeros(len(mesh.vertices), VERTEX)
    vertex["position"] = position_float32(mesh)
    vertex["normal"] = normal_float32(mesh)
    vertex["colour"] = vertex_colours(textured)
    face = np.zeros(len(mesh.faces), FACE)
    face["corners"] = 3
    face["vertex"] = mesh.faces
    header = HEADER.format(generator=generator(), vertices=len(vertex), faces=len(face))
    write_file(path, header.encode("ascii"), vertex.tobytes(), face.tobytes())
