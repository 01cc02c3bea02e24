"""From the mesh and the views to a textured mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera, Registration
from engine.jit import beside, parallel_map, row_bands, thread_count
from engine.mesh import Mesh, TexturedMesh
from engine.progress import Checkpoint
from engine.render import Fragments, rasterize
from engine.segment import Segmentation
from engine.texture import texels
from engine.texture.charts import Atlas, build_atlas
from engine.texture.fill import pad
from engine.texture.selection import GRAZING_COSINE, SEEN_COSINE, Selection, look_at_mesh, select_views
from engine.texture.views import Picture, draw_depth, prepare_picture

_GROWN = 2
_LEAST = 0.01
_REST = 10.0
_AGREEMENT = 80.0
"""Difference in sRGB steps (root mean square of the channels) within which views count as agreeing."""
_ROWS = 64


@dataclass(frozen=True, eq=False)
class Texturing:
    """What texturing hands on.

    coverage: shares of the surface's area: seen, grazing (seen, but under a flat angle only), unseen; and
    texels_filled, the share of the charts' texels whose colour comes from their neighbours. face_view: [F] int32, the
    view that colours a face, as its place in VIEW_NAMES. face_confidence: [F] float32, 0 = unseen .. 1 = seen squarely.
    """

    textured: TexturedMesh
    coverage: dict[str, float]
    face_view: NDArray[np.int32]
    face_confidence: NDArray[np.float32]


def texture(
    mesh: Mesh,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: dict[ViewName, Registration],
    size_px: int = 2048,
    checkpoint: Checkpoint = lambda fraction: None,
) -> Texturing:
    """Bake the views' colours into an atlas of size_px x size_px texels.

    mesh: closed, oriented. registrations: in RGB pixels, missing ones are the identity. Every texel is a function of
    its surface point alone, so chart borders do not show.
    """
    names = [v for v in VIEW_NAMES if v in bundle.rgb]
    levels = _levels_down(mesh, bundle, calibration, size_px)
    pictures: list[Picture] = []
    picture_view: list[int] = []

    def prepare(task: tuple[ViewName, Camera, NDArray[np.float32]]) -> Picture | None:
        v, camera, depth = task
        return prepare_picture(
            depth, camera, bundle.rgb[v], segmentation.rgb_alpha[v], bundle.alpha.get(v) is not None, levels
        )

    step = thread_count()
    for n in range(0, len(names), step):  # as many at a time as there are threads: memory stays bounded
        tasks = []
        for v in names[n : n + step]:
            camera = calibration.cameras[v].scaled_to(bundle.rgb_size_px)
            camera = camera.registered(registrations.get(v, Registration()))
            tasks.append((v, camera, draw_depth(mesh, camera, levels)))
        for (v, _, _), made in zip(tasks, parallel_map(prepare, tasks), strict=True):
            if made is not None:
                pictures.append(made)
                picture_view.append(VIEW_NAMES.index(v))
        checkpoint(0.3 * min(n + step, len(names)) / len(names))
    if not pictures:
        raise ValueError("no view shows the mesh")
    shown = look_at_mesh(mesh, pictures)
    checkpoint(0.35)
    # Each is mostly one thread's work, and neither needs the other.
    with beside(lambda _: build_atlas(mesh, shown.cosine < SEEN_COSINE, size_px)) as laid_out:
        selection = select_views(mesh, shown)
        checkpoint(0.5)
        atlas = laid_out(lambda _: checkpoint(0.5))
    checkpoint(0.6)
    image, filled = _bake(mesh, pictures, selection, atlas, size_px, checkpoint)
    uv = np.ascontiguousarray(atlas.uv_px / size_px, np.float32)
    textured = TexturedMesh(mesh, uv, atlas.faces_uv, image)
    checkpoint(1.0)
    return Texturing(
        textured,
        _coverage(mesh, selection, filled),
        np.array(picture_view, np.int32)[selection.label],
        np.asarray(np.clip(selection.cosine, 0, 1), np.float32),
    )


def _levels_down(mesh: Mesh, bundle: Bundle, calibration: Calibration, size_px: int) -> int:
    """How often the views are halved so that a texel's footprint is at most about two of their pixels."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    camera = calibration.cameras[next(iter(bundle.rgb))].scaled_to(bundle.rgb_size_px)
    distance = float(np.linalg.norm(camera.position - mesh.vertices.mean(0)))
    pixels_per_unit = camera.K[0, 0] / distance
    texels_per_unit = math.sqrt(0.6 * size_px**2 / max(area, 1e-12))
    return max(0, round(math.log2(max(pixels_per_unit / texels_per_unit, 1e-6)) - 0.3))


