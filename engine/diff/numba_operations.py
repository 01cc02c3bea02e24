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

from engine.diff import geometry_kernels, silhouette_kernels, texture_kernels
from engine.diff.pyramid import OWNERS, chain, chain_backward, first_blocks
from engine.diff.topology import faces_across
from engine.jit import parallel_map, row_bands, thread_count
from engine.render import kernels
from engine.render.numba_backend import setup

_PARTS = 8
"""In how many parts a sum over pixels is formed."""
_POINTS = 1 << 15
Array = NDArray[Any]


def _apply(function: type[Function], *arguments: Any) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().contiguous().numpy())


def _faces(tensor: Tensor) -> NDArray[np.int32]:
    return _array(tensor.to(torch.int32))


def _like(array: Array, tensor: Tensor) -> Tensor:
    return torch.from_numpy(array).to(tensor.dtype)


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
        raster = np.zeros((count, height, width, 4), positions.dtype)
        slopes = np.zeros((count, height, width, 4), positions.dtype)
        for n in range(count):
            drawing = setup(positions[n].astype(np.float32), triangles, size_px)
            first, end = drawing.rows()
            if end <= first:
                continue

            def band(rows: tuple[int, int], n: int = n, drawing: Any = drawing, first: int = first) -> None:
                a, b = rows[0] + first, rows[1] + first
                face_index = drawing.draw(a, b).face_index
                geometry_kernels.raster_rows(
                    positions[n], triangles, height, a, face_index, raster[n, a:b], slopes[n, a:b]
                )

            parallel_map(band, row_bands(end - first, 4 * thread_count()))
        out, out_slopes = torch.from_numpy(raster), torch.from_numpy(slopes)
        ctx.save_for_backward(position_clip, faces, out)
        ctx.mark_non_differentiable(out_slopes)
        return out, out_slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _slopes: Tensor) -> tuple[Tensor, None, None]:
        position_clip, faces, raster = ctx.saved_tensors
        positions, triangles, rasters, gradients = (
            _array(position_clip),
            _faces(faces),
            _array(raster),
            _array(gradient),
        )
        out = np.zeros(positions.shape)
        for n in range(len(positions)):

            def add(first: int, end: int, part: Array, n: int = n) -> None:
                geometry_kernels.raster_backward_rows(
                    positions[n], triangles, rasters[n], gradients[n], first, end, part
                )

            out[n] = _summed((positions.shape[1], 4), rasters.shape[1], add)
        return _like(out, position_clip), None, None


class _Interpolate(Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        values, rasters, triangles = _array(attributes), _array(raster), _faces(faces)
        count, height, width = rasters.shape[:3]
        channels = values.shape[2]
        face_index = rasters[..., 3].astype(np.int32) - 1
        out = np.empty((count, height, width, channels), values.dtype)
        given = None if slopes is None else _array(slopes).reshape(count, height, width, 2, 2)
        out_dxy = None if given is None else np.empty((count, height, width, channels, 2), values.dtype)
        for n in range(count):

            def band(rows: tuple[int, int], n: int = n) -> None:
                own = values[n % len(values)]
                kernels.interpolate_rows(own, triangles, face_index[n], rasters[n, ..., :2], *rows, out[n])
                if given is not None and out_dxy is not None:
                    kernels.interpolate_derivative_rows(own, triangles, face_index[n], given[n], *rows, out_dxy[n])

            parallel_map(band, row_bands(height, 4 * thread_count()))
        ctx.save_for_backward(attributes, raster, faces)
        if out_dxy is None:
            return torch.from_numpy(out), None
        out_slopes = torch.from_numpy(out_dxy.reshape(count, height, width, 2 * channels))
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
        out = np.empty((*points.shape[:2], images.shape[3]), images.dtype)
        chains = [chain(i, full=uv_dxy is not None) for i in images]
        for n in range(len(points)):
            texels, levels = chains[n % len(chains)]

            def band(rows: tuple[int, int], n: int = n, texels: Array = texels, levels: Array = levels) -> None:
                kernels.sample_points(texels, levels, 1.0, points[n], footprints[n], *rows, out[n])

            parallel_map(band, row_bands(points.shape[1], max(1, points.shape[1] // _POINTS)))
        ctx.save_for_backward(image, uv)
        ctx.chains, ctx.footprints = chains, footprints
        return torch.from_numpy(out.reshape(*uv.shape[:-1], images.shape[3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        image, uv = ctx.saved_tensors
        points, footprints = _array(uv).reshape(len(uv), -1, 2), ctx.footprints
        gradients = _array(gradient).reshape(*points.shape[:2], -1)
        wanted, wanted_uv = (bool(w) for w in ctx.needs_input_grad[:2])
        out_uv = np.empty((len(points), points.shape[1] if wanted_uv else 0, 2), points.dtype)
        totals = [np.zeros_like(texels) for texels, _ in ctx.chains] if wanted else []
        at, owners = np.empty(points.shape[1], points.dtype), np.empty(points.shape[1], np.uint8)
        for n in range(len(points)):
            texels, levels = ctx.chains[n % len(ctx.chains)]
            first_block = first_blocks(levels)

            def band(
                rows: tuple[int, int],
                n: int = n,
                texels: Array = texels,
                levels: Array = levels,
                first_block: Array = first_block,
            ) -> None:
                texture_kernels.uv_backward(
                    texels, levels, first_block, points[n], footprints[n], gradients[n], *rows, out_uv[n], at, owners
                )

            parallel_map(band, row_bands(points.shape[1], max(1, points.shape[1] // _POINTS)))
            if not wanted:
                continue
            total = totals[n % len(totals)]

            def own(
                owner: int, n: int = n, levels: Array = levels, first_block: Array = first_block, total: Array = total
            ) -> None:
                texture_kernels.texel_backward(levels, first_block, owner, points[n], at, owners, gradients[n], total)

            parallel_map(own, range(OWNERS))
        out = None
        if wanted:
            finest = [chain_backward(t, c[1]) for t, c in zip(totals, ctx.chains, strict=True)]
            out = torch.from_numpy(np.stack(finest).reshape(image.shape))
        return out, torch.from_numpy(out_uv.reshape(uv.shape)) if wanted_uv else None, None


class _Antialias(Function):
    @staticmethod
    def forward(
        ctx: Any, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, across: NDArray[np.int32]
    ) -> Tensor:
        colours, rasters, positions, triangles = _array(colour), _array(raster), _array(position_clip), _faces(faces)
        out = colours.copy()
        ctx.pairs = []
        for n in range(len(colours)):
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
        out_colour, out_position = gradients.copy(), np.zeros(positions.shape)
        height, width, channels = colours.shape[1:]
        for n in range(len(colours)):
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
    count = len(triangles)
    edges, near = np.empty(count, np.uint8), np.empty(count, np.uint8)

    def flag(part: tuple[int, int]) -> None:
        silhouette_kernels.silhouette_edges(positions, triangles, across, *part, edges)

    parallel_map(flag, row_bands(count))
    silhouette_kernels.near_silhouettes(edges, across, near, np.empty(count, np.int32))
    height, width = raster.shape[:2]

    def band(rows: tuple[int, int]) -> tuple[Array, Array, Array]:
        most = 2 * (rows[1] - rows[0]) * width  # not touched, so not there, until written to
        pixel, vertex = np.empty((most, 2), np.int32), np.empty((most, 2), np.int32)
        crossing = np.empty(most, positions.dtype)
        n = silhouette_kernels.find_pairs(
            positions, triangles, across, edges, near, raster, *rows, pixel, vertex, crossing
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
