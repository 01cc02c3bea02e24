"""Which back end draws."""

from __future__ import annotations

import importlib.util
from functools import cache

from config.errors import GpuUnavailable
from engine.machine import device
from engine.render.numba_backend import NumbaRasterizer
from engine.render.types import Rasterizer

NAMES = ("numba", "nvdiffrast", "reference")


@cache
def rasterizer(name: str) -> Rasterizer:
    """A back end by its name.

    Raises ValueError for an unknown one, RuntimeError where nvdiffrast has no CUDA device, and ImportError where it is
    not installed.
    """
    if name == "numba":
        return NumbaRasterizer()
    if name == "nvdiffrast":
        from engine.render.nvdiffrast_backend import NvdiffrastRasterizer

        return NvdiffrastRasterizer()
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


def default_rasterizer() -> Rasterizer:
    """By the setting engine.device: numba on the CPU; nvdiffrast on CUDA; by itself, nvdiffrast where it can run.

    Raises GpuUnavailable where the settings ask for CUDA and it can't be used.
    """
    wanted = device()
    if wanted == "cpu" or (wanted == "auto" and not nvdiffrast_usable()):
        return rasterizer("numba")
    if not nvdiffrast_usable():
        raise GpuUnavailable(
            'engine.device is "cuda", but nvdiffrast and a CUDA device are not both there.',
            suggestion='Install nvdiffrast and check the driver, or set engine.device to "auto" or "cpu".',
        )
    return rasterizer("nvdiffrast")
