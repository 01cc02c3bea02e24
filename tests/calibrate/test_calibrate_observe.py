"""What calibration looks at is what SciPy's filters say, in a fraction of their time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from engine.calibrate.observe import _nearby, _outline
from engine.morphology import eroded


@pytest.mark.parametrize("shape", [(9, 14), (3, 3), (31, 8)])
def test_neighbourhoods_are_those_of_scipy(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=shape).astype(np.float32)
    assert np.array_equal(_nearby(np.maximum, values), ndimage.maximum_filter(values, 3))
    assert np.array_equal(_nearby(np.minimum, values), ndimage.minimum_filter(values, 3))
    mask = rng.random(shape) > 0.15
    for radius in (1, 2):
        kept = ndimage.minimum_filter(mask.astype(np.uint8), 2 * radius + 1) > 0
        assert np.array_equal(eroded(mask, radius), kept)
    assert mask.any()  # and it is left alone
    assert not mask.all()


def test_an_outline_keeps_the_extremes_wherever_the_object_lies() -> None:
    ys, xs = np.mgrid[:64, :64]
    disk = (xs - 40) ** 2 + (ys - 22) ** 2 <= 15**2
    points = _outline(disk) * 32 + 31.5  # back to pixels
    assert points.min(0).tolist() == [25, 7]
    assert points.max(0).tolist() == [55, 37]
    assert np.allclose(np.hypot(points[:, 0] - 40, points[:, 1] - 22), 15, atol=1)
