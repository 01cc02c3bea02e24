"""What a back end of the differentiable rasteriser offers."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from torch import Tensor


class Operations(Protocol):
    """nvdiffrast's four operations on tensors of one device.

    Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG 39(6), 2020. N pictures
    share one list of faces. Pixel centres, NDC and the order of rows are `engine.render.Rasterizer`'s. faces: [F, 3]
    int32. Floating tensors are float32 (our own back ends take float64 too). No second derivatives.
    """

    @property
    def name(self) -> Literal["numba", "nvdiffrast", "cuda"]:
        """Which back end this is."""
        ...

    def rasterize(self, position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """position_clip [N, V, 4] to raster [N, H, W, 4] and slopes [N, H, W, 4].

        raster: perspective-correct weight of corner 0, of corner 1, z/w, face + 1 (0 = none). Only the weights carry
        gradients to position_clip: for a depth, interpolate w. slopes: d weight 0/dx, /dy, d weight 1/dx, /dy per
        pixel, without gradient in our own back ends.
        """
        ...

    def interpolate(
        self, attributes: Tensor, raster: Tensor, faces: Tensor, slopes: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Attributes [N or 1, A, C] to [N, H, W, C], gradients to both; 0 where nothing is.

        faces: into the attributes, the mesh's own or the texture's. With slopes also d/dx, d/dy [N, H, W, 2·C] per
        pixel, attribute by attribute, without gradient in our own back ends; else None.
        """
        ...

    def texture(self, image: Tensor, uv: Tensor, uv_dxy: Tensor | None = None) -> Tensor:
        """Image [N or 1, h, w, C] at uv [N, H, W, 2] to [N, H, W, C], gradients to both.

        uv: (0, 0) is the corner of the first row's first texel; clamped at the edges. uv_dxy: [N, H, W, 4], du/dx,
        du/dy, dv/dx, dv/dy: the footprint, for trilinear mip mapping; bilinear without it.
        """
        ...

    def topology(self, faces: Tensor) -> Any:
        """What `antialias` needs to know of the faces' neighbours, made once for a list of faces."""
        ...

    def antialias(
        self, colour: Tensor, raster: Tensor, position_clip: Tensor, faces: Tensor, topology: Any | None = None
    ) -> Tensor:
        """colour [N, H, W, C] with silhouettes blended; gradients to colour and position_clip."""
        ...
