"""Our own back end on CUDA, in numba, without nvdiffrast: needs the extra `cuda` and a device.

Arrays go to the GPU and back at every call, so that it gives what the others give.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.cuda import SIMULATED, launch, missing
from engine.render import cuda_kernels
from engine.render.cuda_draw import draw
from engine.render.mipmap import mip_chain
from engine.render.types import Float32, Fragments, Int32


class CudaRasterizer:
    """See `Rasterizer`. Deterministic. Raises RuntimeError where numba's CUDA target or a device is missing."""

    name: Literal["cuda"] = "cuda"

    def __init__(self) -> None:
        reason = missing()
        if reason is not None:
            raise RuntimeError(reason)
        self._device = torch.device("cpu" if SIMULATED else "cuda")

    def _to_device(self, array: NDArray[Any], dtype: Any) -> Tensor:
        """Never empty: kernels take no empty arrays, and read nothing of what has no face or point."""
        out = torch.from_numpy(np.ascontiguousarray(array, dtype))
        return (out if out.numel() else out.new_zeros([max(n, 1) for n in out.shape])).to(self._device)

    def rasterize(
        self, position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
    ) -> Fragments:
        """See `Rasterizer`."""
        (height, width), device = size_px, self._device
        pixels = height * width
        position = torch.from_numpy(np.ascontiguousarray(position_clip, np.float32)).to(device)
        triangles = torch.from_numpy(np.ascontiguousarray(faces, np.int32)).to(device)
        drawn = draw(position, triangles, size_px)
        barycentric = torch.zeros((pixels, 2), dtype=torch.float32, device=device)
        depth = torch.zeros(pixels, dtype=torch.float32, device=device)
        slopes = torch.zeros((pixels, 4), dtype=torch.float32, device=device) if derivatives else None
        if len(faces):
            parts = drawn.corner_weights
            if parts is None:
                whole = torch.eye(3, 2, dtype=torch.float64, device=device)
                parts = whole.expand(len(drawn.triangles), 3, 2).contiguous()
            given = drawn.xy, drawn.inverse_w, drawn.triangles, parts, drawn.keys, width
            launch(cuda_kernels.weigh_snapped, pixels, device, *given, barycentric, depth)
            if slopes is not None:
                seen = height, width, drawn.face_index, barycentric, depth
                launch(cuda_kernels.weigh_slopes, pixels, device, position, triangles, *seen, slopes)
        return Fragments(
            drawn.face_index.cpu().numpy().reshape(size_px),
            barycentric.cpu().numpy().reshape(height, width, 2),
            depth.cpu().numpy().reshape(size_px),
            None if slopes is None else slopes.cpu().numpy().reshape(height, width, 2, 2),
        )

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
        shape, channels = fragments.face_index.shape, attributes.shape[1]
        values, triangles = self._to_device(attributes, np.float32), self._to_device(faces, np.int32)
        face_index = self._to_device(fragments.face_index.reshape(-1), np.int32)
        weights = self._to_device(fragments.barycentric.reshape(-1, 2), np.float32)
        out = torch.zeros((len(face_index), channels), dtype=torch.float32, device=self._device)
        launch(cuda_kernels.interpolate, len(out), self._device, values, triangles, face_index, weights, out)
        plain = np.asarray(out.cpu().numpy()).reshape(*shape, channels)
        if not derivatives:
            return plain
        if fragments.barycentric_dxy is None:
            raise ValueError("rasterize with derivatives=True to interpolate with derivatives")
        slopes = self._to_device(fragments.barycentric_dxy.reshape(-1, 4), np.float32)
        steps = torch.zeros((len(out), 2 * channels), dtype=torch.float32, device=self._device)
        launch(cuda_kernels.interpolate_slopes, len(out), self._device, values, triangles, face_index, slopes, steps)
        return plain, np.asarray(steps.cpu().numpy()).reshape(*shape, channels, 2)

    def sample_texture(self, image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
        """See `Rasterizer`."""
        chain = mip_chain(image, full=uv_dxy is not None)
        points = self._to_device(uv.reshape(-1, 2), np.float32)
        footprint = points if uv_dxy is None else self._to_device(uv_dxy.reshape(-1, 4), np.float32)
        texels, levels = self._to_device(chain.texels, chain.texels.dtype), self._to_device(chain.levels, np.int64)
        out = torch.zeros((len(points), image.shape[2]), dtype=torch.float32, device=self._device)
        given = texels, levels, 1 / 255 if image.dtype == np.uint8 else 1.0, points, footprint, uv_dxy is not None
        launch(cuda_kernels.sample, len(points), self._device, *given, out)
        return np.asarray(out.cpu().numpy())[: uv.size // 2].reshape(*uv.shape[:-1], image.shape[2])
