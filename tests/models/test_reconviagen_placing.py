"""The generated object is placed where the cameras see the real one, or refused."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.mesh import Mesh
from engine.models.reconviagen.placing import AlignmentAmbiguous, ObservedView, Placement, place
from tests.models.objects import Thing, composed, generated, seen, turned_solid


def _placed(thing: Thing, seed: int, *, colored: bool = True) -> tuple[Placement, float, float, float]:
    """The placement, its error in degrees and in scale, and the CPU time it took in seconds."""
    random = np.random.default_rng(seed + 1000)
    views = seen(thing, random)
    mesh, true = generated(thing, random)
    begin_s = time.process_time()
    found = place(mesh, thing.colors if colored else None, views)
    took_s = time.process_time() - begin_s
    scale = float(np.linalg.norm(true[:3, 0]))
    cosine = (np.trace((found.world_from_model[:3, :3] / found.scale).T @ (true[:3, :3] / scale)) - 1) / 2
    return found, float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), found.scale / scale - 1, took_s


def test_an_object_is_placed_within_a_degree() -> None:
    found, angle_deg, scale, _ = _placed(composed(0), 0)
    assert angle_deg < 1.0
    assert abs(scale) < 0.01
    assert found.iou > 0.95
    np.testing.assert_allclose(np.linalg.det(found.world_from_model[:3, :3]), found.scale**3)


@pytest.mark.slow
def test_nineteen_of_twenty_objects_are_placed_within_a_degree() -> None:
    good, times_s = 0, []
    for seed in range(20):
        _, angle_deg, scale, took_s = _placed(composed(seed), seed)
        good += angle_deg < 1.0 and abs(scale) < 0.01
        times_s.append(took_s)
    assert good >= 19
    assert np.median(times_s) < 2.0


@pytest.mark.parametrize("kind", ["can", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("ball", "cone"))])
def test_what_looks_the_same_from_many_sides_is_refused(kind: str) -> None:
    with pytest.raises(AlignmentAmbiguous, match="alignment ambiguous: it fits in more than one way") as caught:
        _placed(turned_solid(kind), 5)
    assert caught.value.code == "MODEL_FAILED"
    assert caught.value.details["lead"] < 0.02


def test_colour_tells_sides_apart_that_the_shape_does_not() -> None:
    post = turned_solid("post")
    painted = post.colors.copy()
    painted[post.mesh.vertices[:, 0] > 0.09] = (0.9, 0.1, 0.1)
    thing = Thing(post.mesh, painted)
    _, angle_deg, _, _ = _placed(thing, 5)
    assert angle_deg < 1.0
    with pytest.raises(AlignmentAmbiguous, match="more than one way"):
        _placed(thing, 5, colored=False)


def test_another_object_is_refused() -> None:
    random = np.random.default_rng(0)
    views = seen(composed(3), random)
    other, _ = generated(composed(7), random)
    with pytest.raises(AlignmentAmbiguous, match=r"cover the views by 0\.\d\d, less than 0\.85"):
        place(other, None, views)


def test_views_without_an_object_are_refused() -> None:
    views = {
        name: ObservedView(view.camera, np.zeros_like(view.depth))
        for name, view in seen(composed(0), np.random.default_rng(0), 64).items()
    }
    tetrahedron = Mesh(np.eye(4, 3), np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int32))
    with pytest.raises(AlignmentAmbiguous, match="too little"):
        place(tetrahedron, None, views)
