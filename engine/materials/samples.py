"""Points of the surface that tell of the light, and which of them to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.mesh import TexturedMesh
from engine.srgb import decode_srgb

Float = NDArray[np.float64]

POINTS: Final = 8_000
LEAST_COSINE: Final = 0.3
"""Faces seen under less than this tell nothing: their colours are stretched or their neighbours'."""
SCALES: Final = ((8_000, 4), (2_000, 6), (500, 10))
"""Neighbours are looked for among so many of the points, so many each: within about 3, 7 and 13 % of the size."""
LIKE_CHROMA: Final = 0.12
"""Difference in the logarithm of the channels' ratios by which a pair of points falls to 1/e in weight."""
_DARKEST, _BRIGHTEST = 8 / 255, 252 / 255


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points of the surface, evenly spread over what is well seen and neither black nor burnt out.

    position, normal: [N, 3] float64, normals unit. linear: [N, 3] float64, the texture there as linear light.
    openness: [N] 0..1. first, second: [P] int64, pairs of neighbouring points. weight: [P] float64, by how alike their
    colours are apart from brightness.
    """

    position: Float
    normal: Float
    linear: Float
    openness: Float
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    weight: Float

    @property
    def turn(self) -> Float:
        """[P] cosine between the normals of each pair."""
        return np.asarray((self.normal[self.first] * self.normal[self.second]).sum(1))

    @property
    def brightness_change(self) -> Float:
        """[P] how the pairs differ in brightness: mean of the channels' logarithms."""
        brightness = np.log(self.linear).mean(1)
        return np.asarray(brightness[self.first] - brightness[self.second])

    def only(self, pairs: NDArray[np.bool_]) -> SurfaceSamples:
        """The same with some of the pairs."""
        return SurfaceSamples(
            self.position, self.normal, self.linear, self.openness,
            self.first[pairs], self.second[pairs], self.weight[pairs],
        )  # fmt: skip


def take_samples(
    textured: TexturedMesh,
    normals: NDArray[np.float32],
    openness: NDArray[np.float64],
    face_confidence: NDArray[np.float32],
    seed: int,
) -> SurfaceSamples | None:
    """Choose points and pairs; None where too little is seen to tell anything.

    normals: [F, 3, 3] at the faces' corners. openness: [V]. face_confidence: [F], cosine that a face is best seen
    under.
    """
    mesh = textured.mesh
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * (face_confidence >= LEAST_COSINE)
    if not area.sum() > 0:
        return None
    rng = np.random.default_rng(seed)
    face = np.searchsorted(np.cumsum(area), rng.random(POINTS) * area.sum()).clip(0, len(area) - 1)
    r, s = np.sqrt(rng.random(POINTS)), rng.random(POINTS)
    weights = np.stack([1 - r, r * (1 - s), r * s], 1)[:, :, None]
    uv = (textured.uv[textured.faces_uv[face]] * weights).sum(1)
    srgb = _blurred(textured.texture_kd, uv)
    clear = ((srgb.min(1) > _DARKEST) | (srgb.max(1) > 4 * _DARKEST)) & (srgb.max(1) < _BRIGHTEST)
    clear &= srgb.max(1) > 2 * _DARKEST
    face, weights, srgb = face[clear], weights[clear], srgb[clear]
    if len(face) < 500:
        return None
    normal = (normals[face] * weights).sum(1, dtype=np.float64)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    position = (mesh.vertices[mesh.faces[face]] * weights).sum(1)
    open_there = (openness[mesh.faces[face]] * weights[..., 0]).sum(1)
    linear = np.maximum(decode_srgb(srgb), 1e-4)
    return pair_up(position, normal, linear, np.clip(open_there, 0.02, 1), rng)


def _blurred(texture: NDArray[np.uint8], uv: NDArray[np.floating]) -> Float:
    """[N, 3] sRGB 0..1: the mean of 4 x 4 texels around uv [N, 2], for noise not to hide what is looked for."""
    size = texture.shape[0]
    x, y = (np.floor(uv[:, k] * size).astype(np.int64) for k in (0, 1))
    total = np.zeros((len(uv), 3))
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            total += texture[np.clip(y + dy - 1, 0, size - 1), np.clip(x + dx - 1, 0, size - 1)]
    return total / (16 * 255)


def pair_up(position: Float, normal: Float, linear: Float, openness: Float, rng: np.random.Generator) -> SurfaceSamples:
    """Join points [N] with their neighbours, near and less near ones."""
    low, high = position.min(0), position.max(0)
    diagonal = float(np.linalg.norm(high - low))
    chroma = np.log(linear[:, [0, 2]] + 0.004) - np.log(linear[:, [1]] + 0.004)
    parts = []
    for most, neighbours in SCALES:
        count = min(most, len(position))
        chosen = np.sort(rng.permutation(len(position))[:count])
        reach = 3.0 * diagonal / np.sqrt(count)
        _, found = cKDTree(position[chosen]).query(
            position[chosen], neighbours + 1, distance_upper_bound=reach, workers=1
        )
        i = np.repeat(np.arange(count), neighbours)
        j = found[:, 1:].reshape(-1)
        keep = (j < count) & (j != i)
        i, j = chosen[i[keep]], chosen[j[keep]]
        apart = ((chroma[i] - chroma[j]) ** 2).sum(1)
        weight = np.exp(-apart / LIKE_CHROMA**2)
        parts.append((i, j, weight / max(float(weight.sum()), 1e-9)))
    first, second, weight = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return SurfaceSamples(position, normal, linear, openness, first.astype(np.int64), second.astype(np.int64), weight)
