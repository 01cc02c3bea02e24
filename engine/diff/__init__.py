"""The differentiable rasteriser: nvdiffrast's operations on torch tensors, on the CPU and on CUDA.

It draws what `engine.render` draws, and leads gradients back to vertices, attributes and textures. torch is imported
with the first back end and not before: that takes seconds. The kernels need none.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from engine.cuda import SIMULATED
from engine.render.backends import no_rasterizer, on_cuda

if TYPE_CHECKING:
    import torch

    from engine.diff.types import Operations

__all__ = ["operations"]


@cache
def _named(name: str) -> Operations:
    if name == "numba":
        from engine.diff.numba_operations import NumbaOperations

        return NumbaOperations()
    if name == "cuda":
        from engine.diff.cuda_operations import CudaOperations

        return CudaOperations()
    from engine.diff.nvdiffrast_operations import NvdiffrastOperations

    return NvdiffrastOperations()


def operations(device: torch.device | str = "cpu") -> Operations:
    """The back end for tensors on `device`: numba's on the CPU; on CUDA by the setting engine.cuda_rasterizer.

    Under numba's simulator of CUDA, which has no tensors of its own, "cuda" is for tensors of the CPU.
    Raises GpuUnavailable where nothing rasterises on CUDA, and ValueError for other devices.
    """
    import torch

    kind = torch.device(device).type
    if kind == "cpu":
        return _named("numba")
    if kind != "cuda":
        raise ValueError(f"nothing here rasterises on {device}")
    name = "cuda" if SIMULATED else on_cuda()
    if name is None:
        raise no_rasterizer()
    return _named(name)
