"""Which back end draws."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Literal

import numpy as np

from config.errors import GpuUnavailable
from engine.machine import cuda_failure, cuda_rasterizer, device
from engine.render.numba_backend import NumbaRasterizer
from engine.render.types import Rasterizer

NAMES = ("numba", "nvdiffrast", "cuda", "reference")


@cache
def rasterizer(name: str) -> Rasterizer:
    """A back end by its name.

    Raises ValueError for an unknown one, RuntimeError where nvdiffrast or our own for CUDA has no CUDA device, and
    ImportError where nvdiffrast is not installed.
    """
    if name == "numba":
        return NumbaRasterizer()
    if name == "nvdiffrast":
        from engine.render.nvdiffrast_backend import NvdiffrastRasterizer

        return NvdiffrastRasterizer()
    if name == "cuda":
        from engine.render.cuda_backend import CudaRasterizer

        return CudaRasterizer()
    if name == "reference":
        from engine.render.reference import ReferenceRasterizer

        return ReferenceRasterizer()
    raise ValueError(f"no back end is called {name!r}; there are {', '.join(NAMES)}")


@cache
def nvdiffrast_usable() -> bool:
    """Whether nvdiffrast is installed and a CUDA device is there. Imports torch only if nvdiffrast is installed."""
    if importlib.util.find_spec("nvdiffrast") is None:
        return False
    try:
        rasterizer("nvdiffrast")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


@cache
def cuda_trouble() -> str | None:
    """Why our own back end for CUDA is not to be used here, in words; None where it is.

    It has to be installed, to find a device, and to draw a triangle on it as the CPU does: drivers, compilers and
    devices are too many to have been tried. Imports torch only if numba-cuda is installed.
    """
    from engine.cuda import SIMULATED

    if not SIMULATED and importlib.util.find_spec("numba_cuda") is None:
        return "the package numba-cuda is not installed"
    try:
        ours = rasterizer("cuda")
        position = np.array([[-0.9, -0.8, 0, 1], [0.8, -0.7, 0, 1.2], [0.1, 0.9, 0, 0.8]], np.float32)
        faces, image = np.array([[0, 1, 2]], np.int32), np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)
        seen = []
        for each in (ours, rasterizer("numba")):
            fragments = each.rasterize(position, faces, (8, 8), derivatives=True)
            uv, uv_dxy = each.interpolate(position[:, :2], fragments, faces, derivatives=True)
            seen.append((fragments.face_index, fragments.depth, each.sample_texture(image, uv, uv_dxy)))
        if not all(np.allclose(a, b, atol=1e-4) for a, b in zip(*seen, strict=True)):
            return "it does not draw on this GPU what it draws on the CPU"
    except Exception as error:  # of compiling, linking, loading or running: all mean the same
        return f"{type(error).__name__}: {error}"
    return None


def on_cuda() -> Literal["nvdiffrast", "cuda"] | None:
    """What rasterises on CUDA by the setting engine.cuda_rasterizer; None where nothing does, or it has failed."""
    if cuda_failure() is not None:
        return None
    wanted = cuda_rasterizer()
    if wanted in ("auto", "nvdiffrast") and nvdiffrast_usable():
        return "nvdiffrast"
    if wanted in ("auto", "own") and cuda_trouble() is None:
        return "cuda"
    return None


def default_rasterizer() -> Rasterizer:
    """By the settings engine.device and engine.cuda_rasterizer: numba on the CPU, or `on_cuda`; by itself, the latter
    where there is one.

    Raises GpuUnavailable where the settings ask for CUDA and it can't be used.
    """
    wanted = device()
    name = None if wanted == "cpu" else on_cuda()
    if name is None and wanted == "cuda":
        raise no_rasterizer()
    return rasterizer(name or "numba")


def no_rasterizer() -> GpuUnavailable:
    """What to raise where CUDA is asked for and nothing rasterises there."""
    which = {"own": "", "auto": "nvdiffrast and a CUDA device are not both there, and "}.get(cuda_rasterizer())
    if cuda_failure() is not None:
        reason = f"it has failed in this process ({cuda_failure()})"
    elif which is None:
        reason = "nvdiffrast, which engine.cuda_rasterizer asks for, and a CUDA device are not both there"
    else:
        reason = f"{which}our own rasteriser can't be used: {cuda_trouble()}"
    return GpuUnavailable(
        f"CUDA is asked for, but {reason}.",
        suggestion='Install the extra "cuda" and check the driver, or set engine.device to "auto" or "cpu".',
    )
