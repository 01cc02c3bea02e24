"""Objects as solids: parts, what they are made of, what is painted on them; and their surface as a mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.mesh import Mesh
from engine.sample.shapes import Distance, Points, Shape, Vector, smooth_min

Pattern = Literal["plain", "stripes", "checks", "wood", "speckle"]
PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "checks", "wood", "speckle")


@dataclass(frozen=True)
class Material:
    """colour, second: sRGB 0..255. scale: pattern periods per object length. axis: the pattern's own."""

    colour: tuple[int, int, int]
    second: tuple[int, int, int] = (0, 0, 0)
    pattern: Pattern = "plain"
    scale: float = 10.0
    axis: Vector = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Part:
    """One step of the construction.

    add: joined, with a fillet of `blend`; its surface is of `material`. cut: taken away; the cut is of `material`.
    paint: the surface within the shape becomes `material`.
    """

    shape: Shape
    material: int
    step: Literal["add", "cut", "paint"] = "add"
    blend: float = 0.0


@dataclass(frozen=True)
class Decal:
    """A picture projected along a direction onto what faces it.

    picture: RGBA. centre: in object units. right, up: unit vectors of the picture. width: of the picture.
    reach: how far before and behind the centre it applies.
    """

    picture: Image.Image
    centre: Vector
    right: Vector
    up: Vector
    width: float
    reach: float = 0.06


@dataclass(frozen=True, eq=False)
class Solid:
    """An object. Its longest side is about 1, centred, Y up, its front towards +Z."""

    parts: tuple[Part, ...]
    materials: tuple[Material, ...]
    decals: tuple[Decal, ...] = ()

    @cached_property
    def _boxes(self) -> NDArray[np.float32]:
        """[P, 2, 3] low and high corner of a box around each part, from samples on a coarse grid."""
        side, half = 26, 0.62
        spacing = 2 * half / (side - 1)
        axis = np.linspace(-half, half, side, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        boxes = np.empty((len(self.parts), 2, 3), np.float32)
        for box, part in zip(boxes, self.parts, strict=True):
            near = grid[part.shape(grid) <= spacing * np.sqrt(0.75) * 1.01]
            box[:] = (near.min(0), near.max(0)) if len(near) else (1e3, 1e3)
        return boxes + np.array([-spacing / 2, spacing / 2], np.float32)[:, None]

    def _near(self, index: int, p: Points, reach: float) -> NDArray[np.int64]:
        """Which points are within reach of a part's box."""
        low, high = self._boxes[index]
        inside = np.ones(len(p), np.bool_)
        for axis in range(3):
            inside &= (p[:, axis] >= low[axis] - reach) & (p[:, axis] <= high[axis] + reach)
        return np.flatnonzero(inside)

    def distance(self, p: Points, reach: float = 0.03) -> Distance:
        """Signed distance [N] of points [N, 3]; outside the solid it may say too much where it is over `reach`."""
        out = np.full(len(p), 1e3, np.float32)
        for index, part in enumerate(self.parts):
            if part.step == "paint":
                continue
            near = self._near(index, p, reach + part.blend)
            if len(near) == 0:
                continue
            d = part.shape(p[near])
            if part.step == "add":
                out[near] = smooth_min(out[near], d, part.blend)
            else:
                out[near] = -smooth_min(-out[near], d, part.blend)
        return out

    def material_fields(self, p: Points) -> NDArray[np.float32]:
        """[N, M]: on the surface, the lowest of them says which material it is; their levels meet at the borders."""
        out = np.full((len(p), len(self.materials)), 0.1, np.float32)
        for index, part in enumerate(self.parts):
            near = self._near(index, p, 0.03)
            d = part.shape(p[near])
            # A part's own surface is where its distance vanishes; paint wins where it is negative.
            d = d if part.step == "paint" else np.abs(d)
            out[near, part.material] = np.minimum(out[near, part.material], d)
        return out

    def normals(self, p: Points, step: float) -> NDArray[np.float32]:
        """[N, 3] unit gradient of the distance, by central differences."""
        out = np.empty((len(p), 3), np.float32)
        for axis in range(3):
            shift = np.zeros(3, np.float32)
            shift[axis] = step
            out[:, axis] = self.distance(p + shift) - self.distance(p - shift)
        return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), np.float32)

    def openness(self, p: Points, normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N] 0..1: ambient occlusion from the distance along the normal (Evans, SIGGRAPH course notes 2006)."""
        hidden = np.zeros(len(p), np.float32)
        for weight, reach in ((0.9, 0.015), (0.7, 0.035), (0.5, 0.07), (0.35, 0.13)):
            hidden += np.float32(weight / reach / 2.45) * np.maximum(
                np.float32(reach) - self.distance(p + np.float32(reach) * normals, reach), 0
            )
        return np.asarray(1 - np.clip(hidden, 0, 1), np.float32)


def polygonise(distance: Callable[[Points, float], Distance], grid: int, half: float = 0.56) -> Mesh:
    """The zero surface of a distance within the cube of half size `half`, at `grid` samples along each side.

    Marching cubes (Lewiner et al., JGT 8(2), 2003) on a narrow band, then a Newton step of each vertex towards zero.
    """
    from skimage.measure import marching_cubes

    block = 4
    blocks = -(-grid // block)
    spacing = 2 * half / (blocks * block - 1)
    inner = (np.arange(block) - (block - 1) / 2) * spacing
    centres = -half + (np.arange(blocks) * block + (block - 1) / 2) * spacing
    coarse = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), -1).astype(np.float32)
    band = 1.9 * block * spacing
    value = distance(coarse.reshape(-1, 3), band)
    near = np.flatnonzero(np.abs(value) < band)
    offsets = np.stack(np.meshgrid(inner, inner, inner, indexing="ij"), -1).astype(np.float32)
    fine = np.repeat(value, block**3).reshape(-1, block, block, block)
    points = coarse.reshape(-1, 3)[near][:, None, None, None] + offsets
    fine[near] = distance(points.reshape(-1, 3), 3 * spacing).reshape(-1, block, block, block)
    side = blocks * block
    volume = fine.reshape(blocks, blocks, blocks, block, block, block).transpose(0, 3, 1, 4, 2, 5)
    volume = np.ascontiguousarray(volume.reshape(side, side, side))
    volume[np.abs(volume) < 1e-6 * half] = 1e-6 * half  # a vertex exactly on a sample makes faces without area
    vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent")  # type: ignore[no-untyped-call]
    p = (vertices * np.float32(spacing) - np.float32(half)).astype(np.float32)
    p = _newton(distance, p, spacing)
    return Mesh(p.astype(np.float64), np.ascontiguousarray(faces, np.int32))


def _newton(distance: Callable[[Points, float], Distance], p: Points, spacing: float) -> Points:
    h = np.float32(0.25 * spacing)
    d = distance(p, 3 * spacing)
    axes = np.eye(3, dtype=np.float32) * h
    gradient = np.stack([distance(p + axis, 3 * spacing) - distance(p - axis, 3 * spacing) for axis in axes], -1) / (
        2 * h
    )
    squared = np.maximum((gradient * gradient).sum(-1), 0.25)
    step = np.clip(d / squared, -0.35 * spacing, 0.35 * spacing)
    return np.asarray(p - step[:, None] * gradient, np.float32)
