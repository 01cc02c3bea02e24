"""The compiled kernel behind the previews."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit
from engine.render.elements import add_trilinear, mip_level, weight_gradients

Array = NDArray[Any]


@jit
def _studio(n0: Any, n1: Any, n2: Any, e0: Any, e1: Any, e2: Any, facing: Any, ambient: Any) -> Any:
    """The factor on the texture's sRGB values, and what gloss adds.

    Normal and direction to the camera are in camera axes with y up and z towards the viewer. A key light from the upper
    left, a fill from the right, the sky above, a rim around the outline.
    """
    key = max(0.0, (-0.45 * n0 + 0.65 * n1 + 0.612 * n2 + 0.25) / 1.25)
    fill = max(0.0, (0.72 * n0 + 0.18 * n1 + 0.67 * n2 + 0.35) / 1.35)
    light = (0.53 + 0.13 * n1) * (0.25 + 0.75 * ambient) + (0.78 * key + 0.29 * fill) * (0.45 + 0.55 * ambient)
    rim = 0.16 * (1 - facing) ** 4 * (0.4 + 0.6 * max(0.0, n1))
    h0, h1, h2 = e0 - 0.45, e1 + 0.65, e2 + 0.612  # between the eye and the key light
    shine = max(0.0, (n0 * h0 + n1 * h1 + n2 * h2) / np.sqrt(h0 * h0 + h1 * h1 + h2 * h2))
    # The texture holds sRGB values: about the 2.2th root of light.
    return light ** (1 / 2.2), ambient * (rim + 0.07 * shine**24)


@jit
def _edge_distance(w: Any, c0: Any, c1: Any, depth: Any) -> Any:
    """Distance in samples to the nearest edge of the face, to first order; w: `weight_gradients`, c: the weights."""
    c2 = 1 - c0 - c1
    wx, wy = w[0] + w[2] + w[4], w[1] + w[3] + w[5]
    d0 = c0 / max(np.sqrt((w[0] - c0 * wx) ** 2 + (w[1] - c0 * wy) ** 2) * depth, 1e-12)
    d1 = c1 / max(np.sqrt((w[2] - c1 * wx) ** 2 + (w[3] - c1 * wy) ** 2) * depth, 1e-12)
    d2 = c2 / max(np.sqrt((w[4] - c2 * wx) ** 2 + (w[5] - c2 * wy) ** 2) * depth, 1e-12)
    return min(d0, d1, d2)


@jit
def light_rows(
    position_clip: Array, faces: Array, uv: Array, faces_uv: Array, texels: Array, levels: Array, normals: Array,
    openness: Array, axes: Array, centre: Array, vertices: Array, supersample: int, height: int,
    face_index: Array, barycentric: Array, depth: Array,
    wire_clip: Array, wire_faces: Array, wire_index: Array, wire_barycentric: Array, wire_depth: Array,
    wire_alpha: float, wire_reach: float, texel: Array, rgb: Array, coverage: Array,
) -> None:  # fmt: skip
    """Texture, light and wire a supersampled band [h·s, W·s] of a picture `height` samples high, and average it.

    normals: [F, 3, 3] float32 at the faces' corners. openness: [V] float32. axes: [3, 3] the camera's right, down and
    forward in the world; centre: [3] its position. vertices: [V, 3] float64. The wire_ arrays are the same for the mesh
    whose edges are drawn where it is within wire_reach of the surface. texel: [1, 3] float32, to work in.
    Out, zero before: rgb [h, W, 3] and coverage [h, W] float32.
    """
    rows, width = face_index.shape
    share = 1.0 / (supersample * supersample)
    line_px = 0.4 * supersample  # half the line's width, in samples
    last, last_wire = -1, -1
    g = w = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for line in range(rows):
        y = line // supersample
        for column in range(width):
            face = face_index[line, column]
            if face < 0:
                continue
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            if face != last:
                last = face
                g = weight_gradients(position_clip, i0, i1, i2, height, width)
            b0, b1 = np.float64(barycentric[line, column, 0]), np.float64(barycentric[line, column, 1])
            b2 = 1 - b0 - b1
            z = np.float64(depth[line, column])
            t0, t1, t2 = faces_uv[face, 0], faces_uv[face, 1], faces_uv[face, 2]
            u = b0 * uv[t0, 0] + b1 * uv[t1, 0] + b2 * uv[t2, 0]
            v = b0 * uv[t0, 1] + b1 * uv[t1, 1] + b2 * uv[t2, 1]
            sx, sy = g[0] + g[2] + g[4], g[1] + g[3] + g[5]
            level = mip_level(
                (g[0] * uv[t0, 0] + g[2] * uv[t1, 0] + g[4] * uv[t2, 0] - u * sx) * z,
                (g[1] * uv[t0, 0] + g[3] * uv[t1, 0] + g[5] * uv[t2, 0] - u * sy) * z,
                (g[0] * uv[t0, 1] + g[2] * uv[t1, 1] + g[4] * uv[t2, 1] - v * sx) * z,
                (g[1] * uv[t0, 1] + g[3] * uv[t1, 1] + g[5] * uv[t2, 1] - v * sy) * z,
                levels[0, 1],
                levels[0, 2],
            )
            for c in range(3):
                texel[0, c] = 0
            # to numba a literal 0 is a type of its own, and would be compiled for
            add_trilinear(texels, levels, u, v, level, 1 / 255, texel, np.int64(0))  # type: ignore[arg-type]

            # The normal, and the direction to the camera, in camera axes with y up and z towards the viewer.
            n0 = n1 = n2 = e0 = e1 = e2 = 0.0
            for c in range(3):
                n = b0 * normals[face, 0, c] + b1 * normals[face, 1, c] + b2 * normals[face, 2, c]
                e = centre[c] - (b0 * vertices[i0, c] + b1 * vertices[i1, c] + b2 * vertices[i2, c])
                n0, n1, n2 = n0 + n * axes[0, c], n1 - n * axes[1, c], n2 - n * axes[2, c]
                e0, e1, e2 = e0 + e * axes[0, c], e1 - e * axes[1, c], e2 - e * axes[2, c]
            n_scale = 1 / max(np.sqrt(n0 * n0 + n1 * n1 + n2 * n2), 1e-12)
            e_scale = 1 / max(np.sqrt(e0 * e0 + e1 * e1 + e2 * e2), 1e-12)
            n0, n1, n2, e0, e1, e2 = n0 * n_scale, n1 * n_scale, n2 * n_scale, e0 * e_scale, e1 * e_scale, e2 * e_scale
            facing = n0 * e0 + n1 * e1 + n2 * e2
            if facing < 0:  # a back side that is seen: light it as a front side
                n0, n1, n2, facing = -n0, -n1, -n2, -facing

            ambient = b0 * openness[i0] + b1 * openness[i1] + b2 * openness[i2]
            factor, gloss = _studio(n0, n1, n2, e0, e1, e2, facing, ambient)
            ink = 0.0
            wire = wire_index[line, column]
            if wire >= 0 and abs(wire_depth[line, column] - depth[line, column]) < wire_reach:
                if wire != last_wire:
                    last_wire = wire
                    w = weight_gradients(
                        wire_clip, wire_faces[wire, 0], wire_faces[wire, 1], wire_faces[wire, 2], height, width
                    )
                nearest = _edge_distance(
                    w, wire_barycentric[line, column, 0], wire_barycentric[line, column, 1], wire_depth[line, column]
                )
                ink = wire_alpha * min(max(line_px - nearest + 0.5, 0.0), 1.0)
            # Dark lines, light ones on what is nearly black.
            luma = factor * (0.3 * texel[0, 0] + 0.6 * texel[0, 1] + 0.1 * texel[0, 2])
            tone = 1.0 if luma < 0.22 else 0.0
            for c in range(3):
                value = min(texel[0, c] * factor + gloss, 1.0)
                value += ink * (tone - value)
                rgb[y, column // supersample, c] += np.float32(value * share)
            coverage[y, column // supersample] += np.float32(share)
