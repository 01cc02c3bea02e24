"""From a baked texture to looks, material maps and a light; or back to the baked texture, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.export.layout import normal_float32, split_at_seams
from engine.materials.decide import refusal
from engine.materials.environment import FACES, SIDE, main_direction
from engine.materials.evidence import weigh
from engine.materials.light import Light, fit_light
from engine.materials.normal_map import bake_normals
from engine.materials.samples import take_samples
from engine.materials.shade import Shape, relit, shading, vertices_known, without
from engine.materials.views import agreement, observe
from engine.mesh import MaterialMaps, TexturedMesh
from engine.occlusion import Occlusion
from engine.preview.studio import corner_normals
from engine.progress import Checkpoint
from engine.render import Fragments, interpolate
from engine.segment import Segmentation
from engine.tangents import corner_tangents
from engine.texture import SEEN_COSINE, Texturing, atlas_fragments
from engine.texture.fill import pad
from engine.texture.packing import MARGIN_BLOCKS

Float32 = NDArray[np.float32]

ROUGHNESS: Final = 1.0
METALLIC: Final = 0.0
"""Assumed: six views from the sides of a cube show hardly any place twice, and gloss only in the other's absence."""
SKY_DIRECTIONS: Final = 96
LEFT: Final = 'The light was left in the texture, as with materials = "baked": '


@dataclass(frozen=True, eq=False)
class Materials:
    """What a job's materials came to.

    textured: what is to be exported. delivered: what it holds, whatever was asked for. light, shade: where they were
    taken apart, the light, and what it makes of white at every texel [S, S, 3] float32. facts: quality.json's
    `materials`. note: for job.json and the report, in a sentence.
    """

    textured: TexturedMesh
    delivered: Literal["baked", "separated"]
    light: Light | None
    shade: Float32 | None
    facts: dict[str, Any]
    note: str

    def as_photographed(self, delivered: TexturedMesh) -> TexturedMesh:
        """The model as read back from mesh.glb, under the estimated light: what can be compared with the views."""
        if self.shade is None:
            return delivered
        return replace(delivered, texture_kd=relit(delivered.texture_kd, self.shade), maps=None)

    def light_json(self) -> dict[str, Any] | None:
        """The content of light.json; None where the light is still in the texture."""
        if self.light is None:
            return None
        faces = self.light.radiance.reshape(len(FACES), SIDE, SIDE, 3)
        return {
            "schema_version": 1,
            "cube_map": {name: np.round(face, 5).tolist() for name, face in zip(FACES, faces, strict=True)},
            "occlusion_exponent": round(self.light.occlusion, 4),
            "main_direction": np.round(main_direction(self.light.radiance), 4).tolist(),
        }


def separate(
    texturing: Texturing,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: Mapping[ViewName, Registration],
    depth: Mapping[ViewName, Float32],
    seed: int = 0,
    checkpoint: Checkpoint = lambda fraction: None,
) -> Materials:
    """Take the light out of a baked texture, where the views can tell it from the looks.

    registrations: in RGB pixels. depth: [h, w] planar z for each view, 0 = background, at the depth renders' size. The
    same arguments give the same result.
    """
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
    views = agreement(observe(samples, mesh, bundle, segmentation, calibration, registrations))
    checkpoint(0.35)
    light = fit_light(samples)
    checkpoint(0.5)
    evidence = weigh(samples, light, seed)
    checkpoint(0.6)
    figures = {"evidence": asdict(evidence), "views_agreement": asdict(views)}
    reason = refusal(evidence, views)
    if reason is not None:
        return _baked(textured, reason, figures)
    shape = Shape(mesh, normals, openness, vertices_known(mesh, texturing.face_confidence, SEEN_COSINE))
    size_px = textured.texture_kd.shape[0]
    fragments = atlas_fragments(textured.uv.astype(np.float64) * size_px, textured.faces_uv, size_px)
    shade = shading(light, shape, fragments)
    checkpoint(0.7)
    covered = fragments.face_index >= 0
    rings = max(1, size_px // 512) * MARGIN_BLOCKS
    kd = without(textured.texture_kd, shade)
    pad(kd, covered, rings)
    split = split_at_seams(textured)
    tangents = corner_tangents(split.position, split.normal, split.uv, split.faces)
    checkpoint(0.8)
    bumps = bake_normals(mesh, normal_float32(mesh), tangents, fragments, calibration.cameras, depth)
    ks = _packed(openness, mesh.faces, fragments)
    for image in (bumps, ks):
        pad(image, covered, rings)
    checkpoint(1.0)
    facts = {
        "asked": "separated",
        "delivered": "separated",
        "reason": None,
        "assumed": {
            "light": "distant, still, white on the mean",
            "roughness": ROUGHNESS,
            "metallic": METALLIC,
        },
        "occlusion_exponent": light.occlusion,
        **figures,
    }
    note = (
        "The light was taken out of the texture: "
        f"{100 * evidence.explained:.0f} % of what brightness changes by with direction is explained by one light that "
        f"is {evidence.contrast:.1f} times as strong where it is brightest as where it is darkest. Assumed: it is far "
        f"away, stands still and is white on the mean; the surface is matt (roughness {ROUGHNESS:g}) and no metal. "
        "The figures compare the views with the model under that light (light.json)."
    )
    maps = MaterialMaps(ks, bumps, tangents)
    return Materials(replace(textured, texture_kd=kd, maps=maps), "separated", light, shade, facts, note)


def _baked(textured: TexturedMesh, reason: str, figures: dict[str, Any]) -> Materials:
    facts = {"asked": "separated", "delivered": "baked", "reason": reason, **figures}
    return Materials(textured, "baked", None, None, facts, f"{LEFT}{reason}.")


def _packed(openness: NDArray[np.float64], faces: NDArray[np.int32], fragments: Fragments) -> NDArray[np.uint8]:
    """[S, S, 3] uint8: occlusion, roughness, metallic."""
    out = np.empty((*fragments.face_index.shape, 3), np.uint8)
    out[:] = (255, round(255 * ROUGHNESS), round(255 * METALLIC))
    open_there = interpolate(np.ascontiguousarray(openness[:, None], np.float32), fragments, faces)[..., 0]
    covered = fragments.face_index >= 0
    out[..., 0][covered] = np.rint(255 * np.clip(open_there[covered], 0, 1))
    return out
