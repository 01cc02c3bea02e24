"""The rasteriser: one interface, several back ends.

`rasterize`, `interpolate` and `sample_texture` are nvdiffrast's operations on the default back end; `rasterizer(name)`
gives one back end as an object. `render_depth` and `render_textured` are what most stages need.
"""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from engine.render.backends import (
    NAMES,
    cuda_trouble,
    default_rasterizer,
    nvdiffrast_usable,
    on_cuda,
    rasterizer,
)
from engine.render.picture import render_depth, render_textured
from engine.render.projection import clip_from_world, near_plane, to_clip
from engine.render.types import Float32, Fragments, Int32, Rasterizer, Render
from engine.render.viewpoints import look_at, orbit

__all__ = [
    "NAMES",
    "Fragments",
    "Rasterizer",
    "Render",
    "clip_from_world",
    "cuda_trouble",
    "default_rasterizer",
    "interpolate",
    "look_at",
    "near_plane",
    "nvdiffrast_usable",
    "on_cuda",
    "orbit",
    "rasterize",
    "rasterizer",
    "render_depth",
    "render_textured",
    "sample_texture",
    "to_clip",
]


def rasterize(
    position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
) -> Fragments:
    """The nearest face at every pixel; see `Rasterizer.rasterize`."""
    return default_rasterizer().rasterize(position_clip, faces, size_px, derivatives=derivatives)


@overload
def interpolate(
    attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[False] = False
) -> Float32: ...
@overload
def interpolate(
    attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: Literal[True]
) -> tuple[Float32, Float32]: ...
def interpolate(
    attributes: Float32, fragments: Fragments, faces: Int32, *, derivatives: bool = False
) -> Float32 | tuple[Float32, Float32]:
    """Attributes at every pixel; see `Rasterizer.interpolate`."""
    if derivatives:
        return default_rasterizer().interpolate(attributes, fragments, faces, derivatives=True)
    return default_rasterizer().interpolate(attributes, fragments, faces)


def sample_texture(image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
    """Texture values at uv; see `Rasterizer.sample_texture`."""
    return default_rasterizer().sample_texture(image, uv, uv_dxy)
