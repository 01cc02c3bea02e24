"""The default back end: compiled kernels on threads, a band of rows each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map, row_bands, thread_count
from engine.render import kernels
from engine.render.clipping import ClippedFaces, clip_faces, clip_planes
from engine.render.elements import GUARD_PX, SUBPIXELS
from engine.render.mipmap import mip_chain
from engine.render.types import Float32, Fragments, Int32


@dataclass(frozen=True, eq=False)
class Setup:
    """Triangles ready to be drawn. Shapes as in `kernels.rasterize_rows`; position_clip [V, 4], faces [F, 3]."""

    position_clip: Float32
    faces: Int32
    size_px: tuple[int, int]
    xy: NDArray[np.int64]
    inverse_w: NDArray[np.float64]
    usable: NDArray[np.bool_]
    spans: Int32
    triangles: Int32
    clipped_face: Int32
    clipped_weights: NDArray[np.float64]

    def draw(self, first_row: int, end_row: int) -> Fragments:
        """Rows first_row..end_row of the picture, on this thread."""
        shape = (end_row - first_row, self.size_px[1])
        out = Fragments(np.empty(shape, np.int32), np.empty((*shape, 2), np.float32), np.empty(shape, np.float32))
        self.draw_into(first_row, out.face_index, out.barycentric, out.depth)
        return out

    def draw_into(self, first_row: int, face_index: Int32, barycentric: Float32, depth: Float32) -> None:
        """Rows first_row.. as `kernels.rasterize_rows` leaves them."""
        kernels.rasterize_rows(
            self.xy,
            self.inverse_w,
            self.spans,
            self.triangles,
            len(self.faces),
            self.clipped_face,
            self.clipped_weights,
            first_row,
            face_index,
            barycentric,
            depth,
        )

    def rows(self) -> tuple[int, int]:
        """The half-open range of rows outside of which nothing is."""
        y = self.xy[self.usable, 1]
        if len(y) == 0:
            return 0, 0
        low, high = int(y.min()) // SUBPIXELS, int(y.max()) // SUBPIXELS + 1
        return min(max(low, 0), self.size_px[0]), min(max(high, 0), self.size_px[0])


def _check(position_clip: NDArray[Any], faces: NDArray[Any]) -> tuple[Float32, Int32]:
    if position_clip.ndim != 2 or position_clip.shape[1] != 4 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"position_clip is {position_clip.shape}, faces {faces.shape}; expected [V, 4] and [F, 3]")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(position_clip):
        raise ValueError(f"faces name vertices {faces.min()}..{faces.max()} of {len(position_clip)}")
    return np.ascontiguousarray(position_clip, np.float32), np.ascontiguousarray(faces, np.int32)


def _snap(
    position_clip: Float32, size_px: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    count = len(position_clip)
    xy, inverse_w = np.zeros((count, 2), np.int64), np.zeros(count, np.float64)
    usable = np.empty(count, np.bool_)

    def snap(part: tuple[int, int]) -> None:
        some = slice(*part)
        kernels.setup_vertices(position_clip[some], *size_px, xy[some], inverse_w[some], usable[some])

    parallel_map(snap, row_bands(count))
    return xy, inverse_w, usable


def clipped_corners(position_clip: Float32, faces: Int32, size_px: tuple[int, int]) -> tuple[Float32, ClippedFaces]:
    """The visible parts of faces [F, 3] of which a corner is not usable: their corners [3·C, 4] float32, and what is
    known of them.
    """
    usable = _snap(position_clip, size_px)[2]
    outside = np.flatnonzero(~usable[faces].all(1))
    guard = 0.49 * GUARD_PX  # within the band from any side of the picture, whatever rounding does
    planes = clip_planes((guard / size_px[1], guard / size_px[0]))
    parts = clip_faces(position_clip.astype(np.float64), faces, outside, planes)
    corners = np.ascontiguousarray(parts.position_clip.reshape(-1, 4), np.float32)
    corners[:, 2] = np.maximum(corners[:, 2], -corners[:, 3])  # on the plane, not behind it by rounding
    return corners, parts


def setup(position_clip: Float32, faces: Int32, size_px: tuple[int, int]) -> Setup:
    """Snap the vertices; clip the faces that need it."""
    position_clip, faces = _check(position_clip, faces)
    xy, inverse_w, usable = _snap(position_clip, size_px)
    triangles = faces
    clipped_face, clipped_weights = np.zeros(0, np.int32), np.zeros((0, 3, 2))
    if not usable.all():
        corners, parts = clipped_corners(position_clip, faces, size_px)
        extra = _snap(corners, size_px)
        new = np.arange(len(corners), dtype=np.int32).reshape(-1, 3) + np.int32(len(xy))
        triangles = np.concatenate([faces, new])
        xy, inverse_w, usable = (np.concatenate(pair) for pair in zip((xy, inverse_w, usable), extra, strict=True))
        clipped_face, clipped_weights = parts.face, np.ascontiguousarray(parts.weights[:, :, :2])
    spans = np.empty((len(triangles), 2), np.int32)

    def find(part: tuple[int, int]) -> None:
        kernels.find_spans(xy, usable, triangles[slice(*part)], *size_px, spans[slice(*part)])

    parallel_map(find, row_bands(len(triangles)))
    return Setup(position_clip, faces, size_px, xy, inverse_w, usable, spans, triangles, clipped_face, clipped_weights)


class NumbaRasterizer:
    """See `Rasterizer`. Deterministic: the result does not depend on the thread count."""

    name: Literal["numba"] = "numba"

    def rasterize(
        self, position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
    ) -> Fragments:
        """See `Rasterizer`."""
        height, width = size_px
        drawing = setup(position_clip, faces, size_px)
        out = Fragments(
            np.full((height, width), -1, np.int32),
            np.zeros((height, width, 2), np.float32),
            np.zeros((height, width), np.float32),
            np.zeros((height, width, 2, 2), np.float32) if derivatives else None,
        )
        first, end = drawing.rows()

        def band(rows: tuple[int, int]) -> None:
            rows = (rows[0] + first, rows[1] + first)
            part = slice(*rows)
            drawing.draw_into(rows[0], out.face_index[part], out.barycentric[part], out.depth[part])
            if out.barycentric_dxy is not None:
                kernels.barycentric_derivatives(
                    drawing.position_clip,
                    drawing.faces,
                    height,
                    width,
                    *rows,
                    out.face_index,
                    out.barycentric,
                    out.depth,
                    out.barycentric_dxy,
                )

        if end > first:
            parallel_map(band, row_bands(end - first, 4 * thread_count()))
        return out

    @overload
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[False] = False
    ) -> Float32: ...
    @overload
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[True]
    ) -> tuple[Float32, Float32]: ...
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: bool = False
    ) -> Float32 | tuple[Float32, Float32]:
        """See `Rasterizer`."""
        attributes = np.ascontiguousarray(attributes, np.float32)
        faces = np.ascontiguousarray(faces, np.int32)
        height, width = fragments.face_index.shape
        out = np.empty((height, width, attributes.shape[1]), np.float32)

        def band(rows: tuple[int, int]) -> None:
            kernels.interpolate_rows(attributes, faces, fragments.face_index, fragments.barycentric, *rows, out)

        parallel_map(band, row_bands(height))
        if not derivatives:
            return out
        slopes = fragments.barycentric_dxy
        if slopes is None:
            raise ValueError("rasterize with derivatives=True to interpolate with derivatives")
        out_dxy = np.empty((*out.shape, 2), np.float32)

        def slope_band(rows: tuple[int, int]) -> None:
            kernels.interpolate_derivative_rows(attributes, faces, fragments.face_index, slopes, *rows, out_dxy)

        parallel_map(slope_band, row_bands(height))
        return out, out_dxy

    def sample_texture(self, image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
        """See `Rasterizer`."""
        chain = mip_chain(image, full=uv_dxy is not None)
        points = np.ascontiguousarray(uv, np.float32).reshape(-1, 2)
        footprint = np.zeros((0, 2, 2), np.float32)
        if uv_dxy is not None:
            footprint = np.ascontiguousarray(uv_dxy, np.float32).reshape(-1, 2, 2)
        out = np.empty((len(points), image.shape[2]), np.float32)
        scale = 1 / 255 if image.dtype == np.uint8 else 1.0

        def band(rows: tuple[int, int]) -> None:
            kernels.sample_points(chain.texels, chain.levels, scale, points, footprint, *rows, out)

        if len(points):
            parallel_map(band, row_bands(len(points)))
        return out.reshape(*uv.shape[:-1], image.shape[2])
