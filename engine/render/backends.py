"""Which back end draws."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

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
    """nvdiffrast where it can run, else numba; `MESHDROP_ENGINE__RENDERER` names one of them."""
    asked = os.environ.get("MESHDROP_ENGINE__RENDERER", "auto")
    if asked in NAMES:
        return rasterizer(asked)
    return rasterizer("nvdiffrast" if nvdiffrast_usable() else "numba")
