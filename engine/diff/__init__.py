"""The differentiable rasteriser: nvdiffrast's operations on torch tensors, on the CPU or, with nvdiffrast, on CUDA.

It draws what `engine.render` draws, and leads gradients back to vertices, attributes and textures. torch is imported
with the first back end and not before: that takes seconds. The kernels need none.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from engine.render import nvdiffrast_usable

if TYPE_CHECKING:
    import torch

    from engine.diff.types import Operations

__all__ = ["operations"]


@cache
def _named(name: str) -> Operations:
    if name == "numba":
        from engine.diff.numba_operations import NumbaOperations

        return NumbaOperations()
    from engine.diff.nvdiffrast_operations import NvdiffrastOperations

    return NvdiffrastOperations()


def operations(device: torch.device | str = "cpu") -> Operations:
    """The back end for tensors on `device`. Raises ValueError for CUDA where nvdiffrast is not usable, and others."""
    import torch

    kind = torch.device(device).type
    if kind == "cpu":
        return _named("numba")
    if kind == "cuda" and nvdiffrast_usable():
        return _named("nvdiffrast")
    raise ValueError(f"nothing here rasterises on {device}")
