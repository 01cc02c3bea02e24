"""Where fits start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calibrate_scenes import scene
from test_calibrate_settle import look, truth_of

from engine.calibrate.problem import initial


@pytest.mark.parametrize("far", [0.0, 0.5, 1.0])
def test_every_view_starts_as_far_back_as_asked(far: float) -> None:
    sample = scene("locomotive", 40.0, "view_max", "canonical")
    family, _, poses = truth_of(sample)
    observation = look(sample)
    start = initial(observation, replace(family, structure="view_minmax"), poses, 40.0, far=far)
    near, end = (start[1:7] + start[7:13] * observation.spread[:, k] for k in (0, 1))
    # a view's nearest code is 0.95 of the object's reach towards it; the opposite view knows how far it reaches back
    reach = (1 - near) / 0.95
    np.testing.assert_allclose(end, 1 + far * reach[[1, 0, 3, 2, 5, 4]], atol=1e-9)
