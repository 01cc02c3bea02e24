"""Wavefront OBJ with its MTL: mesh.obj, material.mtl, texture_kd.png.

`v`, `vt` and `vn` are indexed apart, so the surface stays watertight in the file itself. OBJ's texture origin is the
bottom left corner: v is flipped. The MTL says `Kd 1 1 1`, for viewers multiply the texture by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.export.files import write_file
from engine.export.glb import generator
from engine.export.layout import normal_float32, position_float32
from engine.mesh import TexturedMesh

LINES_AT_ONCE = 1 << 16


def mtl_text(texture_name: str) -> str:
    """The material file's content: the texture unchanged, no gloss."""
    return (
        f"# {generator()}\nnewmtl material\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"
        f"map_Kd {texture_name}\n"
    )  # fmt: skip


def _lines(template: str, rows: NDArray[np.float64] | NDArray[np.int64]) -> bytes:
    """`template % row` for each row, joined; a few thousand rows at once, for speed and bounded memory."""
    parts = []
    for start in range(0, len(rows), LINES_AT_ONCE):
        block = rows[start : start + LINES_AT_ONCE]
        parts.append((template * len(block)) % tuple(block.ravel().tolist()))
    return "".join(parts).encode("ascii")


def write_obj(textured: TexturedMesh, path: Path, mtl_name: str = "material.mtl") -> None:
    """Write the geometry; nine digits bring each float32 back bit by bit. Raises DiskFull or ShareUnavailable."""
    mesh = textured.mesh
    uv = textured.uv.astype(np.float64)
    uv[:, 1] = 1 - uv[:, 1]
    corner = np.stack([mesh.faces, textured.faces_uv, mesh.faces], axis=2).astype(np.int64).reshape(-1, 9) + 1
    write_file(
        path,
        f"# {generator()}\nmtllib {mtl_name}\no mesh\n".encode(),
        _lines("v %.9g %.9g %.9g\n", position_float32(mesh).astype(np.float64)),
        _lines("vt %.9g %.9g\n", uv),
        _lines("vn %.5g %.5g %.5g\n", normal_float32(mesh).astype(np.float64)),
        b"usemtl material\ns 1\n",
        _lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", corner),
    )


def write_mtl(path: Path, texture_name: str = "texture_kd.png") -> None:
    """Write the material file. Raises DiskFull or ShareUnavailable."""
    write_file(path, mtl_text(texture_name).encode("ascii"))
