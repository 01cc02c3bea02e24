"""Binary STL: mesh.stl, geometry alone, for printing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from engine.export.files import write_file
from engine.export.glb import generator
from engine.export.layout import position_float32
from engine.mesh import Mesh

TRIANGLE: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(mesh: Mesh, path: Path) -> None:
    """Write `mesh` in the world's units. Raises DiskFull or ShareUnavailable."""
    triangles = np.zeros(len(mesh.faces), TRIANGLE)
    triangles["normal"] = mesh.face_normals()
    triangles["corners"] = position_float32(mesh)[mesh.faces]
    header = generator().encode("ascii").ljust(80)[:80]  # must not begin with "solid": that means a text file
    write_file(path, header, struct.pack("<I", len(triangles)), triangles.tobytes())
