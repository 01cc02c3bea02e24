"""Back ends and small scenes for the differentiable rasteriser's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from config.sections import Engine
from engine import machine
from engine.camera import Camera
from engine.cuda import SIMULATED
from engine.diff import operations
from engine.diff.types import Operations
from engine.render import clip_from_world, cuda_trouble, look_at, nvdiffrast_usable


@dataclass(frozen=True)
class Device:
    """A back end with the device and the precision that its tensors have."""

    operations: Operations
    device: str
    dtype: torch.dtype
    tolerance: float

    def tensor(self, values: np.ndarray | Tensor, *, grad: bool = False) -> Tensor:
        out = torch.as_tensor(values).to(self.device)
        out = out.to(self.dtype) if out.is_floating_point() else out
        return out.clone().requires_grad_(grad)


DOUBLE, SINGLE = "numba, float64", "numba, float32"
OURS, OURS_SINGLE, NVDIFFRAST = "cuda, float64", "cuda, float32", "nvdiffrast, float32"


def _on_gpu(name: str, missing: str | None) -> Any:
    return pytest.param(name, marks=[pytest.mark.gpu, pytest.mark.skipif(missing is not None, reason=str(missing))])


def _back_ends() -> list[Any]:
    """All there are here, in each precision; under the simulator our own for CUDA alone (see test_diff_simulated)."""
    if SIMULATED:
        return [OURS]
    ours, theirs = cuda_trouble(), None if nvdiffrast_usable() else "no nvdiffrast on a CUDA device"
    return [DOUBLE, SINGLE, _on_gpu(OURS, ours), _on_gpu(OURS_SINGLE, ours), _on_gpu(NVDIFFRAST, theirs)]


def _device(name: str) -> Device:
    kind, precision = name.split(", ")
    dtype, tolerance = (torch.float64, 1e-9) if precision == "float64" else (torch.float32, 2e-3)
    if kind == "numba":
        return Device(operations("cpu"), "cpu", dtype, tolerance)
    machine.use(Engine(cuda_rasterizer="own" if kind == "cuda" else "nvdiffrast"))
    try:
        return Device(operations("cuda"), "cpu" if SIMULATED else "cuda", dtype, tolerance)
    finally:
        machine.use(Engine())


@pytest.fixture(params=_back_ends())
def back_end(request: pytest.FixtureRequest) -> Device:
    return _device(request.param)


@pytest.fixture(params=[each for each in _back_ends() if "float64" in str(each)])
def double(request: pytest.FixtureRequest) -> Device:
    """The back ends that take float64: our own."""
    return _device(request.param)


@dataclass(frozen=True)
class Scene:
    """A mesh before a camera. vertices [V, 3] float64, faces [F, 3] int32, clip_from_world [4, 4] float64."""

    vertices: Tensor
    faces: Tensor
    clip_from_world: Tensor

    def clip(self, vertices: Tensor | None = None) -> Tensor:
        """[1, V, 4] float64."""
        points = self.vertices if vertices is None else vertices
        M = self.clip_from_world.to(points)
        return (points @ M[:, :3].T + M[:, 3])[None]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def make_scene(mesh: trimesh.Trimesh, size_px: int, seed: int = 0, noise: float = 0.0) -> Scene:
    """The mesh from half above, its vertices moved a little at random."""
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(40, size_px, look_at(np.array([0.5, 0.6, 0.63]), np.zeros(3), np.array([0, 1.0, 0])))
    vertices = np.array(mesh.vertices, np.float64) + noise * rng.normal(size=mesh.vertices.shape)
    faces = torch.tensor(np.array(mesh.faces, np.int32))
    return Scene(torch.tensor(vertices), faces, torch.tensor(clip_from_world(camera)))


@pytest.fixture
def rock() -> Scene:
    """A rough, folded body of 80 faces: silhouettes within the outline too."""
    return make_scene(trimesh.creation.icosphere(1, 0.25), 24, seed=3, noise=0.03)
