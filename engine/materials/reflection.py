"""What a dielectric's surface reflects of the surroundings, and what it adds to a view.

The model is glTF's: GGX, with a reflection of `F0` from the front. It is integrated over the cube map as it is, not
by the split sum (Karis, "Real Shading in Unreal Engine 4", 2013), which takes normal, view and mirrored direction for
one: seen from the side a highlight is narrower across than that has it, and every place that two of six views show is
seen from the side by one of them. A roughness fitted with the split sum was 0.1 to 0.3 too low.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.jit import parallel_map, row_bands, thread_count
from engine.materials.environment import patches, points
from engine.materials.kernels import reflect_patches
from engine.materials.light import Light
from engine.materials.shade import Shape
from engine.render import Render, interpolate, rasterize, to_clip
from engine.srgb import decode_srgb, encode_srgb

Float = NDArray[np.float64]

F0: Final = 0.04
"""Of a refractive index of 1.5, as glass, varnish and plastics have; glTF has it for all that is no metal."""
LEAST_LEFT: Final = 0.25
"""Of a pixel's light: reflections that are taken for stronger than they are leave no black spots."""
FINE: Final = 32
"""Points along a face's side: less than 4 degrees apart. A highlight at roughness 0.2 is 5 degrees wide."""


@dataclass(frozen=True, eq=False)
class Gloss:
    """roughness: 0..1, of all of the surface. strength: [3] float64, what it reflects of the light as delivered, over
    what a surface of `F0` does: the looks leave the light's own strength and tint open.
    """

    roughness: float
    strength: Float

    @property
    def reflectance(self) -> float:
        """Reflected from the front, 0..1, under the light as delivered."""
        return F0 * float(self.strength.mean())


def reflected(normals: NDArray[Any], towards: NDArray[Any], roughness: float) -> Float:
    """[N, 96] how much of each patch's radiance a surface of `F0` reflects to the camera.

    normals, towards: [N, 3] unit; towards the camera. 0 where it looks on the back.
    """
    n, v = (np.ascontiguousarray(each, np.float64) for each in (normals, towards))
    directions, angles, patch = points(FINE)
    out = np.zeros((len(n), len(patches()[0])))

    def band(rows: tuple[int, int]) -> None:
        part = slice(*rows)
        reflect_patches(n[part], v[part], directions, angles, patch, float(roughness), F0, out[part])

    if len(n):
        parallel_map(band, row_bands(len(n), 4 * thread_count()))
    return out


def added(shape: Shape, camera: Camera, gloss: Gloss, radiance: Float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What gloss adds to a view, [h, w, 3] float32 linear, and where the mesh is [h, w].

    What hollows hide of the surroundings is not mirrored. radiance: [96, 3] of the light as delivered.
    """
    vertex, normal, faces = shape.spots
    position = shape.mesh.vertices[vertex]
    towards = camera.position - position
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    at_spot = np.empty((len(vertex), 3), np.float32)
    step = 65_536
    for first in range(0, len(vertex), step):  # [N, 96] of all at once would be large
        part = slice(first, first + step)
        sent = reflected(normal[part], towards[part], gloss.roughness) @ (radiance * gloss.strength)
        at_spot[part] = sent * shape.openness[vertex[part], None]
    size = camera.size_px
    fragments = rasterize(to_clip(position, camera), faces, (size, size))
    return interpolate(at_spot, fragments, faces), fragments.covered


def without_gloss(rgb: NDArray[np.uint8], gloss: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """[h, w, 3] uint8 sRGB: a view less what its surface reflects, of which `LEAST_LEFT` is looks."""
    out = rgb.copy()
    linear = decode_srgb(rgb[there] / 255)
    out[there] = np.rint(255 * encode_srgb(np.maximum(linear - gloss[there], LEAST_LEFT * linear)))
    return out


@dataclass(frozen=True, eq=False)
class Under:
    """The light on a model. shade: [S, S, 3] float32, what it makes of white at every texel. gloss: None for matt."""

    light: Light
    shade: NDArray[np.float32]
    shape: Shape
    gloss: Gloss | None

    def shining(self, picture: Render, camera: Camera) -> Render:
        """A picture of the looks under the light, with what the surface reflects."""
        if self.gloss is None:
            return picture
        extra, there = added(self.shape, camera, self.gloss, self.light.radiance)
        there &= picture.coverage > 0
        rgb, coverage = picture.rgb.copy(), picture.coverage[there][:, None]
        linear = decode_srgb(np.clip(rgb[there] / coverage, 0, 1)) + extra[there]
        rgb[there] = encode_srgb(np.clip(linear, 0, 1)) * coverage
        return replace(picture, rgb=rgb)
