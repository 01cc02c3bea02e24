"""The differentiable operations, readable: torch's own operations on float64, whose autograd is the reference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.render import rasterizer


def rasterize(position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Raster [N, H, W, 4]: who is seen by the NumPy rasteriser, with which weights by the inverse of the corners."""
    height, width = size_px
    out = []
    for position in position_clip:
        seen = rasterizer("reference").rasterize(position.detach().numpy().astype(np.float32), faces.numpy(), size_px)
        index = torch.tensor(seen.face_index, dtype=torch.int64)
        corners = position[faces.long()[index.clamp(min=0)]]  # [H, W, 3, 4]
        w = corners[..., 3]
        x, y = (corners[..., 0] + w) * (width / 2), (corners[..., 1] + w) * (height / 2)
        M = torch.stack([x, y, w], -2)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        p = torch.stack([columns + 0.5, rows + 0.5, torch.ones(size_px)], -1).to(position.dtype)
        q = torch.linalg.solve(M + 0 * p.sum(), p[..., None])[..., 0].clamp(min=0)
        b = q / q.sum(-1, keepdim=True)
        z = (b * corners[..., 2]).sum(-1) / (b * w).sum(-1)
        raster = torch.stack([b[..., 0], b[..., 1], z, (index + 1).to(position.dtype)], -1)
        out.append(raster * (index >= 0)[..., None])
    return torch.stack(out)


def interpolate(attributes: Tensor, raster: Tensor, faces: Tensor) -> Tensor:
    index = raster[..., 3].long() - 1
    corners = torch.stack([a[faces.long()[i.clamp(min=0)]] for a, i in zip(attributes, index, strict=True)])
    weights = torch.stack([raster[..., 0], raster[..., 1], 1 - raster[..., 0] - raster[..., 1]], -1)
    return (corners * weights[..., None]).sum(-2) * (index >= 0)[..., None]


def texture(image: Tensor, uv: Tensor, uv_dxy: Tensor | None) -> Tensor:
    """One image [h, w, C] at uv [..., 2]."""
    levels = [image]
    while uv_dxy is not None and max(levels[-1].shape[:2]) > 1:
        fine = levels[-1]
        if fine.shape[0] % 2:
            fine = torch.cat([fine, fine[-1:]], 0)
        if fine.shape[1] % 2:
            fine = torch.cat([fine, fine[:, -1:]], 1)
        levels.append((fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4)
    values = torch.stack([_bilinear(level, uv) for level in levels], -1)
    if uv_dxy is None:
        return values[..., 0]
    footprint = uv_dxy.reshape(*uv.shape[:-1], 2, 2) * torch.tensor([image.shape[1], image.shape[0]])[:, None]
    level = torch.linalg.svdvals(footprint)[..., 0].clamp(min=1).log2().clamp(max=len(levels) - 1)
    share = (1 - (level[..., None] - torch.arange(len(levels))).abs()).clamp(min=0)
    return (values * share[..., None, :]).sum(-1)


def _bilinear(image: Tensor, uv: Tensor) -> Tensor:
    height, width = image.shape[:2]
    x, y = (uv[..., 0] * width - 0.5).clamp(0, width - 1), (uv[..., 1] * height - 0.5).clamp(0, height - 1)
    x0, y0 = x.detach().floor().long(), y.detach().floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    return top * (1 - fy) + (image[y1, x0] * (1 - fx) + image[y1, x1] * fx) * fy


def antialias(colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, faces_a_walk: int) -> Tensor:
    """Pair by pair, edge by edge. faces_a_walk: 1 as published (the nearer face's edges alone), more to walk on."""
    out = []
    for picture, seen, position in zip(colour, raster.detach().numpy(), position_clip, strict=True):
        height, width = seen.shape[:2]
        screen = (position[:, :2] / position[:, 3:] + 1) * torch.tensor([width / 2, height / 2])
        blended = picture.clone()
        for row in range(height):
            for column in range(width):
                for axis, (y, x) in enumerate([(row, column + 1), (row + 1, column)]):
                    if y < height and x < width:
                        pair = _silhouette_between((row, column), (y, x), axis, seen, screen, faces, faces_a_walk)
                        if pair is not None:
                            near, far, t = pair
                            share = t.clamp(0, 1) - 0.5
                            blended[far if share > 0 else near] += share * (picture[near] - picture[far])
        out.append(blended)
    return torch.stack(out)


Pixel = tuple[int, int]


def _silhouette_between(
    first: Pixel, second: Pixel, axis: int, seen: np.ndarray, screen: Tensor, faces: Tensor, faces_a_walk: int
) -> tuple[Pixel, Pixel, Tensor] | None:
    """The nearer face's pixel, the other's, and where on the way from the one to the other the silhouette is."""
    i, j = int(seen[(*first, 3)]), int(seen[(*second, 3)])
    if i == j:
        return None
    if i == 0 or (j != 0 and seen[(*second, 2)] < seen[(*first, 2)]):
        first, second, i, j = second, first, j, i
    direction = -1 if first > second else 1
    centre = np.array([first[1] + 0.5, first[0] + 0.5])
    at = screen.detach().numpy() - centre
    face, entered = i - 1, set()
    for _ in range(faces_a_walk):
        corners = faces[face].tolist()
        crossings = []
        for a, b, c in (corners, corners[1:] + corners[:1], corners[2:] + corners[:2]):
            if (at[a, 1 - axis] > 0) != (at[b, 1 - axis] > 0) and {a, b} != entered:
                crossings.append((direction * _crossing(at[a], at[b], axis), a, b, c))
        if not crossings:
            return None
        t, a, b, c = max(crossings)
        if not -1 / 16 <= t <= 1 + 1 / 16:
            return None
        others = [n for n, f in enumerate(faces.tolist()) if n != face and {a, b} <= set(f)]
        if len(others) != 1 or _same_side(at, a, b, c, next(iter(set(faces[others[0]].tolist()) - {a, b}))):
            edge = np.abs(at[a] - at[b])
            along = torch.tensor(centre)
            exact = direction * _crossing(screen[a] - along, screen[b] - along, axis)
            return (first, second, exact) if edge[1 - axis] >= edge[axis] else None
        face, entered = others[0], {a, b}
        if face == j - 1:
            return None
    return None


def _crossing(a, b, axis: int):  # type: ignore[no-untyped-def]
    """Where the line from a to b crosses the axis; arrays or tensors [2]."""
    return (a[axis] * b[1 - axis] - b[axis] * a[1 - axis]) / (b[1 - axis] - a[1 - axis])


def _same_side(at: np.ndarray, a: int, b: int, c: int, o: int) -> bool:
    (ex, ey), (cx, cy), (ox, oy) = at[b] - at[a], at[c] - at[a], at[o] - at[a]
    return bool((ex * cy - ey * cx) * (ex * oy - ey * ox) > 0)
