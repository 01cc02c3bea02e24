"""A sample bundle through the whole path, and a sample's true object put where its bundle's cameras see it."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

import engine.models.reconviagen
from config.errors import Cancelled
from engine.mesh import Mesh
from engine.models.reconviagen.generate import Means
from engine.models.reconviagen.placing import AlignmentAmbiguous
from engine.models.reconviagen.stage import GeneratedObject, estimated_s, generate_object, place_object
from engine.sample import Scene, sample_scene
from engine.segment import segment
from tests.models.tiny import tiny_networks

CPU = torch.device("cpu")
HEAVY = (
    "torch", "spconv", "flash_attn", "xformers", "kaolin", "nvdiffrast", "diff_gaussian_rasterization", "mast3r",
)  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene("locomotive", size_px=256, grid=96, supersample=1)


def _generate(scene: Scene, means: Means, seed: int = 0) -> GeneratedObject:
    bundle = dataclasses.replace(scene.bundle, options=scene.bundle.options.model_copy(update={"seed": seed}))
    return generate_object(bundle, segment(bundle), tiny_networks(), means, lambda fraction: None)


def test_a_bundle_becomes_a_closed_object_the_same_for_the_same_seed(scene: Scene) -> None:
    found = _generate(scene, Means(CPU), seed=3)
    assert trimesh.Trimesh(found.mesh.vertices, found.mesh.faces, process=False).volume > 0
    assert found.colors.shape == (len(found.mesh.vertices), 3)
    assert 0 <= found.colors.min() <= found.colors.max() <= 1
    again = _generate(scene, Means(CPU, vram_bytes=1000), seed=3)  # and with little memory, block by block
    np.testing.assert_array_equal(again.mesh.faces, found.mesh.faces)
    np.testing.assert_allclose(again.mesh.vertices, found.mesh.vertices, atol=1e-6)
    # What made-up weights make is no locomotive, and it is not taken for one.
    depth = {name: values.astype(np.float32) for name, values in scene.depth.items()}
    with pytest.raises(AlignmentAmbiguous):
        place_object(found, scene.bundle, scene.calibration, depth)


def test_a_bundle_can_be_cancelled(scene: Scene) -> None:
    def stop(fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        generate_object(scene.bundle, segment(scene.bundle), tiny_networks(), Means(CPU), stop)


def test_the_true_object_is_put_where_the_cameras_see_it(scene: Scene) -> None:
    truth = scene.truth.mesh
    low, high = truth.bounds()
    scale, heading = 0.9 / float((high - low).max()), np.radians(77.0)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Y up becomes z up
    turn = np.array([[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]])
    own = Mesh((truth.vertices - (low + high) / 2) @ (turn @ upright).T * scale, truth.faces)
    found = GeneratedObject(own, (scene.truth.vertex_colours() / 255).astype(np.float32))
    depth = {name: values.astype(np.float32) for name, values in scene.depth.items()}
    placed, placement = place_object(found, scene.bundle, scene.calibration, depth)
    apart = np.linalg.norm(placed.vertices - truth.vertices, axis=1) / np.linalg.norm(high - low)
    assert np.median(apart) < 0.003
    assert placement.iou > 0.95
    assert placement.scale == pytest.approx(1 / scale, rel=0.01)


def test_the_estimate_follows_the_work() -> None:
    assert 60 < estimated_s(CPU) < 1e6


def _loaded(code: str) -> set[str]:
    """Which of the packages a program has loaded at its end."""
    ending = f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_ordinary_job_imports_no_torch() -> None:
    assert _loaded("import engine, engine.pipeline, engine.models.reconviagen.weights") == set()


def test_reconviagen_imports_none_of_the_packages_that_it_does_without() -> None:
    files = sorted(Path(engine.models.reconviagen.__path__[0]).glob("*.py"))
    assert len(files) > 15
    imported = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert "torch" in imported
    assert not imported & (set(HEAVY) - {"torch"})
