"""Back ends and small scenes for the rasteriser's tests."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from engine.camera import Camera
from engine.mesh import Mesh
from engine.render import Rasterizer, look_at, nvdiffrast_usable, rasterizer

GPU = pytest.param(
    "nvdiffrast",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not nvdiffrast_usable(), reason="no nvdiffrast on a CUDA device")],
)


@pytest.fixture(params=["numba", "reference", GPU])
def back_end(request: pytest.FixtureRequest) -> Rasterizer:
    return rasterizer(request.param)


@pytest.fixture(params=["numba", GPU])
def clipping_back_end(request: pytest.FixtureRequest) -> Rasterizer:
    return rasterizer(request.param)


@pytest.fixture
def front_camera() -> Camera:
    return Camera.from_fov(40, 64, look_at(np.array([0, 0, 1.0]), np.zeros(3), np.array([0, 1.0, 0])))


@pytest.fixture(scope="session")
def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(4, 0.25)
    return Mesh(np.array(sphere.vertices, np.float64), np.array(sphere.faces, np.int32))
