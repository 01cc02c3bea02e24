"""What the stage does with what is found: which picture is judged, which light is kept, what stays as it was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from config.bundle_layout import VIEW_NAMES
from engine.bundle import Bundle
from engine.camera import Registration
from engine.materials import Materials, stage
from engine.materials.evidence import Evidence
from engine.materials.gloss import Shine
from engine.materials.light import Differences, Light
from engine.materials.samples import SurfaceSamples
from engine.materials.stage import separate
from engine.progress import Checkpoint
from engine.sample import sample_scene
from engine.sample.scene import Scene
from engine.segment import Segmentation, segment
from engine.texture import Texturing, texture

TOLD = Evidence(0.2, 0.03, 0.08, 0.6, 3.0, 8, 0.9)
UNEXPLAINED = replace(TOLD, left=0.16, explained=0.2)
NO_LIGHT = replace(TOLD, turned=0.01)
SURE = Shine(3000, 0.05, 0.7, 0.4, (0.39, 0.41))
MATT = replace(SURE, explained=0.1)


@dataclass(frozen=True, eq=False)
class Bench:
    """A lit ring, and a stage whose findings are given."""

    scene: Scene
    segmentation: Segmentation
    texturing: Texturing
    patch: pytest.MonkeyPatch
    rebaked: list[Bundle] = field(default_factory=list)
    judged: list[SurfaceSamples] = field(default_factory=list)
    fitted: list[tuple[SurfaceSamples, Light]] = field(default_factory=list)

    def run(self, evidence: list[Evidence], shine: Shine | None, metal: str | None = None) -> Materials:
        """evidence: one for each time it is weighed. shine: None where nobody may look for one."""
        left, fit = list(evidence), stage.fit_light_and_gloss

        def weigh(samples: SurfaceSamples, light: Light, seed: int) -> Evidence:
            self.judged.append(samples)
            return left.pop(0)

        def find(*args: Any) -> Shine:
            assert shine is not None, "a gloss was looked for"
            return shine

        def kept(samples: SurfaceSamples, between: Differences) -> tuple[Light, Any]:
            light, strength = fit(samples, between)
            self.fitted.append((samples, light))
            return light, strength

        def rebake(bundle: Bundle, checkpoint: Checkpoint) -> Texturing:
            self.rebaked.append(bundle)
            return self._bake(bundle)

        self.patch.setattr("engine.materials.samples.POINTS", 1_500)  # enough for a ring, and fitted much faster
        for name, value in (("weigh", weigh), ("find_gloss", find), ("fit_light_and_gloss", kept)):
            self.patch.setattr(stage, name, value)
        self.patch.setattr(stage, "metal_because", lambda reflectance: metal)
        depth = {view: self.scene.depth[view].astype(np.float32) for view in VIEW_NAMES}
        return separate(self.texturing, *self._views(self.scene.bundle), depth, rebake)

    def _views(self, bundle: Bundle) -> Any:
        return bundle, self.segmentation, self.scene.calibration, {view: Registration() for view in VIEW_NAMES}

    def _bake(self, bundle: Bundle) -> Texturing:
        return texture(self.scene.truth.mesh, *self._views(bundle), 256)


@pytest.fixture(scope="module")
def ring() -> tuple[Scene, Segmentation, Texturing]:
    scene = sample_scene("torus", size_px=192, grid=64, light="studio")
    segmentation = segment(scene.bundle)
    registrations = {view: Registration() for view in VIEW_NAMES}
    baked = texture(scene.truth.mesh, scene.bundle, segmentation, scene.calibration, registrations, 256)
    return scene, segmentation, baked


@pytest.fixture
def bench(ring: tuple[Scene, Segmentation, Texturing], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(*ring, monkeypatch)


def test_light_that_highlights_hide_is_judged_without_them(bench: Bench) -> None:
    made = bench.run([UNEXPLAINED, TOLD], SURE)
    assert made.delivered == "separated"
    assert made.rebaked
    assert made.facts["evidence"]["explained"] == TOLD.explained
    assert "60 %" in made.note
    (dull,) = bench.rebaked
    assert any((dull.rgb[view] < bench.scene.bundle.rgb[view]).any() for view in VIEW_NAMES)
    assert all((dull.rgb[view] <= bench.scene.bundle.rgb[view]).all() for view in VIEW_NAMES)
    before, after = bench.judged
    assert after is not before
    assert after.linear.mean() < before.linear.mean()


def test_the_light_is_the_one_fitted_to_the_texture_without_highlights(bench: Bench) -> None:
    made = bench.run([TOLD, TOLD], SURE)
    (before, first), (after, second) = bench.fitted
    assert before is bench.judged[0]
    assert after is bench.judged[1]
    assert made.under is not None
    assert made.under.light is second
    assert not np.array_equal(first.radiance, second.radiance)


def test_what_is_not_told_without_highlights_either_stays_as_it_was_baked(bench: Bench) -> None:
    made = bench.run([UNEXPLAINED, replace(UNEXPLAINED, explained=0.31)], SURE)
    assert made.delivered == "baked"
    assert made.textured is bench.texturing.textured
    assert made.under is None
    assert "31 %" in made.note
    assert made.facts["evidence"]["explained"] == 0.31


def test_a_matt_surface_is_judged_once(bench: Bench) -> None:
    assert bench.run([UNEXPLAINED], MATT).delivered == "baked"
    made = bench.run([TOLD], MATT)
    assert made.delivered == "separated"
    assert not made.rebaked
    assert not bench.rebaked
    assert "matt" in made.note


def test_what_would_be_metal_keeps_its_highlights(bench: Bench) -> None:
    made = bench.run([TOLD], SURE, metal="it would reflect 60 % from the front")
    assert made.delivered == "separated"
    assert not bench.rebaked
    assert made.facts["gloss"]["reason"] == "it would reflect 60 % from the front"
    assert made.facts["gloss"]["roughness"] == 1
    assert "60 %" in made.note


def test_where_there_is_no_light_nobody_looks_for_a_gloss(bench: Bench) -> None:
    made = bench.run([NO_LIGHT], None)
    assert made.delivered == "baked"
    assert "no light to separate" in made.note
