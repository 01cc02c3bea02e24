"""The readable back end: plain NumPy, one face at a time. What the others are tested against."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from engine.render.elements import SUBPIXELS
from engine.render.mipmap import MipChain, mip_chain
from engine.render.types import Float32, Fragments, Int32

Float = NDArray[np.float64]


class ReferenceRasterizer:
    """See `Rasterizer`. Slow, and without near-plane clipping: vertices must be in front of the camera."""

    name: Literal["reference"] = "reference"

    def rasterize(
        self, position_clip: Float32, faces: Int32, size_px: tuple[int, int], *, derivatives: bool = False
    ) -> Fragments:
        """See `Rasterizer`. Raises ValueError where a vertex is behind the near plane."""
        height, width = size_px
        clip = position_clip.astype(np.float64)
        if (clip[:, 2] < -clip[:, 3]).any() or (clip[:, 3] <= 0).any():
            raise ValueError("a vertex is behind the near plane")
        w = clip[:, 3]
        ndc = clip[:, :2] / w[:, None]
        xy_px = (ndc * 0.5 + 0.5) * [width, height]
        snapped = np.rint(xy_px * SUBPIXELS).astype(np.int64)
        centres_x = np.arange(width) * SUBPIXELS + SUBPIXELS // 2
        centres_y = np.arange(height) * SUBPIXELS + SUBPIXELS // 2
        px, py = np.meshgrid(centres_x, centres_y)

        face_index = np.full((height, width), -1, np.int32)
        barycentric = np.zeros((height, width, 2), np.float32)
        inverse_depth = np.zeros((height, width), np.float32)
        slopes = np.zeros((height, width, 2, 2), np.float32)
        for index, corners in enumerate(faces):
            area, inside, edges = _cover(snapped[corners], px, py)
            if area == 0:
                continue
            # 1/w is linear on the screen, and so is each corner's weight divided by w.
            weights_over_w = edges / area / w[corners][:, None, None]
            inverse_w = weights_over_w.sum(0)
            nearer = inside & (inverse_w.astype(np.float32) > inverse_depth)
            weights = weights_over_w[:2] / np.where(nearer, inverse_w, 1)
            face_index[nearer] = index
            barycentric[nearer] = np.moveaxis(weights, 0, -1)[nearer]
            inverse_depth[nearer] = inverse_w[nearer]
            if derivatives:
                slopes[nearer] = _weight_slopes(xy_px[corners], w[corners], weights, inverse_w)[nearer]
        depth = np.divide(1, inverse_depth, out=np.zeros_like(inverse_depth), where=face_index >= 0)
        return Fragments(face_index, barycentric, depth, slopes if derivatives else None)

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
        weights = np.concatenate([fragments.barycentric, 1 - fragments.barycentric.sum(-1, keepdims=True)], -1)
        corners = attributes[faces[np.maximum(fragments.face_index, 0)]]
        out = np.asarray((corners * weights[..., None]).sum(-2) * fragments.covered[..., None], np.float32)
        return (out, _attribute_slopes(attributes, fragments, faces)) if derivatives else out

    def sample_texture(self, image: NDArray[np.uint8] | Float32, uv: Float32, uv_dxy: Float32 | None = None) -> Float32:
        """See `Rasterizer`."""
        chain = mip_chain(image, full=uv_dxy is not None)
        points = uv.reshape(-1, 2).astype(np.float64)
        if uv_dxy is None:
            out = _bilinear(chain, np.zeros(len(points), np.int64), points)
        else:
            # The ellipse that a step in x and y spans in texels; its longer half axis is the largest singular value.
            footprint = uv_dxy.reshape(-1, 2, 2) * np.array([image.shape[1], image.shape[0]])[:, None]
            longest = np.linalg.svd(footprint, compute_uv=False)[:, 0]
            level = np.clip(np.log2(np.maximum(longest, 1)), 0, len(chain.levels) - 1)
            low = np.floor(level).astype(np.int64)
            high = np.minimum(low + 1, len(chain.levels) - 1)
            blend = (level - low)[:, None]
            out = (1 - blend) * _bilinear(chain, low, points) + blend * _bilinear(chain, high, points)
        scale = 1 / 255 if image.dtype == np.uint8 else 1.0
        return (out * scale).astype(np.float32).reshape(*uv.shape[:-1], -1)


def _cover(
    corners: NDArray[np.int64], px: NDArray[np.int64], py: NDArray[np.int64]
) -> tuple[int, NDArray[np.bool_], Float]:
    """One face: twice its area, which pixels are inside [H, W], the edge functions [3, H, W] opposite each corner."""
    (x0, y0), (x1, y1), (x2, y2) = corners.tolist()
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    sign = 1 if area > 0 else -1
    inside = np.ones(px.shape, np.bool_)
    edges = np.zeros((3, *px.shape), np.int64)
    for k in range(3):
        ax, ay = corners[(k + 1) % 3].tolist()
        bx, by = corners[(k + 2) % 3].tolist()
        dx, dy = sign * (bx - ax), sign * (by - ay)
        edges[k] = dx * (py - ay) - dy * (px - ax)
        left_or_top = dy < 0 or (dy == 0 and dx > 0)
        inside &= edges[k] >= 0 if left_or_top else edges[k] > 0
    return abs(area), inside, edges.astype(np.float64)


def _weight_slopes(xy_px: Float, w: Float, weights: Float, inverse_w: Float) -> Float:
    """d(weight of corner 0, 1)/d(x, y) [H, W, 2, 2] by the quotient rule: weight = (weight/w) / (1/w)."""
    # Screen barycentrics are affine: their gradients [3, 2] are rows of the inverse of the corners' matrix.
    gradients = np.linalg.inv(np.concatenate([xy_px, np.ones((3, 1))], 1).T)[:, :2]
    over_w = gradients / w[:, None]
    total = over_w.sum(0)
    slopes = over_w[:2] - weights[..., None].transpose(1, 2, 0, 3) * total
    return np.asarray(slopes / inverse_w[..., None, None])


def _bilinear(chain: MipChain, levels: NDArray[np.int64], uv: Float) -> Float:
    """Values [N, C] at uv [N, 2] of the levels [N], clamped at the edges."""
    first, height, width = chain.levels[levels].T
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]

    def texel(column: NDArray[np.int64], row: NDArray[np.int64]) -> Float:
        return np.asarray(chain.texels[first + row * width + column], np.float64)

    top = (1 - fx) * texel(x0, y0) + fx * texel(x1, y0)
    bottom = (1 - fx) * texel(x0, y1) + fx * texel(x1, y1)
    return np.asarray((1 - fy) * top + fy * bottom)


def _attribute_slopes(attributes: Float32, fragments: Fragments, faces: Int32) -> Float32:
    """d(attribute)/d(x, y) per pixel [H, W, C, 2], by the chain rule from the weights' derivatives."""
    if fragments.barycentric_dxy is None:
        raise ValueError("rasterize with derivatives=True to interpolate with derivatives")
    corners = attributes[faces[np.maximum(fragments.face_index, 0)]]
    d = fragments.barycentric_dxy
    out = (corners[..., 0, :] - corners[..., 2, :])[..., None] * d[..., 0, None, :]
    out += (corners[..., 1, :] - corners[..., 2, :])[..., None] * d[..., 1, None, :]
    return np.asarray(out * fragments.covered[..., None, None], np.float32)
