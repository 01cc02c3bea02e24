"""Objects that a placement can be tried on: compositions of plain solids, and what six cameras see of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.camera import Camera
from engine.mesh import Mesh
from engine.models.reconviagen.placing import ObservedView
from engine.render import interpolate, look_at, rasterize, render_depth, to_clip

FROM: dict[ViewName, tuple[float, float, float]] = {
    "front": (0, 0, 1), "back": (0, 0, -1), "left": (-1, 0, 0), "right": (1, 0, 0),
    "top": (0, 1, 0), "bottom": (0, -1, 0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Thing:
    """A mesh in the world, with a colour for each vertex."""

    mesh: Mesh
    colors: NDArray[np.float32]


def composed(seed: int) -> Thing:
    """A body with a few parts stuck to it, of random kinds, sizes, places and colours."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(int(random.integers(3, 6))):
        size = random.uniform(0.06, 0.16, 3) if number else random.uniform(0.12, 0.24, 3)
        kind = random.integers(3)
        if kind == 0:
            part = trimesh.creation.box(2 * size)
        elif kind == 1:
            part = trimesh.creation.icosphere(subdivisions=3)
            part.apply_scale(size)
        else:
            part = trimesh.creation.cylinder(radius=size[0], height=2 * size[1], sections=32)
        for _ in range(2):
            part = part.subdivide() if len(part.faces) < 400 else part
        part.apply_transform(trimesh.transformations.random_rotation_matrix(random.random(3)))
        if number:
            part.apply_translation(random.uniform(-0.22, 0.22, 3))
        parts.append((part, random.uniform(0.1, 0.9, 3)))
    return _joined(parts)


def turned_solid(kind: str) -> Thing:
    """A solid that looks the same from many sides, of one colour."""
    solid = {
        "ball": lambda: trimesh.creation.icosphere(subdivisions=4, radius=0.25),
        "can": lambda: trimesh.creation.cylinder(radius=0.15, height=0.5, sections=96),
        "cone": lambda: trimesh.creation.cone(radius=0.2, height=0.4, sections=96),
        "post": lambda: trimesh.creation.box((0.2, 0.2, 0.5)),
    }[kind]()
    solid.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, (1, 0, 0)))
    return _joined([(solid, np.full(3, 0.6))])


def _joined(parts: list[tuple[trimesh.Trimesh, NDArray[np.float64]]]) -> Thing:
    vertices = np.concatenate([part.vertices for part, _ in parts])
    first = np.cumsum([0, *(len(part.vertices) for part, _ in parts)])
    faces = np.concatenate([part.faces + offset for (part, _), offset in zip(parts, first, strict=False)])
    colors = np.concatenate([np.tile(color, (len(part.vertices), 1)) for part, color in parts])
    return Thing(Mesh(vertices, faces.astype(np.int32)), colors.astype(np.float32))


def seen(thing: Thing, random: np.random.Generator, size_px: int = 256) -> dict[ViewName, ObservedView]:
    """What six cameras at distance 1 see, with noise in depth and colour."""
    views: dict[ViewName, ObservedView] = {}
    for name, toward in FROM.items():
        up = (0.0, 0.0, -1.0) if toward[1] > 0 else (0.0, 0.0, 1.0) if toward[1] < 0 else (0.0, 1.0, 0.0)
        pose = look_at(np.array(toward, float), np.zeros(3), np.array(up))
        camera = Camera.from_fov(50.0, size_px, pose)
        depth = render_depth(thing.mesh, camera)
        noisy = np.where(depth > 0, depth + random.normal(0, 0.002, depth.shape), 0).astype(np.float32)
        fragments = rasterize(to_clip(thing.mesh.vertices, camera), thing.mesh.faces, (size_px, size_px))
        shown = interpolate(thing.colors, fragments, thing.mesh.faces) + random.normal(0, 0.03, (size_px, size_px, 3))
        views[name] = ObservedView(camera, noisy, (np.clip(shown, 0, 1) * 255).astype(np.uint8))
    return views


def generated(thing: Thing, random: np.random.Generator) -> tuple[Mesh, NDArray[np.float64]]:
    """The object as a network would hand it over: in a frame of its own, a little wrong.

    Returns the mesh and world_from_model.
    """
    heading, tilt = random.uniform(0, 2 * np.pi), np.radians(random.uniform(-6, 6, 2))
    rotation = trimesh.transformations.euler_matrix(-np.pi / 2 + tilt[0], tilt[1], heading, "rxyz")
    rotation = np.asarray(rotation)[:3, :3]
    scale = random.uniform(0.4, 1.2)
    world_from_model = np.eye(4)
    world_from_model[:3, :3] = scale * rotation
    world_from_model[:3, 3] = random.uniform(-0.05, 0.05, 3)
    place = (thing.mesh.vertices - world_from_model[:3, 3]) @ rotation / scale
    wave = 0.004 * np.sin(thing.mesh.vertices @ random.normal(0, 12, (3, 3)) + random.uniform(0, 6, 3))
    return Mesh(place + wave + random.normal(0, 0.001, place.shape), thing.mesh.faces), world_from_model
