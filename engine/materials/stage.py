"""From a baked texture to looks, material maps and a light; or back to the baked texture, with the reason."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera, Registration
from engine.export.layout import normal_float32, split_at_seams
from engine.materials.decide import absence, matt_because, metal_because, refusal
from engine.materials.environment import FACES, SIDE, main_direction
from engine.materials.evidence import weigh
from engine.materials.gloss import Shine, compare, differences, find_gloss
from engine.materials.light import Light, fit_light, fit_light_and_gloss
from engine.materials.normal_map import bake_normals
from engine.materials.reflection import F0, Gloss, Under, added, without_gloss
from engine.materials.samples import SurfaceSamples, take_samples
from engine.materials.shade import Shape, relit, shading, vertices_known, without
from engine.materials.views import Observed, agreement, observe
from engine.mesh import MaterialMaps, TexturedMesh
from engine.occlusion import Occlusion
from engine.preview.studio import corner_normals
from engine.progress import Checkpoint
from engine.render import Fragments, Render, interpolate
from engine.segment import Segmentation
from engine.tangents import corner_tangents
from engine.texture import SEEN_COSINE, Texturing, atlas_fragments
from engine.texture.fill import pad
from engine.texture.packing import MARGIN_BLOCKS

Float32 = NDArray[np.float32]

ROUGHNESS: Final = 1.0
METALLIC: Final = 0.0
"""Assumed; the first where views that see the same places don't tell it (`gloss`)."""
SKY_DIRECTIONS: Final = 96
LEFT: Final = 'The light was left in the texture, as with materials = "baked": '


Rebake = Callable[[Bundle, Checkpoint], Texturing]
"""The texture anew, from other pictures of the same mesh."""


class _OutOfTimeError(Exception):
    pass


@dataclass(frozen=True, eq=False)
class Materials:
    """What a job's materials came to.

    textured: what is to be exported. delivered: what it holds, whatever was asked for. under: where they were taken
    apart, the light that was taken out. facts: quality.json's `materials`. note: for job.json and the report, in a
    sentence.
    """

    textured: TexturedMesh
    delivered: Literal["baked", "separated"]
    under: Under | None
    facts: dict[str, Any]
    note: str

    @property
    def rebaked(self) -> bool:
        """Whether the texture comes from views without their highlights."""
        return self.under is not None and self.under.gloss is not None

    def as_photographed(self, delivered: TexturedMesh) -> TexturedMesh:
        """The model as read back from mesh.glb, under the estimated light: what can be compared with the views."""
        if self.under is None:
            return delivered
        return replace(delivered, texture_kd=relit(delivered.texture_kd, self.under.shade), maps=None)

    def finish(self, picture: Render, camera: Camera) -> Render:
        """A picture of that with what the surface reflects to the camera, where it was found to be glossy."""
        return picture if self.under is None else self.under.shining(picture, camera)

    def light_json(self) -> dict[str, Any] | None:
        """The content of light.json; None where the light is still in the texture."""
        if self.under is None:
            return None
        light, gloss = self.under.light, self.under.gloss
        faces = light.radiance.reshape(len(FACES), SIDE, SIDE, 3)
        document = {
            "schema_version": 1,
            "cube_map": {name: np.round(face, 5).tolist() for name, face in zip(FACES, faces, strict=True)},
            "occlusion_exponent": round(light.occlusion, 4),
            "main_direction": np.round(main_direction(light.radiance), 4).tolist(),
        }
        if gloss is not None:
            document["reflectance"] = np.round(F0 * gloss.strength, 5).tolist()
        return document


