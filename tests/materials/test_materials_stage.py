"""What the stage does with what is found: which picture is judged, which light is kept, what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
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
    judged: list[tuple[SurfaceSamples, Light]] = field(default_factory=list)
    fitted: list[tuple[SurfaceSamples, Light]] = field(default_factory=list)

    def run(
        self,
        evidence: list[Evidence],
        shine: Shine | None,
        metal: tuple[str | None, ...] = (None, None),
        clock: Callable[[], float] = lambda: 0.0,
    ) -> Materials:
        """evidence, metal: one for each time that it is asked for. shine: None where nobody may look for one."""
        left, metals, fit = list(evidence), list(metal), stage.fit_light_and_gloss

        def weigh(samples: SurfaceSamples, light: Light, seed: int) -> Evidence:
            self.judged.append((samples, light))
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
            return self._rebaked(bundle, checkpoint)

        self.patch.setattr("engine.materials.samples.POINTS", 1_500)  # enough for a ring, and fitted much faster
        for name, value in (("weigh", weigh), ("find_gloss", find), ("fit_light_and_gloss", kept)):
            self.patch.setattr(stage, name, value)
        self.patch.setattr(stage, "metal_because", lambda reflectance: metals.pop(0))
        depth = {view: self.scene.depth[view].astype(np.float32) for view in VIEW_NAMES}
        views = self._views(self.scene.bundle)
        return separate(self.texturing, *views, depth, rebake, budget_s=10.0, clock=clock)

    def _views(self, bundle: Bundle) -> Any:
        return bundle, self.segmentation, self.scene.calibration, {view: Registration() for view in VIEW_NAMES}

    def _rebaked(self, bundle: Bundle, checkpoint: Checkpoint) -> Texturing:
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
    (before, _), (after, light) = bench.judged
    assert made.under is not None
    assert light is made.under.light
    assert after is not before
    assert after.linear.mean() < before.linear.mean()


def test_the_light_is_the_one_fitted_to_the_texture_without_highlights(bench: Bench) -> None:
    made = bench.run([TOLD, TOLD], SURE)
    (before, first), (after, second) = bench.fitted
    assert before is bench.judged[0][0]
    assert after is bench.judged[1][0]
    assert made.under is not None
    assert made.under.light is second
    assert not np.array_equal(first.radiance, second.radiance)


def test_what_is_not_told_without_highlights_either_stays_as_it_was_baked(bench: Bench) -> None:
    made = bench.run([UNEXPLAINED, replace(UNEXPLAINED, explained=0.31)], SURE)
    assert made.delivered == "baked"
    assert made.textured is bench.texturing.textured
    assert made.under is None
    assert "even without highlights (31 %" in made.note
    assert made.facts["evidence"]["explained"] == 0.31


def test_a_matt_surface_is_judged_once(bench: Bench) -> None:
    assert bench.run([UNEXPLAINED], MATT).delivered == "baked"
    made = bench.run([TOLD], MATT)
    assert made.delivered == "separated"
    assert not made.rebaked
    assert not bench.rebaked
    assert "matt" in made.note


def test_what_would_be_metal_keeps_its_highlights(bench: Bench) -> None:
    made = bench.run([TOLD], SURE, metal=("it would reflect 60 % from the front",))
    assert made.delivered == "separated"
    assert not bench.rebaked
    assert made.facts["gloss"]["reason"] == "it would reflect 60 % from the front"
    assert made.facts["gloss"]["roughness"] == 1
    assert "60 %" in made.note


@pytest.mark.ci
def test_a_second_fit_that_would_be_metal_is_not_taken(bench: Bench) -> None:
    made = bench.run([TOLD, TOLD], SURE, metal=(None, "it would reflect 60 % from the front"))
    assert made.rebaked
    assert made.under is not None
    assert made.under.light is bench.fitted[0][1]


@pytest.mark.ci
def test_a_texture_that_is_black_without_highlights_is_not_used(bench: Bench) -> None:
    take, taken = stage.take_samples, list[Any]()

    def once(*given: Any) -> SurfaceSamples | None:
        taken.append(None if taken else take(*given))
        return taken[-1]

    bench.patch.setattr(stage, "take_samples", once)
    made = bench.run([TOLD], SURE)
    assert made.delivered == "separated"
    assert not made.rebaked
    assert made.facts["gloss"]["estimated"] is False
    assert "without its highlights" in made.note


@pytest.mark.ci
@pytest.mark.parametrize("evidence", [TOLD, UNEXPLAINED], ids=["told", "unexplained"])
def test_time_that_is_over_while_a_gloss_is_looked_for_hides_no_better_reason(bench: Bench, evidence: Evidence) -> None:
    now = [0.0]

    def late(bundle: Bundle, checkpoint: Checkpoint) -> Texturing:
        now[0] = 50.0
        checkpoint(0.5)
        raise AssertionError("a checkpoint in time")

    bench.patch.setattr(Bench, "_rebaked", lambda self, bundle, checkpoint: late(bundle, checkpoint))
    made = bench.run([evidence], SURE, clock=lambda: now[0])
    assert made.delivered == "baked"
    assert ("within the 10 s" in made.note) == (evidence is TOLD)
    assert ("20 % of it" in made.note) == (evidence is UNEXPLAINED)
    assert ("evidence" in made.facts) == (evidence is UNEXPLAINED)


def test_where_there_is_no_light_nobody_looks_for_a_gloss(bench: Bench) -> None:
    made = bench.run([NO_LIGHT], None)
    assert made.delivered == "baked"
    assert "no light to separate" in made.note
