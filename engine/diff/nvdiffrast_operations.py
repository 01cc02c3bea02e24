"""The optional back end: nvdiffrast's own operations on CUDA tensors. Imported only where nvdiffrast is installed."""

from __future__ import annotations

from typing import Any, Literal

import nvdiffrast.torch as dr
import torch
from torch import Tensor

from engine.render.mipmap import whole_halvings


class NvdiffrastOperations:
    """See `Operations`. Raises RuntimeError where there is no CUDA device."""

    name: Literal["nvdiffrast"] = "nvdiffrast"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise RuntimeError("nvdiffrast is installed, but there is no CUDA device")
        self._context = dr.RasterizeCudaContext()

    def rasterize(self, position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See `Operations`. Sides must be multiples of 8, of at most 2048 pixels."""
        raster, slopes = dr.rasterize(self._context, position_clip.contiguous(), faces.int(), resolution=list(size_px))
        return raster, slopes

    def interpolate(
        self, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `Operations`."""
        if slopes is None:
            return dr.interpolate(attributes.contiguous(), raster, faces.int())[0], None
        out, out_slopes = dr.interpolate(attributes.contiguous(), raster, faces.int(), rast_db=slopes, diff_attrs="all")
        return out, out_slopes

    def texture(self, image: Tensor, uv: Tensor, uv_dxy: Tensor | None = None) -> Tensor:
        """See `Operations`. Only as many mip levels as the image's sides can be halved: it takes no odd ones."""
        mode = "linear" if uv_dxy is None else "linear-mipmap-linear"
        out: Tensor = dr.texture(
            image.contiguous(),
            uv,
            uv_da=uv_dxy,
            filter_mode=mode,
            boundary_mode="clamp",
            max_mip_level=whole_halvings(*image.shape[1:3]),
        )
        return out

    def topology(self, faces: Tensor) -> Any:
        """nvdiffrast's hash of edges."""
        return dr.antialias_construct_topology_hash(faces.int())

    def antialias(
        self, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, topology: Any | None = None
    ) -> Tensor:
        """See `Operations`."""
        out: Tensor = dr.antialias(
            colour.contiguous(), raster, position_clip.contiguous(), faces.int(), topology_hash=topology
        )
        return out
