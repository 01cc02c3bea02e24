"""The differentiable rasteriser: nvdiffrast's operations on torch tensors, on the CPU or, with nvdiffrast, on CUDA.

It draws what `engine.render` draws, and leads gradients back to vertices, attributes and textures. It needs torch,
which takes seconds to import: nothing on a draft job's way may import it.
"""

from __future__ import annotations

from functools import cache

import torch

from engine.diff.types import Operations
from engine.render import nvdiffrast_usable

__all__ = ["Operations", "operations"]


@cache
def _named(name: str) -> Operations:
    if name == "numba":
        from engine.diff.numba_operations import NumbaOperations

        return NumbaOperations()
    from engine.diff.nvdiffrast_operations import NvdiffrastOperations

    return NvdiffrastOperations()


def operations(device: torch.device | str = "cpu") -> Operations:
    """The back end for tensors on `device`. Raises ValueError for CUDA where nvdiffrast is not usable, and others."""
    kind = torch.device(device).type
    if kind == "cpu":
        return _named("numba")
    if kind == "cuda" and nvdiffrast_usable():
        return _named("nvdiffrast")
    raise ValueError(f"nothing here rasterises on {device}")
