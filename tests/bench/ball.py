"""What `make bench-refine` draws: a ball before a camera, and the gradient of its picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.diff import operations
from engine.render import clip_from_world, look_at

SIZE_PX = 1024
DIVISIONS = 224
"""Of a ball, around and from pole to pole: 99,904 faces."""


def ball(divisions: int = DIVISIONS) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 and faces [F, 3] int32 of a ball that fills three quarters of the picture."""
    n = divisions
    polar, around = np.meshgrid(np.linspace(0, np.pi, n + 1)[1:-1], np.arange(n) * 2 * np.pi / n, indexing="ij")
    rings = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    vertices = 0.33 * np.concatenate([rings.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    a = np.arange((n - 2) * n)
    b = a - a % n + (a + 1) % n
    first, last, top = np.arange(n), np.arange(n) + (n - 2) * n, (n - 1) * n
    return vertices, np.concatenate(
        [
            np.stack([a, a + n, b], 1),
            np.stack([b, a + n, b + n], 1),
            np.stack([np.full(n, top), first, np.roll(first, -1)], 1),
            np.stack([np.full(n, top + 1), np.roll(last, -1), last], 1),
        ]
    ).astype(np.int32)


class Ball:
    """The ball before a camera, its coordinates in a texture as large as the picture, and the picture's gradient."""

    def __init__(self, size_px: int = SIZE_PX, divisions: int = DIVISIONS) -> None:
        vertices, faces = ball(divisions)
        self.size_px = size_px
        camera = Camera.from_fov(40, size_px, look_at(np.array([0.5, 0.6, 0.62]), np.zeros(3), np.array([0, 1.0, 0])))
        self.ops, self.faces = operations("cpu"), torch.tensor(faces)
        self._clip_from_world = torch.tensor(clip_from_world(camera), dtype=torch.float32)
        self.points = torch.tensor(vertices, dtype=torch.float32, requires_grad=True)
        self.uv = (self.points.detach()[None, :, :2] / 0.66 + 0.5).contiguous()
        random = torch.Generator().manual_seed(0)
        self.image = torch.rand(1, size_px, size_px, 3, generator=random, requires_grad=True)
        self.topology = self.ops.topology(self.faces)
        self.wanted = torch.rand(1, size_px, size_px, 3, generator=random)

    def clip(self) -> Tensor:
        """[1, V, 4]."""
        return (self.points @ self._clip_from_world[:, :3].T + self._clip_from_world[:, 3])[None]


def ours(scene: Ball, textured: bool) -> Callable[[], None]:
    """Rasterize, interpolate, antialias and back; with a mip-mapped texture if asked."""
    ops, faces = scene.ops, scene.faces

    def run() -> None:
        clip = scene.clip()
        raster, slopes = ops.rasterize(clip, faces, (scene.size_px, scene.size_px))
        if textured:
            at, footprint = ops.interpolate(scene.uv, raster, faces, slopes)
            colour = ops.texture(scene.image, at, footprint)
        else:
            colour, _ = ops.interpolate(scene.points[None], raster, faces)
        ops.antialias(colour, raster, clip, faces, scene.topology).backward(scene.wanted)
        scene.points.grad = scene.image.grad = None

    return run