def _bake(
    mesh: Mesh, pictures: list[Picture], selection: Selection, atlas: Atlas, size_px: int, checkpoint: Checkpoint
) -> tuple[NDArray[np.uint8], float]:
    fragments = atlas_fragments(atlas.uv_px, atlas.faces_uv, size_px)
    vertices = np.ascontiguousarray(mesh.vertices, np.float32)
    normals = np.ascontiguousarray(mesh.vertex_normals(), np.float32)
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    image = np.zeros((size_px, size_px, 3), np.uint8)
    strongest = np.sort(selection.face_weight.max(0))
    typical = float(strongest[strongest > 0].mean()) if (strongest > 0).any() else 1.0
    low, high = 0.01 * typical, 0.06 * typical

    def band(rows: tuple[int, int]) -> tuple[int, int]:
        face_index, barycentric = fragments.face_index[slice(*rows)], fragments.barycentric[slice(*rows)]
        most = int((face_index >= 0).sum())
        texel = np.empty(most, np.int32)
        points, directions = np.empty((most, 3), np.float32), np.empty((most, 3), np.float32)
        n = texels.texel_points(face_index, barycentric, faces, vertices, normals, texel, points, directions)
        total = np.zeros((n, 4), np.float32)
        samples = np.stack([picture.sample(points[:n], directions[:n]) for picture in pictures])
        texels.mix_views(
            face_index,
            barycentric,
            faces,
            texel,
            n,
            samples,
            selection.favour,
            selection.shift,
            _LEAST,
            _REST,
            _AGREEMENT,
            np.empty((len(samples), 4), np.float32),
            total,
        )
        part = image[slice(*rows)]
        filled = texels.write_texels(face_index, barycentric, faces, texel, n, total, selection.fill, low, high, part)
        return n, filled

    bands = row_bands(size_px, max(1, size_px // _ROWS))
    counts: list[tuple[int, int]] = []
    step = max(thread_count(), 4)
    for i in range(0, len(bands), step):
        counts += parallel_map(band, bands[i : i + step])
        checkpoint(0.6 + 0.3 * (i + step) / (len(bands) + step))
    pad(image, fragments.face_index >= 0, atlas.gutter_px // 2)
    all_texels = sum(n for n, _ in counts)
    return image, sum(f for _, f in counts) / max(all_texels, 1)


def atlas_fragments(uv_px: NDArray[np.float64], faces_uv: NDArray[np.int32], size_px: int) -> Fragments:
    """The face and weights of every texel, the charts grown by a few texels so that filtering finds true colours.

    uv_px: [T, 2] in texels, faces_uv: [F, 3] int32. Weights beyond a chart's edge are extrapolated.
    """
    clip = np.zeros((len(uv_px), 4), np.float32)
    clip[:, :2] = uv_px * (2 / size_px) - 1
    clip[:, 3] = 1
    fragments = rasterize(clip, faces_uv, (size_px, size_px))
    face_index = fragments.face_index
    for _ in range(_GROWN):
        for rows in row_bands(size_px, 1):
            texels.grow_charts(face_index, fragments.barycentric, uv_px, faces_uv, *rows)
        np.copyto(face_index, -3 - face_index, where=face_index < -1)
    return fragments


def _coverage(mesh: Mesh, selection: Selection, filled: float) -> dict[str, float]:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    area /= max(float(area.sum()), 1e-300)
    seen = selection.cosine >= GRAZING_COSINE
    unseen = selection.cosine < SEEN_COSINE
    shares: dict[str, Any] = {
        "seen": area[seen].sum(),
        "grazing": area[~seen & ~unseen].sum(),
        "unseen": area[unseen].sum(),
        "texels_filled": filled,
    }
    return {key: round(float(value), 6) for key, value in shares.items()}
