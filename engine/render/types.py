"""What the rasteriser's operations take and give, and the interface that every back end has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Fragments:
    """The nearest surface at every pixel centre.

    face_index: [H, W] int32, -1 = none. barycentric: [H, W, 2] float32, the perspective-correct weights of the face's
    corners 0 and 1 (corner 2 has the rest). depth: [H, W] float32 camera z, 0 = none.
    barycentric_dxy: [H, W, 2, 2] float32, d(weight of corner 0, 1)/d(x, y) per pixel, where it was asked for.
    """

    face_index: Int32
    barycentric: Float32
    depth: Float32
    barycentric_dxy: Float32 | None = None

    @property
    def covered(self) -> NDArray[np.bool_]:
        """[H, W] bool: where there is a surface."""
        return np.asarray(self.face_index >= 0)


@dataclass(frozen=True, eq=False)
class Render:
    """A picture of a mesh.

    rgb: [H, W, 3] float32, sRGB values 0..1 premultiplied by coverage. coverage: [H, W] float32 0..1.
    depth: [H, W] float32 camera z at the pixel's centre, 0 = none (not anti-aliased).
    """

    rgb: Float32
    coverage: Float32
    depth: Float32

    def over(self, background: float | NDArray[np.floating[Any]] = 1.0) -> Float32:
        """[H, W, 3] float32: the picture over a background (a value, [3], or [H, W, 3])."""
        rest = 1 - self.coverage[..., None]
        return np.asarray(self.rgb + rest * np.asarray(background, np.float32), np.float32)


class Rasterizer(Protocol):
    """A back end. The operations are nvdiffrast's, and so are their semantics.

    Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG 39(6), 2020. Pixel (row
    i, column j) has its centre at NDC ((j+0.5)·2/W - 1, (i+0.5)·2/H - 1): row 0 is at y = -1, which our projection
    makes the image's top. Faces are drawn from both sides. Where two faces are equally near, the lower index is seen.
    """

    @property
    def name(self) -> Literal["numba", "nvdiffrast", "cuda", "reference"]:
        """What `engine.render.rasterizer` knows it by."""
        ...

    def rasterize(
        self, position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
    ) -> Fragments:
        """position_clip: [V, 4] float32. faces: [F, 3] int32. size_px: (H, W). Clips at z = -w."""
        ...

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
        """Attributes [A, C] to [H, W, C], and with derivatives d/d(x, y) [H, W, C, 2] per pixel; 0 where nothing is.

        faces: [F, 3] int32 into the attributes: the mesh's own, or the texture's (`faces_uv`).
        """
        ...

    def sample_texture(self, image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
        """Texture values [..., C] at uv [..., 2].

        image: [H, W, C], uint8 (read as value/255) or float32. uv: glTF's, (0, 0) the image's top left corner, clamped
        at the edges. uv_dxy: [..., 2, 2], d(u, v)/d(x, y) per pixel: the footprint, for trilinear mip mapping; bilinear
        without it.
        """
        ...
