"""Whole textures of a shape whose colour is a known function of position."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.errors import Cancelled
from engine.bundle import Bundle
from engine.render import Fragments, interpolate, rasterize
from engine.texture import Texturing, texture

SIZE = 512


def bake(scene: Any, bundle: Bundle | None = None) -> Texturing:
    return texture(scene.mesh, bundle or scene.bundle, scene.segmentation, scene.calibration, {}, SIZE)


@pytest.fixture(scope="module")
def baked(scene: Any) -> Texturing:
    return bake(scene)


def atlas_fragments(result: Texturing) -> Fragments:
    uv = result.textured.uv
    clip = np.concatenate([uv * 2 - 1, np.zeros((len(uv), 1)), np.ones((len(uv), 1))], 1).astype(np.float32)
    return rasterize(clip, result.textured.faces_uv, (SIZE, SIZE))


def texel_truth(scene: Any, result: Texturing) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int32]]:
    """Where charts are [S, S], the true colour [N, 3] and the face [N] of their texels."""
    from tests.texture.conftest import colour_at

    fragments = atlas_fragments(result)
    points = interpolate(scene.mesh.vertices.astype(np.float32), fragments, scene.mesh.faces)
    inside = fragments.covered
    return inside, colour_at(points[inside].astype(np.float64)), fragments.face_index[inside]


def test_seen_texels_have_the_surface_colour(scene: Any, baked: Texturing) -> None:
    inside, truth, face = texel_truth(scene, baked)
    error = np.abs(baked.textured.texture_kd[inside] - truth).max(1)
    square = baked.face_confidence[face] > 0.45
    assert square.mean() > 0.7
    assert np.median(error[square]) < 1.0
    assert np.quantile(error[square], 0.99) < 4
    assert np.quantile(error, 0.999) < 20


def test_no_texel_reads_the_background(baked: Texturing) -> None:
    # The object's colours end at 200 and are at most 190 in mean; the background is 255.
    kd = baked.textured.texture_kd
    assert int(kd.max()) <= 206
    assert int(kd.min(2).max()) < 202


def test_a_dark_background_does_not_bleed_either(scene: Any) -> None:
    from tests.texture.conftest import RGB, draw, view_camera

    dark = {v: draw(scene.mesh, view_camera(v, RGB), 0.0)[0] for v in scene.bundle.rgb}
    result = bake(scene, replace(scene.bundle, rgb=dark))
    inside, truth, _ = texel_truth(scene, result)
    error = truth - result.textured.texture_kd[inside]
    assert np.quantile(error.mean(1), 0.999) < 12


def test_chart_borders_do_not_show(scene: Any, baked: Texturing) -> None:
    from engine.render import sample_texture
    from engine.texture.labels import face_adjacency

    faces, faces_uv, uv = scene.mesh.faces, baked.textured.faces_uv, baked.textured.uv
    pairs, edges = face_adjacency(faces)
    sides = []
    for side in range(2):
        at = np.stack([(faces[pairs[:, side]] == edges[:, [k]]).argmax(1) for k in range(2)], 1)
        sides.append(uv[np.take_along_axis(faces_uv[pairs[:, side]], at, 1)].mean(1))
    cut = np.abs(sides[0] - sides[1]).max(1) > 1e-6
    assert cut.sum() > 50
    colours = [255 * sample_texture(baked.textured.texture_kd, np.ascontiguousarray(s[cut], np.float32)) for s in sides]
    step = np.abs(colours[0] - colours[1]).max(1)
    assert np.median(step) < 2.5
    assert np.quantile(step, 0.98) < 15


def test_what_no_view_sees_is_filled_from_the_surface_around(scene: Any) -> None:
    views = scene.bundle.rgb
    result = bake(scene, replace(scene.bundle, rgb={v: views[v] for v in ("front", "left", "top")}))
    inside, truth, face = texel_truth(scene, result)
    unseen = result.face_confidence[face] < 0.05
    assert 0.1 < result.coverage["unseen"] < 0.5
    assert 0.05 < result.coverage["texels_filled"] < 0.5
    known = truth[~unseen]
    low, high = known.min(0) - 3, known.max(0) + 3
    filled = result.textured.texture_kd[inside][unseen]
    assert ((filled >= low) & (filled <= high)).all()
    assert np.median(np.abs(filled - truth[unseen]).max(1)) < 50


def test_every_texel_is_padded(baked: Texturing) -> None:
    """Within the padding a texel is close to the nearest chart's border colour; beyond, nothing is left black."""
    from scipy.ndimage import distance_transform_edt

    inside = atlas_fragments(baked).covered
    away, (rows, columns) = distance_transform_edt(~inside, return_indices=True)
    near = (away > 0) & (away <= 2)
    kd = baked.textured.texture_kd.astype(np.int32)
    step = np.abs(kd[near] - kd[rows[near], columns[near]]).max(1)
    assert np.quantile(step, 0.9) < 16


def test_coverage_adds_up(baked: Texturing) -> None:
    c = baked.coverage
    assert c["seen"] + c["grazing"] + c["unseen"] == pytest.approx(1, abs=1e-4)
    assert c["seen"] > 0.7
    assert 0 <= c["texels_filled"] < 0.4
    assert baked.face_view.min() >= 0
    assert baked.face_view.max() <= 5


def test_same_input_same_bytes(scene: Any, baked: Texturing) -> None:
    again = bake(scene)
    assert again.textured.texture_kd.tobytes() == baked.textured.texture_kd.tobytes()
    assert again.textured.uv.tobytes() == baked.textured.uv.tobytes()
    assert again.textured.faces_uv.tobytes() == baked.textured.faces_uv.tobytes()


def test_views_of_different_tone_meet_without_a_step(scene: Any) -> None:
    """One view is brighter by 20: the texture passes from one to the other gradually."""
    brighter = dict(scene.bundle.rgb)
    brighter["right"] = np.minimum(brighter["right"].astype(np.int32) + 20, 255).astype(np.uint8)
    result = bake(scene, replace(scene.bundle, rgb=brighter))
    inside, truth, face = texel_truth(scene, result)
    error = (result.textured.texture_kd[inside] - truth).mean(1)
    F = len(scene.mesh.faces)
    count = np.bincount(face, minlength=F)
    mean = np.bincount(face, error, minlength=F) / np.maximum(count, 1)
    from engine.texture.labels import face_adjacency

    pairs, _ = face_adjacency(scene.mesh.faces)
    good = (count[pairs] >= 4).all(1) & (baked_confidence(result)[pairs] > 0.3).all(1)
    seam = good & (result.face_view[pairs[:, 0]] != result.face_view[pairs[:, 1]])
    assert seam.sum() > 30
    assert np.quantile(np.abs(mean[pairs[seam, 0]] - mean[pairs[seam, 1]]), 0.9) < 8


def baked_confidence(result: Texturing) -> NDArray[np.float32]:
    return result.face_confidence


def test_it_can_be_cancelled(scene: Any) -> None:
    def stop(fraction: float) -> None:
        if fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        texture(scene.mesh, scene.bundle, scene.segmentation, scene.calibration, {}, SIZE, stop)
