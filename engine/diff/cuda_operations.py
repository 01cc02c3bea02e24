"""Our own back end on CUDA: the CPU's per-face and per-pixel functions in numba's CUDA kernels, as torch's autograd
functions.

Deterministic: what threads write to one place together are integers. Of nvdiffrast, whose licence is for research only,
nothing is used.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from engine.cuda import launch, missing
from engine.diff import cuda_kernels
from engine.diff.sums import bounded_sum, peaked_sum
from engine.diff.topology import faces_across
from engine.render import cuda_kernels as drawing
from engine.render.cuda_draw import draw


def _apply(function: type[Function], *arguments: Any) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _plain(tensor: Tensor) -> Tensor:
    """As kernels take it: contiguous, and never empty."""
    out = tensor.detach().contiguous()
    return out if out.numel() else out.new_zeros([max(n, 1) for n in out.shape])


def _faces(tensor: Tensor) -> Tensor:
    return _plain(tensor.to(torch.int32))


class _Rasterize(Function):
    @staticmethod
    def forward(ctx: Any, position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
        (height, width), device = size_px, position_clip.device
        raster = position_clip.new_zeros((len(position_clip), height, width, 4))
        slopes = torch.zeros_like(raster)
        positions, triangles = _plain(position_clip), faces.to(torch.int32).contiguous()
        for n in range(len(raster)):
            drawn = draw(positions[n].float(), triangles, size_px)
            if len(triangles):
                pictures = raster[n].reshape(-1, 4), slopes[n].reshape(-1, 4)
                given = positions[n], triangles, height, width, drawn.face_index
                launch(cuda_kernels.raster_pixels, height * width, device, *given, *pictures)
        ctx.save_for_backward(position_clip, faces, raster)
        ctx.mark_non_differentiable(slopes)
        return raster, slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _slopes: Tensor) -> tuple[Tensor, None, None]:
        position_clip, faces, raster = ctx.saved_tensors
        positions, triangles, rasters, gradients = _plain(position_clip), _faces(faces), raster, _plain(gradient)
        device, pixels = raster.device, raster[0, ..., 0].numel()
        runs = raster.shape[1] * -(-raster.shape[2] // cuda_kernels.RUN_PX)
        out = torch.zeros_like(position_clip)
        for n in range(len(raster)):

            def put(units: Tensor, adding: bool, totals: Tensor, n: int = n) -> None:
                given = positions[n], triangles, rasters[n], gradients[n]
                launch(cuda_kernels.raster_backward, runs, device, *given, units, adding, totals)

            out[n] = peaked_sum(out[n].numel(), device, pixels, put).reshape(-1, 4)
        return out, None, None


class _Interpolate(Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        values, rasters, triangles = _plain(attributes), _plain(raster), _faces(faces)
        count, height, width = raster.shape[:3]
        pixels, channels, device = height * width, attributes.shape[2], raster.device
        face_index = rasters[..., 3].to(torch.int32).sub_(1).reshape(count, -1)
        out = attributes.new_empty((count, height, width, channels))
        out_slopes = None if slopes is None else attributes.new_empty((count, height, width, 2 * channels))
        for n in range(count):
            own = values[n % len(values)], triangles, face_index[n]
            launch(drawing.interpolate, pixels, device, *own, rasters[n].reshape(-1, 4), out[n].reshape(-1, channels))
            if slopes is not None and out_slopes is not None:
                steps = _plain(slopes[n]).reshape(-1, 4), out_slopes[n].reshape(-1, 2 * channels)
                launch(drawing.interpolate_slopes, pixels, device, *own, *steps)
        ctx.save_for_backward(attributes, raster, faces)
        if out_slopes is not None:
            ctx.mark_non_differentiable(out_slopes)
        return out, out_slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _slopes: Tensor | None) -> tuple[Tensor | None, Tensor, None, None]:
        attributes, raster, faces = ctx.saved_tensors
        values, rasters, triangles, gradients = _plain(attributes), _plain(raster), _faces(faces), _plain(gradient)
        device, pixels, wanted = raster.device, raster[0, ..., 0].numel(), bool(ctx.needs_input_grad[0])
        out, out_raster = torch.zeros_like(attributes), torch.empty_like(rasters)
        for n in range(len(raster)):

            def add(unit: Tensor, totals: Tensor, n: int = n) -> None:
                given = values[n % len(values)], triangles, rasters[n], gradients[n], wanted, unit, totals
                launch(cuda_kernels.interpolate_backward, pixels, device, *given, out_raster[n])

            shape = tuple(values.shape[1:]) if wanted else (1, 1)
            total = bounded_sum(shape, gradients[n], pixels, add)
            if wanted:
                out[n % len(values)] += total
        return out if wanted else None, out_raster, None, None


def _sizes(height: int, width: int, full: bool) -> list[tuple[int, int]]:
    out = [(height, width)]
    while full and max(out[-1]) > 1:
        out.append((-(-out[-1][0] // 2), -(-out[-1][1] // 2)))
    return out


@cache
def _levels(height: int, width: int, full: bool, device: torch.device) -> Tensor:
    """[L, 3] int64: first texel, height, width."""
    rows, first = [], 0
    for h, w in _sizes(height, width, full):
        rows.append((first, h, w))
        first += h * w
    return torch.tensor(rows, dtype=torch.int64, device=device)


def _parts(texels: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    return list(torch.split(texels, [h * w for h, w in sizes]))


def _chain(image: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """An image [h, w, C] at every half size: [T, C]."""
    flat = image.reshape(-1, image.shape[2])
    if len(sizes) == 1:
        return flat
    texels = image.new_empty((sum(h * w for h, w in sizes), image.shape[2]))
    parts = _parts(texels, sizes)
    parts[0].copy_(flat)
    for (height, width), fine, coarse in zip(sizes, parts, parts[1:], strict=False):
        launch(cuda_kernels.halve, len(coarse), image.device, fine, height, width, coarse)
    return texels


class _Texture(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, uv: Tensor, uv_dxy: Tensor | None) -> Tensor:
        images, device, channels = _plain(image), image.device, image.shape[3]
        points = _plain(uv).reshape(len(uv), -1, 2)
        with_footprint = uv_dxy is not None
        footprints = points if uv_dxy is None else _plain(uv_dxy).reshape(len(uv), -1, 4)
        sizes = _sizes(image.shape[1], image.shape[2], with_footprint)
        levels = _levels(image.shape[1], image.shape[2], with_footprint, device)
        chains = [_chain(i, sizes) for i in images]
        out = image.new_empty((*points.shape[:2], channels))
        for n in range(len(points)):
            given = chains[n % len(chains)], levels, 1.0, points[n], footprints[n], with_footprint
            launch(drawing.sample, points.shape[1], device, *given, out[n])
        ctx.save_for_backward(image, uv)
        ctx.rest = chains, levels, sizes, points, footprints, with_footprint
        return out.reshape(*uv.shape[:-1], channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        image, uv = ctx.saved_tensors
        chains, levels, sizes, points, footprints, with_footprint = ctx.rest
        count, device = points.shape[1], image.device
        gradients = _plain(gradient).reshape(len(points), count, -1)
        wanted, wanted_uv = (bool(w) for w in ctx.needs_input_grad[:2])
        out_uv = torch.zeros_like(points)
        totals = [torch.zeros_like(c) for c in chains] if wanted else []
        for n in range(len(points)):
            texels = chains[n % len(chains)]

            def add(unit: Tensor, into: Tensor, n: int = n, texels: Tensor = texels) -> None:
                given = texels, levels, points[n], footprints[n], with_footprint, gradients[n], wanted_uv, out_uv[n]
                launch(cuda_kernels.texture_backward, count, device, *given, wanted, unit, into)

            total = bounded_sum(tuple(texels.shape) if wanted else (1, 1), gradients[n], count, add)
            if wanted:
                totals[n % len(chains)] += total
        for total in totals:
            parts = _parts(total, sizes)
            for (height, width), fine, coarse in reversed(list(zip(sizes, parts, parts[1:], strict=False))):
                launch(cuda_kernels.halve_backward, len(fine), device, coarse, height, width, fine)
        finest = torch.stack([_parts(t, sizes)[0] for t in totals]).reshape(image.shape) if wanted else None
        return finest, out_uv.reshape(uv.shape) if wanted_uv else None, None


class _Antialias(Function):
    @staticmethod
    def forward(
        ctx: Any, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, across: Tensor
    ) -> Tensor:
        colours, rasters, positions, triangles = _plain(colour), _plain(raster), _plain(position_clip), _faces(faces)
        (height, width, channels), device = colour.shape[1:], colour.device
        pixels, beyond = height * width, _plain(across)
        out, ctx.pairs = torch.empty_like(colours), []
        edges = torch.zeros(len(triangles), dtype=torch.uint8, device=device)
        for n in range(len(colour)):
            vertex = torch.empty((pixels, 2, 2), dtype=torch.int32, device=device)
            crossing = torch.zeros((pixels, 2), dtype=colour.dtype, device=device)
            if len(faces):
                launch(cuda_kernels.silhouette_edges, len(faces), device, positions[n], triangles, beyond, edges)
            given = positions[n], triangles, beyond, edges, rasters[n], vertex, crossing
            launch(cuda_kernels.find_pairs, 2 * pixels, device, *given)
            flat = colours[n].reshape(-1, channels), out[n].reshape(-1, channels)
            launch(cuda_kernels.blend, pixels, device, vertex, crossing, width, *flat)
            ctx.pairs.append((vertex, crossing))
        ctx.save_for_backward(colour, position_clip)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor | None, None, None]:
        colour, position_clip = ctx.saved_tensors
        colours, positions, gradients = _plain(colour), _plain(position_clip), _plain(gradient)
        (height, width, channels), device = colour.shape[1:], colour.device
        wanted = bool(ctx.needs_input_grad[2])
        out_colour, out_position = torch.empty_like(colours), torch.zeros_like(position_clip)
        for n in range(len(colour)):
            vertex, crossing = ctx.pairs[n]
            flat = gradients[n].reshape(-1, channels)
            into = out_colour[n].reshape(-1, channels)
            launch(cuda_kernels.blend_backward, len(flat), device, vertex, crossing, width, flat, into)

            def put(units: Tensor, adding: bool, totals: Tensor, n: int = n, pairs: Any = (vertex, crossing)) -> None:
                pictures = colours[n].reshape(-1, channels), gradients[n].reshape(-1, channels)
                given = positions[n], *pairs, height, width, *pictures, units, adding, totals
                launch(cuda_kernels.edges_backward, 2 * height * width, device, *given)

            if wanted:
                count = out_position[n].numel()
                out_position[n] = peaked_sum(count, device, 2 * height * width, put).reshape(-1, 4)
        return out_colour, None, out_position if wanted else None, None, None


class CudaOperations:
    """See `Operations`. Raises RuntimeError where numba's CUDA target or a device is missing."""

    name: Literal["cuda"] = "cuda"

    def __init__(self) -> None:
        reason = missing()
        if reason is not None:
            raise RuntimeError(reason)

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

    def topology(self, faces: Tensor) -> Tensor:
        """[F, 3] int32, see `faces_across`; made on the CPU."""
        return torch.from_numpy(faces_across(faces.to(torch.int32).cpu().numpy())).to(faces.device)

    def antialias(
        self, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, topology: Any | None = None
    ) -> Tensor:
        """See `Operations`."""
        across = self.topology(faces) if topology is None else topology
        out: Tensor = _apply(_Antialias, colour, raster, position_clip, faces, across)
        return out
