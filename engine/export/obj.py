"""Wavefront OBJ with its MTL: mesh.obj, material.mtl, texture_kd.png, and the other textures where there are any.

`v`, `vt` and `vn` are indexed apart, so the surface stays watertight in the file itself. OBJ's texture origin is the
bottom left corner: v is flipped. The MTL says `Kd 1 1 1`, for viewers multiply the texture by it.
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

LINES_AT_ONCE = 1 << 16


TEXTURES: Final = ("texture_kd.png", "texture_ks.png", "texture_normal.png")


def mtl_text(*, with_maps: bool = False) -> str:
    """The material file's content: the texture unchanged, no gloss.

    with_maps: also the second and third of TEXTURES, by the names of the PBR extension (map_Pr, map_Pm, norm) and
    map_Ks as nvdiffrec writes it. Ks is 0, so that viewers from before that extension show no gloss where the map has
    occlusion; -imfchan says which channel is meant, for those that know it.
    """
    kd, ks, normal = TEXTURES
    text = (
        f"# {generator()}\nnewmtl material\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"
        f"map_Kd {kd}\n"
    )  # fmt: skip
    if with_maps:
        text += f"map_Ks {ks}\nPr 1\nmap_Pr -imfchan g {ks}\nPm 0\nmap_Pm -imfchan b {ks}\nnorm {normal}\n"
    return text


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


def write_mtl(path: Path, *, with_maps: bool = False) -> None:
    """Write the material file; see `mtl_text`. Raises DiskFull or ShareUnavailable."""
    write_file(path, mtl_text(with_maps=with_maps).encode("ascii"))
