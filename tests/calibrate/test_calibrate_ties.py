"""Where many layouts look alike: families are told apart on a few, and hopeless objects refused before costly fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calibrate_scenes import masks, nothing, scene, with_depth

from config.errors import CalibrationFailed
from engine.calibrate import calibrate, guided, search
from engine.calibrate.guided import guided_search
from engine.calibrate.model import all_layouts, log_focal
from engine.calibrate.observe import all_alike, observe
from engine.calibrate.problem import Rig
from engine.calibrate.search import Plan, plausible_families
from engine.calibrate.tangency import Tangency


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Points a view of every fit that is made."""
    made: list[int] = []

    class Counted(Rig):
        def solve(self, *args: Any, **kwargs: Any) -> Any:
            made.append(self.per_view)
            return super().solve(*args, **kwargs)

    monkeypatch.setattr(guided, "Rig", Counted)
    monkeypatch.setattr(search, "Rig", Counted)
    return made


@pytest.mark.parametrize("turn", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_the_right_reading_is_found_among_all_layouts(turn: int, fits: list[int]) -> None:
    """The outlines say nothing of the layout here; the right one is among the few (turn 0) or is not."""
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    observation = observe(sample.bundle, masks(sample.bundle))
    layouts = all_layouts()
    layouts = layouts[-turn:] + layouts[:-turn]
    where = next(i for i, m in enumerate(layouts) if m.as_dict() == sample.calibration.layout)
    assert (where % guided.SAMPLE == 0) == (turn == 0)
    alike = [Tangency(m, log_focal(40.0), 0.001, 0.0, 1.0, np.zeros((12, 2))) for m in layouts]
    families = plausible_families(observation.fingerprint)
    found = guided_search(observation, alike, families, Plan(), nothing)
    best = found[0].fit
    assert best.layout.as_dict() == sample.calibration.layout
    assert (best.family.kind, best.family.measure, best.family.structure) == ("linear", "planar", "view_max")
    assert fits.count(guided.MIDDLE_POINTS) < 4 * len(families)


@pytest.mark.slow
def test_a_sphere_is_refused_before_the_costly_fits(fits: list[int]) -> None:
    sample = scene("sphere", 40.0, "view_max", "canonical")
    with pytest.raises(CalibrationFailed, match="angle of view undecided: by the silhouettes it is open") as caught:
        calibrate(sample.bundle, masks(sample.bundle), nothing)
    assert "fov_deg in job.toml" in caught.value.suggestion
    assert fits
    assert max(fits) < 500
    assert len(fits) < 120  # one layout stands for all


def test_only_what_looks_alike_from_everywhere_is_fitted_in_one_layout() -> None:
    ball, locomotive = (scene(name, 40.0, "view_max", "canonical").bundle for name in ("sphere", "locomotive"))
    assert all_alike(observe(ball, masks(ball)))
    assert not all_alike(observe(locomotive, masks(locomotive)))
    dented = ball.depth["left"].copy()
    rows, columns = np.nonzero(dented)
    dented[int(rows.mean()) :, : int(columns.mean()) - 20] = 0  # a bite out of one view
    other = with_depth(ball, left=dented)
    assert not all_alike(observe(other, masks(other)))