def separate(
    texturing: Texturing,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: Mapping[ViewName, Registration],
    depth: Mapping[ViewName, Float32],
    rebake: Rebake,
    seed: int = 0,
    checkpoint: Checkpoint = lambda fraction: None,
    budget_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Materials:
    """Take the light out of a baked texture, where the views can tell it from the looks.

    registrations: in RGB pixels. depth: [h, w] planar z for each view, 0 = background, at the depth renders' size.
    rebake: how `texturing` was made, for pictures without their highlights. After budget_s, at the next checkpoint, the
    texture stays as baked. The same arguments give the same result, if the time is enough.
    """
    began_s = clock()

    def in_time(fraction: float) -> None:
        checkpoint(fraction)
        if fraction < 1 and clock() - began_s > budget_s:  # at 1 there is nothing left to leave out
            raise _OutOfTimeError

    try:
        views = _Views(bundle, segmentation, calibration, registrations)
        return _separated(texturing, views, depth, rebake, seed, in_time)
    except _OutOfTimeError:
        reason = f"taking it out was not done within the {budget_s:g} s that the settings allow (materials_s)"
        return _baked(texturing.textured, reason, {})


class _Views(NamedTuple):
    """The views and what is known of them."""

    bundle: Bundle
    segmentation: Segmentation
    calibration: Calibration
    registrations: Mapping[ViewName, Registration]

    def camera(self, view: ViewName) -> Camera:
        """In RGB pixels."""
        camera = self.calibration.cameras[view].scaled_to(self.bundle.rgb_size_px)
        return camera.registered(self.registrations.get(view, Registration()))


def _separated(
    texturing: Texturing,
    views: _Views,
    depth: Mapping[ViewName, Float32],
    rebake: Rebake,
    seed: int,
    checkpoint: Checkpoint,
) -> Materials:
    textured, mesh = texturing.textured, texturing.textured.mesh
    low, high = mesh.bounds()
    centre = (low + high) / 2
    radius = max(float(np.linalg.norm(mesh.vertices - centre, axis=1).max()), 1e-9)
    sky = Occlusion(mesh, centre, radius, SKY_DIRECTIONS, lambda done: checkpoint(0.1 * done))
    openness = sky.openness(mesh.vertices, mesh.vertex_normals(), checkpoint=lambda done: checkpoint(0.1 + 0.1 * done))
    checkpoint(0.2)
    normals = corner_normals(mesh)
    samples = take_samples(textured, normals, openness, texturing.face_confidence, seed)
    if samples is None:
        return _baked(textured, "too little of the surface is seen well enough to tell a light by", {})
    observed = observe(samples, mesh, *views)
    alike = agreement(observed)
    checkpoint(0.25)
    light = fit_light(samples)
    checkpoint(0.3)
    evidence = weigh(samples, light, seed)
    checkpoint(0.35)
    figures: dict[str, Any] = {"evidence": asdict(evidence), "views_agreement": asdict(alike)}
    reason = absence(evidence, alike)
    if reason is not None:
        return _baked(textured, reason, figures)
    shape = Shape(mesh, normals, openness, vertices_known(mesh, texturing.face_confidence, SEEN_COSINE))
    reason = refusal(evidence, alike)
    try:
        found = _shine(samples, observed, light, shape, texturing, views, rebake, seed, checkpoint)
    except _OutOfTimeError:
        if reason is None:
            raise
        return _baked(textured, reason, figures)
    textured, light, gloss = found.textured, found.light, found.gloss
    if found.clear is not None:
        # To a light that knows of no highlights they are looks that go with no direction.
        evidence = weigh(found.clear, light, seed)
        figures["evidence"] = asdict(evidence)
        reason = refusal(evidence, alike, clear=True)
    if reason is not None:
        return _baked(texturing.textured, reason, figures)
    roughness = ROUGHNESS if gloss is None else gloss.roughness
    size_px = textured.texture_kd.shape[0]
    fragments = atlas_fragments(textured.uv.astype(np.float64) * size_px, textured.faces_uv, size_px)
    shade = shading(light, shape, fragments)
    checkpoint(0.8)
    covered = fragments.face_index >= 0
    rings = max(1, size_px // 512) * MARGIN_BLOCKS
    kd = without(textured.texture_kd, shade)
    pad(kd, covered, rings)
    split = split_at_seams(textured)
    tangents = corner_tangents(split.position, split.normal, split.uv, split.faces)
    checkpoint(0.9)
    bumps = bake_normals(mesh, normal_float32(mesh), tangents, fragments, views.calibration.cameras, depth)
    ks = _packed(openness, mesh.faces, fragments, roughness)
    for image in (bumps, ks):
        pad(image, covered, rings)
    checkpoint(1.0)
    assumed: dict[str, Any] = {"light": "distant, still, white on the mean", "metallic": METALLIC}
    if gloss is None:
        assumed["roughness"] = ROUGHNESS
    facts = {
        "asked": "separated",
        "delivered": "separated",
        "reason": None,
        "assumed": assumed,
        "occlusion_exponent": light.occlusion,
        "gloss": {
            "estimated": gloss is not None,
            **asdict(found.shine),
            "roughness": roughness,
            "reflectance": F0 if gloss is None else gloss.reflectance,
            "reason": found.matt,
        },
        **figures,
    }
    said = (
        f"Roughness: assumed {ROUGHNESS:g} (matt), because {found.matt}"
        if gloss is None
        else f"Roughness: estimated {gloss.roughness:.2f}; highlights were taken off the views before baking"
    )
    note = (
        "The light was taken out of the texture: "
        f"{100 * evidence.explained:.0f} % of what brightness changes by with direction is explained by one light that "
        f"is {evidence.contrast:.1f} times as strong where it is brightest as where it is darkest. {said}. Assumed: "
        "the light is far away, stands still and is white on the mean; the surface is no metal. The figures compare "
        "the views with the model under that light (light.json)."
    )
    maps = MaterialMaps(ks, bumps, tangents)
    under = Under(light, shade, shape, gloss)
    return Materials(replace(textured, texture_kd=kd, maps=maps), "separated", under, facts, note)


class _Shine(NamedTuple):
    """The texture without highlights, samples of it (`clear`), the light, and how the surface reflects it.

    Where that is not told, the texture and the light as they were, neither samples nor gloss, and why (`matt`).
    """

    textured: TexturedMesh
    clear: SurfaceSamples | None
    light: Light
    gloss: Gloss | None
    shine: Shine
    matt: str | None


def _shine(
    samples: SurfaceSamples,
    observed: Observed,
    light: Light,
    shape: Shape,
    texturing: Texturing,
    views: _Views,
    rebake: Rebake,
    seed: int,
    checkpoint: Checkpoint,
) -> _Shine:
    """Look for a gloss; where there is one, bake anew from the views without it, and fit the light to that."""
    places = compare(samples, observed, seed)
    shine = find_gloss(samples, places, seed, lambda done: checkpoint(0.35 + 0.25 * done))
    matt = matt_because(shine)
    if matt is not None:
        return _Shine(texturing.textured, None, light, None, shine, matt)
    between = differences(places, samples, shine.roughness)
    reflected, strength = fit_light_and_gloss(samples, between)
    gloss = Gloss(shine.roughness, strength)
    matt = metal_because(gloss.reflectance)
    if matt is not None:
        return _Shine(texturing.textured, None, light, None, shine, matt)
    dull = {}
    for view, picture in views.bundle.rgb.items():
        dull[view] = without_gloss(picture, *added(shape, views.camera(view), gloss, reflected.radiance))
        checkpoint(0.6)
    again = rebake(replace(views.bundle, rgb=dull), lambda done: checkpoint(0.6 + 0.15 * done))
    clear = take_samples(again.textured, shape.normals, shape.openness, again.face_confidence, seed)
    if clear is None:
        matt = "too little of the surface is bright enough to tell a light by without its highlights"
        return _Shine(texturing.textured, None, light, None, shine, matt)
    light, strength = fit_light_and_gloss(clear, between)
    if metal_because(Gloss(shine.roughness, strength).reflectance) is None:
        reflected, gloss = light, Gloss(shine.roughness, strength)
    return _Shine(again.textured, clear, reflected, gloss, shine, None)


def _baked(textured: TexturedMesh, reason: str, figures: dict[str, Any]) -> Materials:
    facts = {"asked": "separated", "delivered": "baked", "reason": reason, **figures}
    return Materials(textured, "baked", None, facts, f"{LEFT}{reason}.")


def _packed(
    openness: NDArray[np.float64], faces: NDArray[np.int32], fragments: Fragments, roughness: float
) -> NDArray[np.uint8]:
    """[S, S, 3] uint8: occlusion, roughness, metallic."""
    out = np.empty((*fragments.face_index.shape, 3), np.uint8)
    out[:] = (255, round(255 * roughness), round(255 * METALLIC))
    open_there = interpolate(np.ascontiguousarray(openness[:, None], np.float32), fragments, faces)[..., 0]
    covered = fragments.face_index >= 0
    out[..., 0][covered] = np.rint(255 * np.clip(open_there[covered], 0, 1))
    return out
