"""How open to the sky points are: ambient occlusion by depth maps from many directions, as for shadow mapping."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.jit import parallel_map
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.render import look_at, to_clip
from engine.render.numba_backend import setup

Float = NDArray[np.float64]
_DIRECTIONS = 32
_MAP_PX = 160
_DISTANCE_RADII = 8.0
_AT_A_TIME = 8
"""Directions between two checkpoints: with 150,000 faces, 96 of them take seconds."""


def sky_directions(count: int = _DIRECTIONS) -> Float:
    """[N, 3] unit vectors spread evenly over the sphere (a Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    y = 1 - 2 * k / count
    angle = math.pi * (1 + math.sqrt(5)) * k
    across = np.sqrt(1 - y * y)
    return np.stack([across * np.cos(angle), y, across * np.sin(angle)], 1)


class Occlusion:
    """Depth maps of a mesh from all sides, made once, asked for many points."""

    def __init__(
        self,
        mesh: Mesh,
        centre: Float,
        radius: float,
        directions: int = _DIRECTIONS,
        checkpoint: Checkpoint = lambda fraction: None,
    ) -> None:
        """The mesh lies within `radius` of `centre`. directions: how many the sky is made of."""
        self._radius = radius
        self._directions = sky_directions(directions)
        fov_deg = 2 * math.degrees(math.asin(1.02 / _DISTANCE_RADII))
        self._cameras = []
        for direction in self._directions:
            up = np.array([0.0, 0.0, 1.0]) if abs(direction[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
            position = centre + _DISTANCE_RADII * radius * direction
            self._cameras.append(Camera.from_fov(fov_deg, _MAP_PX, look_at(position, centre, up)))

        def depth_map(camera: Camera) -> NDArray[np.float32]:
            drawing = setup(to_clip(mesh.vertices, camera), mesh.faces, (_MAP_PX, _MAP_PX))
            return drawing.draw(0, _MAP_PX).depth

        self._maps: list[NDArray[np.float32]] = []
        for first in range(0, directions, _AT_A_TIME):
            checkpoint(first / directions)
            self._maps += parallel_map(depth_map, self._cameras[first : first + _AT_A_TIME])

    def openness(
        self, points: Float, normals: Float, power: int = 1, checkpoint: Checkpoint = lambda fraction: None
    ) -> Float:
        """[N] 0..1: the cosine-weighted share of the directions about each normal that reach the point.

        points: [N, 3] world. normals: [N, 3] unit. power: of the cosine; more of it asks only near the normal.
        """
        open_sum, weight_sum = np.zeros(len(points)), np.full(len(points), 1e-9)
        bias = 0.02 * self._radius
        moved = points + 0.6 * bias * normals
        views = zip(self._directions, self._cameras, self._maps, strict=True)
        for n, (direction, camera, depth) in enumerate(views):
            if n % _AT_A_TIME == 0:
                checkpoint(n / len(self._maps))
            weight = np.maximum(normals @ direction, 0) ** power
            uv, z = camera.project(moved)
            x, y = np.floor(uv).astype(np.int64).T
            inside = (x >= 0) & (x < _MAP_PX) & (y >= 0) & (y < _MAP_PX)
            nearest = np.where(inside, depth[np.clip(y, 0, _MAP_PX - 1), np.clip(x, 0, _MAP_PX - 1)], 0)
            lit = (nearest == 0) | (z <= nearest + bias)
            open_sum += weight * lit
            weight_sum += weight
        return np.asarray(open_sum / weight_sum)
