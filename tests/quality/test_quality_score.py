from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from config.bundle_layout import VIEW_NAMES
from config.errors import Cancelled
from engine.camera import Registration
from engine.fuse import depth_error
from engine.mesh import Mesh, TexturedMesh
from engine.quality import Evaluation, evaluate
from engine.quality.facts import is_watertight, mesh_facts
from engine.quality.metrics import PSNR_CAP_DB
from engine.quality.score import compare, thumbnails
from engine.render import Render

SIZE = 256


def square(left: int = 60, colour: float = 0.5, side: int = 100) -> Render:
    """A flat square, sharp to the pixel."""
    coverage = np.zeros((SIZE, SIZE), np.float32)
    coverage[80 : 80 + side, left : left + side] = 1
    return Render(coverage[..., None] * np.full(3, colour, np.float32), coverage, coverage)


def photo(picture: Render, background: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return np.rint(picture.over(background) * 255).astype(np.uint8), (picture.coverage * 255).astype(np.uint8)


def score(scene: SimpleNamespace, textured: TexturedMesh | None = None, **changes: object) -> Evaluation:
    arguments = {**vars(scene), **changes}
    arguments["textured"] = textured or scene.textured
    return evaluate(**arguments)


# --- one view: analytic pictures


@pytest.mark.parametrize("background", [1.0, 0.2])
def test_a_render_against_itself_reaches_the_cap(background: float) -> None:
    exact = square(colour=51 / 255)
    rgb, alpha = photo(exact, background)
    found = compare(exact, rgb, alpha)
    figures, small = found.figures, thumbnails(rgb, found.drawn, found.box)
    for part in (figures.headline, figures.on_white, figures.foreground, figures.inside):
        assert part.psnr == PSNR_CAP_DB
        assert part.ssim == pytest.approx(1, abs=1e-6)
    assert figures.rgb_iou == 1
    assert not small.difference.any()


def test_a_constant_error_inside() -> None:
    """0.1 off on 100 x 100 of 256 x 256 pixels: 20 dB inside, and by the area's share less in the frame."""
    rgb, alpha = photo(square(colour=0.4))
    figures = compare(square(colour=0.5), rgb, alpha).figures
    framed = 20 + 10 * np.log10(SIZE**2 / 100**2)
    assert figures.inside.psnr == pytest.approx(20, abs=0.01)
    assert figures.foreground.psnr == pytest.approx(20, abs=0.01)
    assert figures.on_white.psnr == pytest.approx(framed, abs=0.01)
    assert figures.headline.psnr == pytest.approx(framed, abs=0.01)
    assert figures.inside.ssim < figures.on_white.ssim < 1


def test_a_shifted_silhouette() -> None:
    """Black on white, 20 px off: exact inside, wrong by 1 on two strips of 20 of the union's 120 columns."""
    rgb, alpha = photo(square(left=60, colour=0.0))
    figures = compare(square(left=80, colour=0.0), rgb, alpha).figures
    assert figures.rgb_iou == pytest.approx(80 / 120)
    assert figures.inside.psnr == PSNR_CAP_DB
    assert figures.foreground.psnr == pytest.approx(-10 * np.log10(40 / 120), abs=1e-3)
    assert figures.on_white.psnr == pytest.approx(-10 * np.log10(40 * 100 / SIZE**2), abs=1e-3)


def test_shadows_beside_the_object_do_not_count() -> None:
    """What is neither in the foreground nor near it is the delivered picture itself."""
    exact = square(colour=51 / 255)
    rgb, alpha = photo(exact)
    rgb[:, 230:] = 77
    figures = compare(exact, rgb, alpha).figures
    assert figures.headline.psnr == PSNR_CAP_DB
    assert figures.on_white.psnr == PSNR_CAP_DB


def test_the_headline_does_not_see_input_pixels_under_the_object() -> None:
    """A render that misses half the object shows the background there, not the input."""
    rgb, alpha = photo(square(colour=0.0))
    half = square(colour=0.0)
    half.coverage[:, 110:] = 0
    half.rgb[:, 110:] = 0
    figures = compare(half, rgb, alpha).figures
    assert figures.headline.psnr == pytest.approx(-10 * np.log10(50 * 100 / SIZE**2), abs=1e-2)


def test_a_render_of_nothing_is_finite_and_bad() -> None:
    rgb, alpha = photo(square(colour=0.0))
    empty = Render(*(np.zeros_like(part) for part in (square().rgb, square().coverage, square().depth)))
    figures = compare(empty, rgb, alpha).figures
    assert figures.rgb_iou == 0
    assert figures.inside.psnr == 0
    assert figures.foreground.psnr == pytest.approx(0, abs=1e-4)


def test_depth_error() -> None:
    a = np.ones((10, 10), np.float32)
    assert depth_error(a, a * np.float32(1.25), 2.0) == pytest.approx(0.125)
    assert depth_error(a, a * 0, 2.0) == 1


# --- six views


def test_the_exact_mesh_scores_almost_perfectly(scene: SimpleNamespace) -> None:
    result = score(scene)
    assert result.headline.psnr > 50
    assert result.headline.ssim > 0.999
    assert result.domain("inside").psnr > 45
    for view in result.views.values():
        assert view.rgb_iou == 1
        assert view.depth_iou == 1
        assert view.depth_error == 0
    assert list(result.views) == list(VIEW_NAMES)


def test_means_are_of_the_per_view_figures(scene: SimpleNamespace) -> None:
    result = score(scene)
    assert result.headline.psnr == pytest.approx(np.mean([v.psnr for v in result.views.values()]))
    assert result.domain("foreground").ssim == pytest.approx(
        np.mean([v.foreground.ssim for v in result.views.values()])
    )


def test_a_wrong_size_shows_in_every_figure(scene: SimpleNamespace) -> None:
    mesh = scene.textured.mesh
    bigger = replace(scene.textured, mesh=Mesh(mesh.vertices * 1.1, mesh.faces))
    exact, off = score(scene), score(scene, bigger)
    assert off.headline.psnr < exact.headline.psnr - 10
    for name in VIEW_NAMES:
        assert off.views[name].rgb_iou < 0.9
        assert off.views[name].depth_iou < 0.9
        assert off.views[name].depth_error > 0.01


def test_the_reference_is_not_registered_but_the_render_is(scene: SimpleNamespace) -> None:
    """A delivered view that lies 6 px to the right is matched by its registration alone."""
    shifted = {name: np.roll(image, 6, axis=1) for name, image in scene.bundle.rgb.items()}
    alpha = {name: np.roll(image, 6, axis=1) for name, image in scene.segmentation.rgb_alpha.items()}
    arguments = {
        "bundle": replace(scene.bundle, rgb=shifted),
        "segmentation": replace(scene.segmentation, rgb_alpha=alpha),
    }
    moved = {name: Registration(dx_px=6.0) for name in VIEW_NAMES}
    assert score(scene, **arguments).views["front"].rgb_iou < 0.95
    result = score(scene, registrations=moved, **arguments)
    assert result.views["front"].rgb_iou == 1
    assert result.headline.psnr > 45
    assert result.views["front"].depth_iou == 1  # depth knows nothing of the RGB's registration


def test_it_can_be_cancelled(scene: SimpleNamespace) -> None:
    seen: list[float] = []

    def checkpoint(fraction: float) -> None:
        seen.append(fraction)
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        score(scene, checkpoint=checkpoint)
    assert seen == sorted(seen)
    assert len(seen) < 12


def test_it_is_deterministic(scene: SimpleNamespace) -> None:
    a, b = score(scene), score(scene)
    assert a.views == b.views
    assert all(np.array_equal(a.thumbnails[n].render, b.thumbnails[n].render) for n in VIEW_NAMES)


# --- mesh facts


def test_facts_of_a_box(scene: SimpleNamespace) -> None:
    facts = mesh_facts(scene.textured.mesh)
    assert (facts.faces, facts.watertight, facts.components) == (12, True, 1)
    assert np.allclose(facts.bounds, [[-0.2, -0.14, -0.1], [0.2, 0.14, 0.1]])
    assert facts.diagonal == pytest.approx(2 * np.linalg.norm([0.2, 0.14, 0.1]))


def test_a_missing_a_turned_and_a_doubled_face_are_found(scene: SimpleNamespace) -> None:
    faces = scene.textured.mesh.faces
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    assert is_watertight(faces, 8)
    assert not is_watertight(faces[1:], 8)
    assert not is_watertight(turned, 8)
    assert not is_watertight(np.concatenate([faces, faces[:1]]), 8)
    assert not is_watertight(faces[:0], 8)


def test_two_boxes_are_two_components(scene: SimpleNamespace) -> None:
    mesh = scene.textured.mesh
    two = Mesh(np.concatenate([mesh.vertices, mesh.vertices + 1]), np.concatenate([mesh.faces, mesh.faces + 8]))
    assert mesh_facts(two).components == 2
    assert mesh_facts(two).watertight
