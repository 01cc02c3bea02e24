"""The CPU's back end: compiled kernels on threads, as torch's autograd functions.

Deterministic, whatever the thread count: sums go over a fixed number of parts, and over these in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from engine.diff import geometry_kernels, silhouette_kernels
from engine.diff.pyramid import chain, chain_backward, copied, zeros_like
from engine.diff.sampling import look_up, to_coordinates, to_texels
from engine.diff.topology import faces_across
from engine.jit import parallel_map, row_bands, thread_count
from engine.render.numba_backend import setup

_PARTS = 8
"""In how many parts a sum over pixels is formed."""
Array = NDArray[Any]


def _apply(function: type[Function], *arguments: Any) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().contiguous().numpy())


def _faces(tensor: Tensor) -> NDArray[np.int32]:
    return _array(tensor.to(torch.int32))


def _like(array: Array, tensor: Tensor) -> Tensor:
    return torch.from_numpy(array).to(tensor.dtype)


def _stacked(arrays: list[Array], shape: tuple[int, ...]) -> Tensor:
    """One after the other; a single one is not copied."""
    whole = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    return torch.from_numpy(whole.reshape(shape))


def _summed(shape: tuple[int, int], rows: int, add: Callable[[int, int, Array], None]) -> NDArray[np.float64]:
    """The sum [shape] of what `add` puts into a buffer for each band of rows, always in the same order."""
    bands = row_bands(rows, _PARTS)
    parts = np.zeros((len(bands), *shape))

    def band(index: int) -> None:
        add(*bands[index], parts[index])

    parallel_map(band, range(len(bands)))
    return np.asarray(parts.sum(0))


class _Rasterize(Function):
    @staticmethod
    def forward(ctx: Any, position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
        count, (height, width) = len(position_clip), size_px
        positions, triangles = _array(position_clip), _faces(faces)
        raster = np.empty((count, height, width, 4), positions.dtype)
        slopes = np.empty((count, height, width, 4), positions.dtype)
        ctx.seen = [_draw(positions[n], triangles, raster[n], slopes[n]) for n in range(count)]
        ctx.save_for_backward(position_clip, faces)
        out, out_slopes = torch.from_numpy(raster), torch.from_numpy(slopes)
        ctx.mark_non_differentiable(out_slopes)
        return out, out_slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _slopes: Tensor) -> tuple[Tensor, None, None]:
        position_clip, faces = ctx.saved_tensors
        triangles, gradients = _faces(faces), _array(gradient)
        out = np.zeros(tuple(position_clip.shape))
        for n, (face_index, inverse) in enumerate(ctx.seen):
            _to_vertices(triangles, face_index, inverse, gradients[n], out[n])
        return _like(out, position_clip), None, None


def _draw(position: Array, triangles: NDArray[np.int32], raster: Array, slopes: Array) -> tuple[Array, Array]:
    """One picture: raster and slopes [H, W, 4] are filled. The faces [H, W] int32, -1 = none, and `invert_corners`'."""
    height, width = raster.shape[:2]
    drawing = setup(position.astype(np.float32), triangles, (height, width))
    face_index = np.empty((height, width), np.int32)
    seen, inverse = np.zeros(len(triangles), np.uint8), np.empty((len(triangles), 9))
    unweighed = np.empty((0, width, 2), np.float32)
    bands = row_bands(height, 4 * thread_count())

    def band(rows: tuple[int, int]) -> None:
        part = face_index[slice(*rows)]
        drawing.draw_into(rows[0], part, unweighed, np.empty(part.shape, np.float32))
        geometry_kernels.mark_seen(part, seen)

    def invert(part: tuple[int, int]) -> None:
        geometry_kernels.invert_corners(position, triangles, seen, *part, height, width, inverse)

    def weigh(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        geometry_kernels.raster_rows(
            position, triangles, inverse, rows[0], face_index[part], raster[part], slopes[part]
        )

    parallel_map(band, bands)
    parallel_map(invert, row_bands(len(triangles)))
    parallel_map(weigh, bands)
    return face_index, inverse


def _to_vertices(triangles: NDArray[np.int32], face_index: Array, inverse: Array, gradient: Array, out: Array) -> None:
    """Add the way back of one picture's weights to out [V, 4]; face_index, inverse: from `_draw`."""
    height, width = face_index.shape

    def band(rows: tuple[int, int]) -> tuple[Array, Array, int]:
        most = min(len(triangles), (rows[1] - rows[0]) * width)
        slot, found, sums = np.full(len(triangles), -1, np.int32), np.empty(most, np.int32), np.empty((most, 9))
        count = geometry_kernels.gather_rows(inverse, face_index, gradient, *rows, slot, found, sums)
        geometry_kernels.sum_to_corners(inverse, found, sums, count, height, width)
        return found, sums, count

    for found, sums, count in parallel_map(band, row_bands(height, _PARTS)):
        geometry_kernels.scatter_faces(triangles, found, sums, count, out)


class _Interpolate(Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        values, rasters, triangles = _array(attributes), _array(raster), _faces(faces)
        count, height, width = rasters.shape[:3]
        channels = values.shape[2]
        out = np.empty((count, height, width, channels), values.dtype)
        steps = np.empty((count, 0, width, 4), values.dtype) if slopes is None else _array(slopes)
        out_steps = np.empty((count, 0 if slopes is None else height, width, 2 * channels), values.dtype)
        for n in range(count):

            def band(rows: tuple[int, int], n: int = n) -> None:
                geometry_kernels.interpolate_rows(
                    values[n % len(values)], triangles, rasters[n], steps[n], *rows, out[n], out_steps[n]
                )

            parallel_map(band, row_bands(height, 4 * thread_count()))
        ctx.save_for_backward(attributes, raster, faces)
        if slopes is None:
            return torch.from_numpy(out), None
        out_slopes = torch.from_numpy(out_steps)
        ctx.mark_non_differentiable(out_slopes)
        return torch.from_numpy(out), out_slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _slopes: Tensor | None) -> tuple[Tensor | None, Tensor, None, None]:
        attributes, raster, faces = ctx.saved_tensors
        values, rasters, triangles, gradients = _array(attributes), _array(raster), _faces(faces), _array(gradient)
        wanted = bool(ctx.needs_input_grad[0])
        out = np.zeros(values.shape)
        out_raster = np.empty_like(rasters)
        for n in range(len(rasters)):

            def add(first: int, end: int, part: Array, n: int = n) -> None:
                geometry_kernels.interpolate_backward_rows(
                    values[n % len(values)], triangles, rasters[n], gradients[n], first, end, part, out_raster[n]
                )

            shape = (values.shape[1] if wanted else 0, values.shape[2])
            total = _summed(shape, rasters.shape[1], add)
            if wanted:
                out[n % len(values)] += total
        return _like(out, attributes) if wanted else None, torch.from_numpy(out_raster), None, None


class _Texture(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, uv: Tensor, uv_dxy: Tensor | None) -> Tensor:
        images, points = _array(image), _array(uv).reshape(len(uv), -1, 2)
        footprints = np.zeros((len(points), 0, 2, 2), points.dtype)
        if uv_dxy is not None:
            footprints = _array(uv_dxy).reshape(len(points), -1, 2, 2)
        chains = [chain(i, full=uv_dxy is not None) for i in images]
        found = [look_up(chains[n % len(chains)], points[n], footprints[n]) for n in range(len(points))]
        ctx.save_for_backward(image, uv)
        ctx.chains, ctx.spots = chains, [spots for _, spots in found]
        return _stacked([out for out, _ in found], (*uv.shape[:-1], images.shape[3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        image, uv = ctx.saved_tensors
        points, chains = _array(uv).reshape(len(uv), -1, 2), ctx.chains
        gradients = _array(gradient).reshape(*points.shape[:2], -1)
        wanted, wanted_uv = (bool(w) for w in ctx.needs_input_grad[:2])
        totals = [zeros_like(texels) for texels, _ in chains] if wanted else []
        back = []
        for n in range(len(points)):
            given = chains[n % len(chains)], ctx.spots[n], gradients[n]
            if wanted_uv:
                back.append(to_coordinates(*given))
            if wanted:
                to_texels(*given, totals[n % len(chains)])
        finest = [chain_backward(t, c[1]) for t, c in zip(totals, chains, strict=bool(totals))]
        return (
            _stacked(finest, tuple(image.shape)) if wanted else None,
            _stacked(back, tuple(uv.shape)) if wanted_uv else None,
            None,
        )


class _Antialias(Function):
    @staticmethod
    def forward(
        ctx: Any, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, across: NDArray[np.int32]
    ) -> Tensor:
        colours, rasters, positions, triangles = _array(colour), _array(raster), _array(position_clip), _faces(faces)
        out = np.empty_like(colours)
        ctx.pairs = []
        for n in range(len(colours)):
            copied(colours[n], out[n])
            pairs = _pairs(positions[n], triangles, across, rasters[n])
            silhouette_kernels.blend_pairs(
                pairs[0], pairs[2], *(a.reshape(-1, a.shape[-1]) for a in (colours[n], out[n]))
            )
            ctx.pairs.append(pairs)
        ctx.save_for_backward(colour, position_clip)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        colour, position_clip = ctx.saved_tensors
        colours, positions, gradients = _array(colour), _array(position_clip), _array(gradient)
        out_colour, out_position = np.empty_like(gradients), np.zeros(positions.shape)
        height, width, channels = colours.shape[1:]
        for n in range(len(colours)):
            copied(gradients[n], out_colour[n])
            pixel, vertex, crossing = ctx.pairs[n]
            silhouette_kernels.blend_backward(
                positions[n],
                pixel,
                vertex,
                crossing,
                colours[n].reshape(-1, channels),
                gradients[n].reshape(-1, channels),
                height,
                width,
                out_colour[n].reshape(-1, channels),
                out_position[n],
            )
        return torch.from_numpy(out_colour), None, _like(out_position, position_clip), None, None


def _pairs(
    positions: Array, triangles: NDArray[np.int32], across: NDArray[np.int32], raster: Array
) -> tuple[Array, Array, Array]:
    """The pairs of pixels that silhouettes pass between; see `silhouette_kernels.find_pairs`."""
    height, width = raster.shape[:2]
    edges, crossed = np.empty(len(triangles), np.uint8), np.zeros((2, height, width), np.uint8)

    def flag(part: tuple[int, int]) -> None:
        silhouette_kernels.silhouette_edges(positions, triangles, across, *part, edges)
        silhouette_kernels.mark_crossed(positions, triangles, across, edges, *part, crossed)

    parallel_map(flag, row_bands(len(triangles)))

    def band(rows: tuple[int, int]) -> tuple[Array, Array, Array]:
        most = 2 * (rows[1] - rows[0]) * width  # not touched, so not there, until written to
        pixel, vertex = np.empty((most, 2), np.int32), np.empty((most, 2), np.int32)
        crossing = np.empty(most, positions.dtype)
        n = silhouette_kernels.find_pairs(
            positions, triangles, across, edges, crossed, raster, *rows, pixel, vertex, crossing
        )
        return pixel[:n].copy(), vertex[:n].copy(), crossing[:n].copy()

    found = parallel_map(band, row_bands(height, 4 * thread_count()))
    pixel, vertex, crossing = (np.concatenate([part[k] for part in found]) for k in range(3))
    return pixel, vertex, crossing


class NumbaOperations:
    """See `Operations`."""

    name: Literal["numba"] = "numba"

    def rasterize(self, position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See `Operations`."""
        raster, slopes = _apply(_Rasterize, position_clip, faces, size_px)
        return raster, slopes

    def interpolate(
        self, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `Operations`."""
        out, out_slopes = _apply(_Interpolate, attributes, raster, faces, slopes)
        return out, out_slopes

    def texture(self, image: Tensor, uv: Tensor, uv_dxy: Tensor | None = None) -> Tensor:
        """See `Operations`."""
        out: Tensor = _apply(_Texture, image, uv, uv_dxy)
        return out

    def topology(self, faces: Tensor) -> NDArray[np.int32]:
        """[F, 3] int32, see `faces_across`."""
        return faces_across(_faces(faces))

    def antialias(
        self, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, topology: Any | None = None
    ) -> Tensor:
        """See `Operations`."""
        across = self.topology(faces) if topology is None else topology
        out: Tensor = _apply(_Antialias, colour, raster, position_clip, faces, across)
        return out
