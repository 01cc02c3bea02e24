"""Lamps for samples: light that is known, on looks that are known apart from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engine.camera import Camera
from engine.mesh import Mesh
from engine.occlusion import sky_directions
from engine.render import Render, interpolate, rasterize, to_clip
from engine.sample.shapes import Vector
from engine.srgb import decode_srgb, encode_srgb

Light = Literal["painted", "none", "studio", "glossy"]
LIGHTS: Final[tuple[Light, ...]] = get_args(Light)
"""painted: a soft shade from above, part of the object's looks. none: the looks alone. studio: lamps that stand still
while the cameras go round. glossy: the same on a varnished object."""


@dataclass(frozen=True)
class Lamp:
    """A distant lamp. towards: the direction to it. colour: linear; a matt white surface facing it shows so much."""

    towards: Vector
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Lighting:
    """ambient: from all sides, dimmed in hollows. roughness: of a varnish with 4 % reflectance, or none."""

    ambient: tuple[float, float, float]
    lamps: tuple[Lamp, ...]
    roughness: float | None = None


_STUDIO: Final = (Lamp((-0.55, 0.75, 0.45), (0.72, 0.69, 0.63)), Lamp((0.8, 0.15, 0.5), (0.16, 0.18, 0.22)))
LIGHTING: Final[dict[Light, Lighting]] = {
    "studio": Lighting((0.26, 0.27, 0.29), _STUDIO),
    "glossy": Lighting((0.26, 0.27, 0.29), _STUDIO, roughness=0.35),
}


def lit(
    picture: Render, lighting: Lighting, mesh: Mesh, normals: NDArray[Any], openness: NDArray[Any], camera: Camera
) -> Render:
    """A picture of a mesh's looks, its light switched on.

    normals: [V, 3] unit, openness: [V] 0..1, of the mesh's vertices. Light is added in linear values: Lambert's law for
    the looks, and for the varnish Cook-Torrance with GGX, Smith's shadowing and Schlick's Fresnel term, as in glTF 2.0.
    """
    size = camera.size_px
    fine = 2 * size
    fragments = rasterize(to_clip(mesh.vertices, camera), mesh.faces, (fine, fine))
    held = np.concatenate([normals, openness[:, None], mesh.vertices], 1).astype(np.float32)
    values = interpolate(held, fragments, mesh.faces)
    covered = fragments.covered
    n = values[covered][:, :3].astype(np.float64)
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)
    diffuse = values[covered][:, 3:4] * np.array(lighting.ambient)
    gloss = np.zeros_like(diffuse)
    view = camera.position - values[covered][:, 4:7]
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    for lamp in lighting.lamps:
        towards = np.array(lamp.towards) / np.linalg.norm(lamp.towards)
        cosine = np.maximum(n @ towards, 0)[:, None]
        diffuse = diffuse + cosine * np.array(lamp.colour)
        if lighting.roughness is not None:
            gloss = gloss + varnish(n, view, towards, lighting.roughness)[:, None] * np.array(lamp.colour)
    if lighting.roughness is not None:
        sheen = np.interp((n * view).sum(1), *_sheen(lighting.roughness))[:, None]
        gloss = gloss + values[covered][:, 3:4] * sheen * np.array(lighting.ambient)
    shade = np.zeros((fine, fine, 7))
    shade[covered] = np.concatenate([diffuse, gloss, np.ones((len(n), 1))], 1)
    mean = shade.reshape(size, 2, size, 2, 7).sum((1, 3))
    known = mean[..., 6] > 0
    mean[known] /= mean[known][:, 6:]
    rgb, coverage = picture.rgb.astype(np.float64), picture.coverage[..., None]
    there = known & (picture.coverage > 0)
    looks = decode_srgb(rgb[there] / np.maximum(coverage[there], 1e-6))
    rgb[there] = encode_srgb(looks * mean[there][:, :3] + mean[there][:, 3:6]) * coverage[there]
    return Render(rgb.astype(np.float32), picture.coverage, picture.depth)


@cache
def _sheen(roughness: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines to the camera, and what the varnish reflects at them of a light of 1 from all sides: many lamps' sum."""
    cosine = np.linspace(0.05, 1, 24)
    view = np.stack([np.sqrt(1 - cosine**2), np.zeros(24), cosine], 1)
    normal = np.tile([0.0, 0.0, 1.0], (24, 1))
    lamps = sky_directions(8000)
    return cosine, np.asarray(sum(varnish(normal, view, lamp, roughness) for lamp in lamps) * 4 / len(lamps))


def varnish(
    normal: NDArray[np.float64],
    view: NDArray[np.float64],
    towards: NDArray[np.float64],
    roughness: float,
    reflectance: float = 0.04,
) -> NDArray[np.float64]:
    """[N] what a lamp adds by reflection that makes a matt white surface facing it show 1.

    normal, view: [N, 3] unit, towards: [3]. reflectance: from the front.
    """
    half = view + towards
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-9)
    nl, nv = np.maximum(normal @ towards, 0), np.maximum((normal * view).sum(1), 1e-3)
    nh, vh = np.maximum((normal * half).sum(1), 0), np.maximum((view * half).sum(1), 0)
    a2 = roughness**4
    spread = a2 / (np.pi * (nh * nh * (a2 - 1) + 1) ** 2)
    seen = nl * np.sqrt(nv * nv * (1 - a2) + a2) + nv * np.sqrt(nl * nl * (1 - a2) + a2)
    fresnel = reflectance + (1 - reflectance) * (1 - vh) ** 5
    return np.asarray(np.where(nl > 0, np.pi * spread * fresnel * nl * 0.5 / np.maximum(seen, 1e-9), 0))
