"""A sample in memory: an object, six cameras, what they see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from config.job import JobOptions
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.mesh import Mesh, TexturedMesh
from engine.render import Render, render_depth
from engine.sample.atlas import bake_atlas
from engine.sample.coding import STRUCTURES, Encoding, choose_codings, encode, ray_lengths
from engine.sample.lighting import LIGHTING, Light, Lighting, lit
from engine.sample.locomotive import locomotive
from engine.sample.plain import plain_cube, plain_sphere, plain_torus, two_balls
from engine.sample.rig import Layout, distance_to_fit, rig, view_axes
from engine.sample.robot import robot
from engine.sample.shading import SolidTexture, bake_colours, render_solid, solid_texture
from engine.sample.solid import Solid, polygonise
from engine.sample.teapot import teapot

ObjectName = Literal["locomotive", "teapot", "robot"]
OBJECT_NAMES: Final[tuple[ObjectName, ...]] = get_args(ObjectName)
"""locomotive: concave, an open cab and gaps. teapot: a handle to see through. robot: thin parts."""

_SOLIDS: Final[dict[str, Callable[[], Solid]]] = {
    "locomotive": locomotive,
    "teapot": teapot,
    "robot": robot,
    "sphere": plain_sphere,
    "cube": plain_cube,
    "torus": plain_torus,
    "two_balls": two_balls,
}

Background = Literal["off_white", "white", "grey", "black", "transparent"]
BACKGROUNDS: Final[dict[Background, tuple[int, int, int]]] = {
    "off_white": (248, 246, 242),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "black": (0, 0, 0),
    "transparent": (0, 0, 0),
}
FILL: Final = 0.86
"""How far from the image's centre the object reaches, as a share of the half image."""


@dataclass(frozen=True, eq=False)
class SampleObject:
    """An object in the world of its scene.

    mesh: the true surface, watertight. texture: its looks at the mesh's vertices. units_per_world: object units (of
    which the longest side has about 1) in a world unit. openness: [V] 0..1, how much of the sky a vertex sees.
    lighting: what stands around it, or none.
    """

    name: str
    mesh: Mesh
    texture: SolidTexture
    units_per_world: float
    openness: NDArray[np.float32]
    lighting: Lighting | None = None

    def render(self, camera: Camera, supersample: int = 2) -> Render:
        """What a camera sees of it."""
        looks = self.render_looks(camera, supersample)
        if self.lighting is None:
            return looks
        return lit(looks, self.lighting, self.mesh, self.texture.attributes[:, 3:6], self.openness, camera)

    def render_looks(self, camera: Camera, supersample: int = 2) -> Render:
        """The same without the light of its surroundings."""
        return render_solid(self.texture, self.mesh, camera, self.units_per_world, supersample)

    def vertex_colours(self) -> NDArray[np.uint8]:
        """[V, 3] uint8 sRGB."""
        count = len(self.mesh.vertices)
        corners = np.repeat(np.arange(count, dtype=np.int32)[:, None], 3, 1)
        rgb = bake_colours(self.texture, corners, np.tile([1.0, 0.0], (count, 1)), 1 / 256)
        return np.asarray(rgb * 255 + 0.5).astype(np.uint8)

    def textured(self, size_px: int = 2048) -> TexturedMesh:
        """The same with a texture atlas: a small triangle for each face, good up to about a texel a pixel."""
        return bake_atlas(self.mesh, self.texture, size_px)


@dataclass(frozen=True, eq=False)
class Scene:
    """A sample: what a job gets, and the truth behind it. depth: [h, w] float64 planar z, 0 = background."""

    bundle: Bundle
    calibration: Calibration
    truth: SampleObject
    depth: dict[ViewName, NDArray[np.float64]]


@cache
def _surface(name: str, grid: int, painted: bool) -> tuple[Mesh, SolidTexture, NDArray[np.float32]]:
    solid = _SOLIDS[name]()
    mesh = polygonise(solid.distance, grid)
    low, high = mesh.bounds()
    texture = solid_texture(solid, mesh.vertices, painted=painted)
    openness = solid.openness(texture.attributes[:, :3], texture.attributes[:, 3:6])
    return Mesh(mesh.vertices - (low + high) / 2, mesh.faces), texture, openness


def sample_scene(
    object_name: str = "locomotive",
    fov_deg: float = 40.0,
    encoding: Encoding = "view_max",
    layout: Layout = "canonical",
    size_px: int = 512,
    *,
    depth_size_px: int | None = None,
    background: Background = "off_white",
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    supersample: int = 2,
    grid: int = 192,
    light: Light = "painted",
) -> Scene:
    """Make a sample without touching the disk.

    object_name: one of OBJECT_NAMES, or for tests "sphere", "cube", "torus", "two_balls". depth_size_px: by default
    max(256, size_px / 2). offset: of the object's centre from the rig's, in shares of its longest side. grid: the
    mesh's resolution; the same object and grid are meshed once in a process. light: one of LIGHTS. World unit: the
    camera distance.
    Raises ValueError for an unknown name.
    """
    if object_name not in _SOLIDS:
        raise ValueError(f"no object is called {object_name!r}; there are {', '.join(_SOLIDS)}")
    surface, texture, openness = _surface(object_name, grid, light == "painted")
    low, high = surface.bounds()
    vertices = surface.vertices + np.asarray(offset) * (high - low).max()
    poses = [camera.world_from_camera for camera in rig(layout, fov_deg, 256).values()]
    distance = distance_to_fit(vertices, poses, fov_deg, FILL)
    mesh = Mesh(vertices / distance, surface.faces)
    truth = SampleObject(object_name, mesh, texture, distance, openness, LIGHTING.get(light))

    depth_size = depth_size_px or max(256, size_px // 2)
    cameras = rig(layout, fov_deg, depth_size)
    depth = {view: render_depth(truth.mesh, cameras[view]).astype(np.float64) for view in VIEW_NAMES}
    measured = depth
    if encoding == "view_max_ray":
        measured = {view: depth[view] * ray_lengths(cameras[view]) for view in VIEW_NAMES}
    codings = choose_codings(measured, encoding)
    pictures = {view: truth.render(cameras[view].scaled_to(size_px), supersample) for view in VIEW_NAMES}
    rgb, alpha = {}, {}
    for view, picture in pictures.items():
        rgb[view], alpha[view] = compose(picture, background)
    bundle = Bundle(
        path=Path(object_name),
        rgb=rgb,
        alpha=alpha,
        depth={view: encode(codings[view], measured[view]) for view in VIEW_NAMES},
        depth_code_max=codings["front"].code_max,
        options=JobOptions(),
    )
    calibration = Calibration(cameras, codings, fov_deg, STRUCTURES[encoding], view_axes(layout), 1.0, "given", False)
    return Scene(bundle, calibration, truth, depth)


def compose(picture: Render, background: Background) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A render as delivered: rgb [H, W, 3] uint8, and alpha [H, W] uint8 for a transparent background."""
    if background != "transparent":
        rgb = picture.over(np.array(BACKGROUNDS[background], np.float32) / 255)
        return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8), None
    straight = picture.rgb / np.maximum(picture.coverage, 1e-6)[..., None]
    alpha = (picture.coverage * 255 + 0.5).astype(np.uint8)
    return (np.clip(straight, 0, 1) * 255 + 0.5).astype(np.uint8), alpha
