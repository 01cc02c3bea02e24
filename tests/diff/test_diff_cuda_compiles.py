"""The kernels for CUDA, compiled by the real compiler: no GPU is needed, but the extra `cuda` is."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
import torch

from engine.cuda import SIMULATED
from tests.diff.conftest import Scene, noise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SIMULATED or importlib.util.find_spec("numba_cuda") is None, reason="the package numba-cuda is not installed"
    ),
]
OLDEST = (7, 5)  # the oldest devices that CUDA 13 knows


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """PTX by kernel and types, of every kernel that would be launched; nothing runs."""
    from numba import cuda

    from engine.diff import cuda_operations
    from engine.render import cuda_backend, cuda_draw

    out: dict[tuple[str, str], str] = {}

    def compile_only(function: Any, count: int, device: torch.device, *arguments: Any) -> None:
        types = tuple(numba.typeof(a.detach().numpy() if isinstance(a, torch.Tensor) else a) for a in arguments)
        key = function.py_func.__name__, str(types)
        if key not in out:
            out[key] = cuda.compile_ptx(function.py_func, types, cc=OLDEST)[0]

    for module in (cuda_operations, cuda_backend, cuda_draw):
        monkeypatch.setattr(module, "launch", compile_only)
        if hasattr(module, "missing"):
            monkeypatch.setattr(module, "missing", lambda: None)
    # A function that kernels call is compiled for the device that is there, unless told otherwise.
    there = SimpleNamespace(compute_capability=OLDEST)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: there)
    monkeypatch.setattr(torch, "device", lambda name: torch.empty(0).device)
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_differentiable_kernels(compiled: dict[tuple[str, str], str], rock: Scene, dtype: torch.dtype) -> None:
    from engine.diff.cuda_operations import CudaOperations

    ops = CudaOperations()
    clip, image = rock.clip().to(dtype).requires_grad_(True), noise(1, 8, 8, 3).to(dtype).requires_grad_(True)
    uv = noise(1, clip.shape[1], 2).to(dtype).requires_grad_(True)
    raster, slopes = ops.rasterize(clip, rock.faces, (8, 8))
    at, footprint = ops.interpolate(uv, raster, rock.faces, slopes)
    colour = ops.antialias(ops.texture(image, at, footprint), raster, clip, rock.faces)
    colour.sum().backward()
    names = {name for name, _ in compiled}
    assert names >= {"draw_tiles", "raster_pixels", "raster_backward", "interpolate", "interpolate_backward", "sample"}
    assert names >= {"texture_backward", "halve", "halve_backward", "find_pairs", "blend", "edges_backward"}
    assert all(".entry" in ptx for ptx in compiled.values())


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_the_drawing_kernels(compiled: dict[tuple[str, str], str], rock: Scene, dtype: type) -> None:
    from engine.render.cuda_backend import CudaRasterizer

    ours, faces = CudaRasterizer(), rock.faces.numpy()
    fragments = ours.rasterize(rock.clip()[0].numpy(), faces, (8, 8), derivatives=True)
    uv, uv_dxy = ours.interpolate(np.zeros((len(rock.vertices), 2), np.float32), fragments, faces, derivatives=True)
    ours.sample_texture(np.zeros((4, 4, 3), dtype), uv, uv_dxy)
    assert {name for name, _ in compiled} >= {"snap_vertices", "weigh_snapped", "weigh_slopes", "interpolate_slopes"}
