"""Back ends and small scenes for the differentiable rasteriser's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from engine.camera import Camera
from engine.diff import operations
from engine.diff.types import Operations
from engine.render import clip_from_world, look_at, nvdiffrast_usable


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


DOUBLE = "cpu, float64"
SINGLE = "cpu, float32"
GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not nvdiffrast_usable(), reason="no nvdiffrast on a CUDA device")],
)


@pytest.fixture(params=[DOUBLE, SINGLE, GPU])
def back_end(request: pytest.FixtureRequest) -> Device:
    if request.param == "cuda":
        return Device(operations("cuda"), "cuda", torch.float32, 2e-3)
    single = request.param == SINGLE
    return Device(operations("cpu"), "cpu", torch.float32 if single else torch.float64, 2e-3 if single else 1e-9)


@pytest.fixture
def double() -> Device:
    return Device(operations("cpu"), "cpu", torch.float64, 1e-9)


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
