"""Back ends and small scenes for the rasteriser's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh

from engine.camera import Camera
from engine.cuda import SIMULATED
from engine.mesh import Mesh
from engine.render import Rasterizer, cuda_trouble, look_at, nvdiffrast_usable, rasterizer


def _on_gpu(name: str, missing: str | None) -> Any:
    return pytest.param(name, marks=[pytest.mark.gpu, pytest.mark.skipif(missing is not None, reason=str(missing))])


GPU = [
    _on_gpu("nvdiffrast", None if nvdiffrast_usable() else "no nvdiffrast on a CUDA device"),
    "cuda" if SIMULATED else _on_gpu("cuda", cuda_trouble()),
]
CPU = [] if SIMULATED else ["numba"]


@pytest.fixture(params=[*CPU, "reference", *GPU])
def back_end(request: pytest.FixtureRequest) -> Rasterizer:
    return rasterizer(request.param)


@pytest.fixture(params=[*CPU, *GPU])
def clipping_back_end(request: pytest.FixtureRequest) -> Rasterizer:
    return rasterizer(request.param)


@pytest.fixture(params=["cuda"] if SIMULATED else ["numba", GPU[1]])
def compiled(request: pytest.FixtureRequest) -> Rasterizer:
    """Our own back ends, which give the same bytes as far as integers decide."""
    return rasterizer(request.param)


@pytest.fixture
def front_camera() -> Camera:
    return Camera.from_fov(40, 64, look_at(np.array([0, 0, 1.0]), np.zeros(3), np.array([0, 1.0, 0])))


@pytest.fixture(scope="session")
def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(4, 0.25)
    return Mesh(np.array(sphere.vertices, np.float64), np.array(sphere.faces, np.int32))
