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

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import Cancelled, MeshdropError, ModelOutOfVram
from engine import machine
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Registration
from engine.device import after_failure, choose
from engine.diff.pyramid import chain, chain_backward, zeros_like
from engine.diff.sampling import Spots, look_up, to_texels
from engine.jit import parallel_map, row_bands, thread_count
from engine.mesh import TexturedMesh
from engine.progress import Checkpoint
from engine.refine.kernels import residual_rows
from engine.refine.observations import Observations, observe
from engine.refine.sirt import AGREEMENT, NEIGHBOURHOOD_PX, PRIOR, Fit, Float32, never, solve
from engine.segment import Segmentation

CONTRADICTING = 0.9
"""A view of which less agrees is named."""
_POINTS = 1 << 16
_PIXELS_AT_ONCE = 1 << 24
"""Of views that are looked at: some 60 bytes each. Larger views' bands of rows keep the threads busy."""
_ROWS = 32
"""Of a texture, at once: what is computed on the way stays in a core's cache."""
Chain = tuple[Float32, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Refined:
    """What refinement hands on.

    agreement: how much of each view's trusted pixels counts, 0..1. psnr_db: of the drawn texture against the views, by
    these weights, before each step and after the last. device: what computed it. trouble: why it was not the GPU
    that was chosen, in sentences.
    """

    textured: TexturedMesh
    agreement: dict[ViewName, float]
    psnr_db: tuple[float, ...]
    device: Literal["cpu", "cuda"] = "cpu"
    trouble: str | None = None

    def facts(self) -> dict[str, Any]:
        """What quality.json says of it."""
        facts = {"steps": len(self.psnr_db) - 1, "psnr_db": list(self.psnr_db), "agreement": dict(self.agreement)}
        return facts if self.device == "cpu" else {**facts, "device": self.device}

    def notes(self) -> tuple[str, ...]:
        """What job.json and the report say of a GPU that failed, and of views that contradict the others."""
        failed = () if self.trouble is None else (self.trouble,)
        apart = {v: share for v, share in self.agreement.items() if share < CONTRADICTING}
        if not apart:
            return failed
        views = ", ".join(f"{v} ({1 - share:.0%} of what it shows)" for v, share in apart.items())
        return (
            *failed,
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
    budget_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Refined:
    """Fit a baked texture to the views in at most `steps` steps; stops when one no longer helps.

    No step is begun after budget_s.

    registrations: in RGB pixels, missing ones are the identity. Texels that no trusted pixel sees stay as they are. A
    step that makes the weighted error larger is taken back. Deterministic, whatever the thread count. Where CUDA is
    chosen (`engine.device.choose`) it does it: the same within a step of sRGB, with the same bytes each time.
    Raises ModelOutOfVram where its memory can't hold the least, GpuUnavailable where it fails and is insisted on.
    """
    began_s = clock()
    start = textured.texture_kd.astype(np.float32)
    views: dict[ViewName, Observations] = {}
    names = [v for v in VIEW_NAMES if v in bundle.rgb]

    def look(v: ViewName) -> Observations | None:
        camera = calibration.cameras[v].scaled_to(bundle.rgb_size_px)
        camera = camera.registered(registrations.get(v, Registration()))
        return observe(textured, camera, bundle.rgb[v], segmentation.rgb_alpha[v])

    step = max(1, min(thread_count(), _PIXELS_AT_ONCE // bundle.rgb_size_px**2))
    for n in range(0, len(names), step):
        some = names[n : n + step]
        views.update({v: found for v, found in zip(some, parallel_map(look, some), strict=True) if found is not None})
        checkpoint(0.4 * ((n + len(some)) / len(names)))
    fit, trouble = _fit(
        start,
        views,
        steps,
        lambda fraction: checkpoint(0.45 + 0.55 * fraction),
        lambda: clock() - began_s > budget_s,
    )
    image = np.rint(fit.texture).astype(np.uint8)
    decibels = tuple(round(float(-10 * np.log10(max(e, 1e-6) / 255**2)), 3) for e in fit.errors)
    fitted = TexturedMesh(textured.mesh, textured.uv, textured.faces_uv, image)
    return Refined(fitted, fit.agreement, decibels, fit.device, trouble)


def _fit(
    start: Float32,
    views: dict[ViewName, Observations],
    steps: int,
    checkpoint: Checkpoint,
    over: Callable[[], bool] = never,
) -> tuple[Fit, str | None]:
    """The fit on the device that is chosen, or on the CPU after all where CUDA fails; then also why, in a sentence."""
    trouble = None
    if choose() == "cuda":
        try:
            from engine.refine.texture_device import fit_on_device

            return fit_on_device(start, views, steps, checkpoint, over), None
        except ModelOutOfVram as error:
            if machine.device() == "cuda":
                raise
            trouble = f"{error.message} The texture was fitted on the CPU."  # in seconds; a lower quality costs more
        except (Cancelled, MeshdropError, MemoryError):
            raise
        except Exception as error:  # of torch, numba, the driver: whatever it is, the CPU does the same
            trouble = f"{after_failure(error)} The texture was fitted on the CPU."
    here = _OnCpu(start, views)
    best, errors = solve(here, steps, checkpoint, over)
    return Fit(best, here.agreement, errors, "cpu"), trouble


class _OnCpu:
    """See `Views`: arrays and compiled kernels on threads."""

    def __init__(self, start: Float32, views: dict[ViewName, Observations]) -> None:
        levels = chain(start, full=True)
        self.start, self._views = start, views
        seen = {v: look_up(levels, view.uv, view.uv_dxy) for v, view in views.items()}
        spots: dict[ViewName, Spots] = {v: found for v, (_, found) in seen.items()}
        weights = parallel_map(lambda v: _weights(seen[v][0], views[v]), list(views))
        self._weights: dict[ViewName, Float32] = dict(zip(views, weights, strict=True))
        self.agreement = {v: round(float(w.sum() / views[v].trust.sum()), 4) for v, w in self._weights.items()}
        self._norm = _seen_of_texels(levels, spots, self._weights)

    def step(self, image: Float32) -> tuple[float, Float32]:
        return _step(chain(image, full=True), self._views, self._weights)

    def moved(self, image: Float32, gradient: Float32) -> Float32:
        def band(rows: tuple[int, int]) -> None:
            part = slice(*rows)
            towards = gradient[part]
            towards += PRIOR * (self.start[part] - image[part])
            towards /= self._norm[part] + np.float32(PRIOR)
            towards += image[part]
            np.clip(towards, 0, 255, out=towards)

        parallel_map(band, row_bands(len(image), max(1, len(image) // _ROWS)))
        return gradient


def _parts(view: Observations) -> list[tuple[int, int]]:
    return row_bands(len(view.uv), max(1, len(view.uv) // _POINTS))


def _weights(drawn: Float32, view: Observations) -> Float32:
    """[N] float32: a pixel's trust times how far the view agrees with the drawn texture [N, 3] round it."""
    apart = ((drawn - view.rgb) ** 2).mean(1)
    square, known = np.zeros(view.size_px, np.float32), np.zeros(view.size_px, np.float32)
    square[view.row, view.column] = view.trust * apart
    known[view.row, view.column] = view.trust
    local = ndimage.uniform_filter(square, NEIGHBOURHOOD_PX, mode="constant")
    local /= np.maximum(ndimage.uniform_filter(known, NEIGHBOURHOOD_PX, mode="constant"), 1e-6)
    agreement = np.exp(-local[view.row, view.column] / np.float32(AGREEMENT**2))
    return np.asarray(view.trust * agreement, np.float32)


def _seen_of_texels(levels: Chain, spots: dict[ViewName, Spots], weights: dict[ViewName, Float32]) -> Float32:
    """[S, S, 1] float32: how many weighted pixels a texel makes up."""
    total = np.zeros((len(levels[0]), 1), np.float32)
    for v, weight in weights.items():
        to_texels(levels, spots[v], weight[:, None], total)
    size = (int(levels[1][0, 1]), int(levels[1][0, 2]), 1)
    return chain_backward(total, levels[1]).reshape(size)


def _step(
    levels: Chain, views: dict[ViewName, Observations], weights: dict[ViewName, Float32]
) -> tuple[float, Float32]:
    """The weighted mean squared error, and minus half its gradient [S, S, 3] times the weights' sum."""
    total = zeros_like(levels[0])
    error = count = 0.0
    for v, view in views.items():
        weight = weights[v]
        seen, spots = look_up(levels, view.uv, view.uv_dxy)
        residual = np.empty_like(seen)

        def band(
            part: tuple[int, int],
            seen: Float32 = seen,
            view: Observations = view,
            weight: Float32 = weight,
            residual: Float32 = residual,
        ) -> float:
            residual_rows(seen, view.rgb, weight, *part, residual)
            rows = slice(*part)
            return float((residual[rows] * (view.rgb[rows] - seen[rows])).sum(dtype=np.float64))

        error += sum(parallel_map(band, _parts(view)))
        count += 3 * float(weight.sum(dtype=np.float64))
        to_texels(levels, spots, residual, total)
    size = (int(levels[1][0, 1]), int(levels[1][0, 2]), 3)
    return error / max(count, 1e-12), chain_backward(total, levels[1]).reshape(size)
