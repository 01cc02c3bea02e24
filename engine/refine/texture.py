"""The texture that, drawn, gives the views back best.

A bake looks colours up: each texel takes the views' values at one point, so drawing it again blurs a second time. Here
the drawing is inverted: the texture is sought whose picture in each view is that view, texels weighted by how much of
each they make up in it. The adjoint of the trilinear look-up is the differentiable rasteriser's; the solver is SIRT
(Gilbert, "Iterative methods for the three-dimensional reconstruction of an object from projections", 1972), in vision
known as iterative back-projection (Irani and Peleg, "Improving resolution by image registration", 1991), with the bake
as its start and its prior.

Where a view disagrees with the bake over more than a few pixels, because it was painted over or its outline is off, it
counts for less: sharpening must not bring ghosts back that the bake's labels had banished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.diff import texture_kernels
from engine.diff.pyramid import OWNERS, chain, chain_backward, first_blocks
from engine.jit import parallel_map, row_bands
from engine.mesh import TexturedMesh
from engine.progress import Checkpoint
from engine.refine.kernels import residual_rows
from engine.refine.observations import Observations, observe
from engine.render import kernels as render_kernels
from engine.segment import Segmentation

AGREEMENT = 80.0
"""Local difference from the bake, in sRGB steps, by which a pixel's weight falls to 1/e. With more, views that are not
of one object are averaged: their pictures come out nearer by the figures, with ghosts; with less, colours at the edges
of what a view sees are given up."""
CONTRADICTING = 0.9
"""A view of which less agrees is named."""
NEIGHBOURHOOD_PX = 15
PRIOR = 0.3
"""Weight of the bake, in pixels a texel."""
_POINTS = 1 << 16
Float32 = NDArray[np.float32]
Chain = tuple[Float32, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Refined:
    """What refinement hands on.

    agreement: how much of each view's trusted pixels counts, 0..1. psnr_db: of the drawn texture against the views, by
    these weights, before each step and after the last.
    """

    textured: TexturedMesh
    agreement: dict[ViewName, float]
    psnr_db: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """What quality.json says of it."""
        return {"steps": len(self.psnr_db) - 1, "psnr_db": list(self.psnr_db), "agreement": dict(self.agreement)}

    def notes(self) -> tuple[str, ...]:
        """What job.json and the report say of views that contradict the others."""
        apart = {v: share for v, share in self.agreement.items() if share < CONTRADICTING}
        if not apart:
            return ()
        views = ", ".join(f"{v} ({1 - share:.0%} of what it shows)" for v, share in apart.items())
        return (
            f"The colours of {views} contradict those of the other views: repainted, shadowed or not of the same "
            "object. They count for less in the texture.",
        )


def refine_texture(
    textured: TexturedMesh,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: dict[ViewName, Registration],
    steps: int,
    checkpoint: Checkpoint = lambda fraction: None,
) -> Refined:
    """Fit a baked texture to the views in at most `steps` steps; stops when one no longer helps.

    registrations: in RGB pixels, missing ones are the identity. Texels that no trusted pixel sees stay as they are. A
    step that makes the weighted error larger is taken back. Deterministic, whatever the thread count.
    """
    start = textured.texture_kd.astype(np.float32)
    views: dict[ViewName, Observations] = {}
    names = [v for v in VIEW_NAMES if v in bundle.rgb]
    for n, v in enumerate(names):
        camera = calibration.cameras[v].scaled_to(bundle.rgb_size_px)
        camera = camera.registered(registrations.get(v, Registration()))
        found = observe(textured, camera, bundle.rgb[v], segmentation.rgb_alpha[v])
        if found is not None:
            views[v] = found
        checkpoint(0.4 * (n + 1) / len(names))
    levels = chain(start, full=True)
    weights = {v: _weights(levels, view) for v, view in views.items()}
    shares = {v: round(float(w.sum() / views[v].trust.sum()), 4) for v, w in weights.items()}
    norm = _seen_of_texels(levels, views, weights)
    best, current, errors = start, start, list[float]()
    for step in range(steps + 1):
        levels = chain(current, full=True)
        error, gradient = _step(levels, views, weights)
        if not np.isfinite(error) or (errors and error >= errors[-1]):
            break
        errors.append(error)
        best = current
        if step < steps:
            towards = gradient + PRIOR * (start - current)
            current = np.clip(current + towards / (norm + np.float32(PRIOR)), 0, 255)
        checkpoint(0.45 + 0.55 * (step + 1) / (steps + 1))
    image = np.rint(best).astype(np.uint8)
    decibels = tuple(round(float(-10 * np.log10(max(e, 1e-6) / 255**2)), 3) for e in errors)
    return Refined(TexturedMesh(textured.mesh, textured.uv, textured.faces_uv, image), shares, decibels)


def _drawn(levels: Chain, view: Observations) -> Float32:
    """[N, 3] float32 what a view shows of the texture."""
    out = np.empty((len(view.uv), 3), np.float32)

    def band(part: tuple[int, int]) -> None:
        render_kernels.sample_points(levels[0], levels[1], 1.0, view.uv, view.uv_dxy, *part, out)

    parallel_map(band, _parts(view))
    return out


def _parts(view: Observations) -> list[tuple[int, int]]:
    return row_bands(len(view.uv), max(1, len(view.uv) // _POINTS))


def _weights(levels: Chain, view: Observations) -> Float32:
    """[N] float32: a pixel's trust times how far the view agrees with the texture round it."""
    apart = ((_drawn(levels, view) - view.rgb) ** 2).mean(1)
    square, known = np.zeros(view.size_px, np.float32), np.zeros(view.size_px, np.float32)
    square[view.row, view.column] = view.trust * apart
    known[view.row, view.column] = view.trust
    local = ndimage.uniform_filter(square, NEIGHBOURHOOD_PX, mode="constant")
    local /= np.maximum(ndimage.uniform_filter(known, NEIGHBOURHOOD_PX, mode="constant"), 1e-6)
    agreement = np.exp(-local[view.row, view.column] / np.float32(AGREEMENT**2))
    return np.asarray(view.trust * agreement, np.float32)


