"""The mesh as the page's viewer takes it: quantised, in one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.mesh import TexturedMesh
from engine.texture import GRAZING_COSINE, SEEN_COSINE

STEPS: Final = 65535
SEEN, GRAZING, UNSEEN, GENERATED = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Model:
    """data: little-endian blocks, each padded to 4 bytes: positions [V, 3] uint16 between the box's corners, uv [T, 2]
    uint16, the vertex of each uv [T], the faces [F, 3] into uv, how well each face is seen [F] uint8 (0 seen, 1
    grazing, 2 unseen, 3 generated). Indices are uint16, or uint32 where `wide`.
    """

    data: bytes
    vertices: int
    corners: int
    faces: int
    low: list[float]
    high: list[float]
    radius: float
    wide: bool

    def facts(self) -> dict[str, Any]:
        """All but the data, for JSON."""
        return {key: value for key, value in self.__dict__.items() if key != "data"}


def visibility(confidence: NDArray[np.float32], generated: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """[F] uint8 of faces: SEEN, GRAZING, UNSEEN or GENERATED.

    confidence: [F], the best cosine that a view sees a face under. generated: [F], those that a model has imagined.
    """
    seen = np.where(confidence < SEEN_COSINE, UNSEEN, np.where(confidence < GRAZING_COSINE, GRAZING, SEEN))
    return (seen if generated is None else np.where(generated, GENERATED, seen)).astype(np.uint8)


def pack_model(textured: TexturedMesh, seen: NDArray[np.uint8]) -> Model:
    """textured: as read back from mesh.glb. seen: [F] uint8, of `visibility`, in the order of its faces."""
    mesh = textured.mesh
    low, high = mesh.bounds()
    extent = np.maximum(high - low, 1e-12)
    vertex_of = np.zeros(len(textured.uv), np.int64)
    vertex_of[textured.faces_uv] = mesh.faces
    wide = max(len(mesh.vertices), len(textured.uv)) > STEPS
    index = "<u4" if wide else "<u2"
    blocks = [
        np.rint((mesh.vertices - low) / extent * STEPS).astype("<u2"),
        np.rint(np.clip(textured.uv, 0, 1) * STEPS).astype("<u2"),
        vertex_of.astype(index),
        textured.faces_uv.astype(index),
        seen.astype(np.uint8),
    ]
    data = b"".join(block.tobytes() + bytes(-block.nbytes % 4) for block in blocks)
    centre = (low + high) / 2
    radius = max(float(np.linalg.norm(mesh.vertices - centre, axis=1).max()), 1e-9)
    return Model(
        data,
        len(mesh.vertices),
        len(textured.uv),
        len(mesh.faces),
        low.tolist(),
        high.tolist(),
        radius,
        wide,
    )
