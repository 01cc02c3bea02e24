"""The optional back end: nvdiffrast on CUDA.

Not a dependency: its licence allows research only. Arrays go to the GPU and back at every call, so that it gives what
the others give. Imported only where nvdiffrast is installed.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import nvdiffrast.torch as dr
import torch
from numpy.typing import NDArray

from engine.render.mipmap import whole_halvings
from engine.render.types import Float32, Fragments, Int32

_TILE_PX = 2048
"""Pictures are drawn in tiles of at most this size: older releases of the CUDA rasteriser take no more."""
_MULTIPLE_PX = 8


class NvdiffrastRasterizer:
    """See `Rasterizer`. Raises RuntimeError where there is no CUDA device."""

    name: Literal["nvdiffrast"] = "nvdiffrast"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise RuntimeError("nvdiffrast is installed, but there is no CUDA device")
        self._device = torch.device("cuda")
        self._context = dr.RasterizeCudaContext(device=self._device)

    def _to_device(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def rasterize(
        self, position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
    ) -> Fragments:
        """See `Rasterizer`."""
        height, width = size_px
        position = self._to_device(position_clip.astype(np.float32))
        triangles = self._to_device(faces.astype(np.int32))
        out = Fragments(
            np.full((height, width), -1, np.int32),
            np.zeros((height, width, 2), np.float32),
            np.zeros((height, width), np.float32),
            np.zeros((height, width, 2, 2), np.float32) if derivatives else None,
        )
        for top in range(0, height, _TILE_PX):
            for left in range(0, width, _TILE_PX):
                rows, columns = min(_TILE_PX, height - top), min(_TILE_PX, width - left)
                tall, wide = (-(-n // _MULTIPLE_PX) * _MULTIPLE_PX for n in (rows, columns))
                # Move the tile's part of NDC to -1..1: x' = (x + w)·W/wide - w·(1 + 2·left/wide), and so for y.
                w = position[:, 3]
                tile = position.clone()
                tile[:, 0] = (position[:, 0] + w) * (width / wide) - w * (1 + 2 * left / wide)
                tile[:, 1] = (position[:, 1] + w) * (height / tall) - w * (1 + 2 * top / tall)
                raster, raster_db = dr.rasterize(
                    self._context, tile[None].contiguous(), triangles, resolution=[tall, wide], grad_db=derivatives
                )
                raster = raster[0, :rows, :columns]
                face = raster[..., 3].to(torch.int64) - 1
                covered = face >= 0
                corner_w = w[triangles.to(torch.int64)[face.clamp(min=0)]]
                u, v = raster[..., 0], raster[..., 1]
                # The weights are perspective-correct, so w itself interpolates with them; z/w would lose precision.
                depth = u * corner_w[..., 0] + v * corner_w[..., 1] + (1 - u - v) * corner_w[..., 2]
                part = np.s_[top : top + rows, left : left + columns]
                out.face_index[part] = face.to(torch.int32).cpu().numpy()
                out.barycentric[part] = (raster[..., :2] * covered[..., None]).cpu().numpy()
                out.depth[part] = (depth * covered).cpu().numpy()
                if out.barycentric_dxy is not None:
                    # [du/dX, du/dY, dv/dX, dv/dY] per pixel
                    slopes = raster_db[0, :rows, :columns].reshape(rows, columns, 2, 2)
                    out.barycentric_dxy[part] = (slopes * covered[..., None, None]).cpu().numpy()
        return out

    def _raster(self, fragments: Fragments) -> tuple[Any, Any]:
        """Fragments as nvdiffrast's own tensors [1, H, W, 4]; z/w is not used by interpolation."""
        height, width = fragments.face_index.shape
        raster = np.zeros((1, height, width, 4), np.float32)
        raster[0, ..., :2] = fragments.barycentric
        raster[0, ..., 3] = fragments.face_index + 1
        slopes = None
        if fragments.barycentric_dxy is not None:
            slopes = self._to_device(fragments.barycentric_dxy.reshape(1, height, width, 4))
        return self._to_device(raster), slopes

    @overload
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[False] = False
    ) -> Float32: ...
    @overload
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[True]
    ) -> tuple[Float32, Float32]: ...
    def interpolate(
        self, attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: bool = False
    ) -> Float32 | tuple[Float32, Float32]:
        """See `Rasterizer`."""
        raster, slopes = self._raster(fragments)
        values = self._to_device(attributes.astype(np.float32))[None]
        triangles = self._to_device(faces.astype(np.int32))
        if not derivatives:
            return np.asarray(dr.interpolate(values, raster, triangles)[0][0].cpu().numpy())
        if slopes is None:
            raise ValueError("rasterize with derivatives=True to interpolate with derivatives")
        out, out_da = dr.interpolate(values, raster, triangles, rast_db=slopes, diff_attrs="all")
        shape = (*fragments.face_index.shape, attributes.shape[1], 2)
        return np.asarray(out[0].cpu().numpy()), np.asarray(out_da[0].reshape(shape).cpu().numpy())

    def sample_texture(self, image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
        """See `Rasterizer`. Only as many mip levels as the image's sides can be halved: it takes no odd ones."""
        shape = (*uv.shape[:-1], image.shape[2])
        texels = self._to_device(image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1))[None].contiguous()
        points = self._to_device(uv.astype(np.float32).reshape(1, 1, -1, 2))
        if uv_dxy is None:
            out = dr.texture(texels, points, filter_mode="linear", boundary_mode="clamp")
        else:
            # [du/dX, du/dY, dv/dX, dv/dY]
            footprint = self._to_device(uv_dxy.astype(np.float32).reshape(1, 1, -1, 4))
            out = dr.texture(
                texels,
                points,
                uv_da=footprint,
                filter_mode="linear-mipmap-linear",
                boundary_mode="clamp",
                max_mip_level=whole_halvings(*image.shape[:2]),
            )
        return np.asarray(out.cpu().numpy()).reshape(shape)