def _back(levels: Chain, view: Observations, values: Float32, total: Float32) -> None:
    """Add values [N, 3] of a view's pixels to the texels [T, 3] that they show: the adjoint of `_drawn`."""
    count = len(view.uv)
    level, owners = np.empty(count, np.float32), np.empty(count, np.uint8)
    blocks, nowhere = first_blocks(levels[1]), np.empty((0, 2), np.float32)

    def band(part: tuple[int, int]) -> None:
        texture_kernels.uv_backward(
            levels[0], levels[1], blocks, view.uv, view.uv_dxy, values, *part, nowhere, level, owners
        )

    def own(owner: int) -> None:
        texture_kernels.texel_backward(levels[1], blocks, owner, view.uv, level, owners, values, total)

    parallel_map(band, _parts(view))
    parallel_map(own, range(OWNERS))


def _seen_of_texels(levels: Chain, views: dict[ViewName, Observations], weights: dict[ViewName, Float32]) -> Float32:
    """[S, S, 1] float32: how many weighted pixels a texel makes up."""
    total = np.zeros((len(levels[0]), 1), np.float32)
    for v, view in views.items():
        _back(levels, view, weights[v][:, None], total)
    size = (int(levels[1][0, 1]), int(levels[1][0, 2]), 1)
    return np.array(chain_backward(total, levels[1]).reshape(size))


def _step(
    levels: Chain, views: dict[ViewName, Observations], weights: dict[ViewName, Float32]
) -> tuple[float, Float32]:
    """The weighted mean squared error, and minus half its gradient [S, S, 3] times the weights' sum."""
    total = np.zeros_like(levels[0])
    error = count = 0.0
    for v, view in views.items():
        weight = weights[v]
        seen = _drawn(levels, view)
        residual = np.empty_like(seen)

        def band(
            part: tuple[int, int],
            seen: Float32 = seen,
            view: Observations = view,
            weight: Float32 = weight,
            residual: Float32 = residual,
        ) -> None:
            residual_rows(seen, view.rgb, weight, *part, residual)

        parallel_map(band, _parts(view))
        error += float((residual * (view.rgb - seen)).sum(dtype=np.float64))
        count += 3 * float(weight.sum(dtype=np.float64))
        _back(levels, view, residual, total)
    size = (int(levels[1][0, 1]), int(levels[1][0, 2]), 3)
    return error / max(count, 1e-12), np.array(chain_backward(total, levels[1]).reshape(size))
