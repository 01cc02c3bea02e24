"""Scores a result against the pictures it was made from.

The reference is the delivered RGB view, at its own size, never registered or warped. The render is of the exported
mesh, unlit, through the calibrated camera with the view's registration applied. M_in is the input's foreground, M_out
the render's coverage, both cut at one half.

headline    the render over the clean plate against the delivered view, full frame
on_white    the input's foreground over white against the render over white, full frame
foreground  on_white's error over M_in ∪ M_out
inside      the same over M_in ∩ M_out
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import VIEW_NAMES, ViewName
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera, Registration
from engine.fuse import depth_error
from engine.jit import parallel_map, row_bands, thread_count
from engine.mesh import TexturedMesh
from engine.progress import Checkpoint
from engine.quality.clean_plate import grow, half_size_plate
from engine.quality.closeup import Closeup, closeup, closeup_boxes
from engine.quality.facts import MeshFacts, mesh_facts
from engine.quality.kernels import compose
from engine.quality.metrics import (
    BANDS,
    MARGIN_PX,
    Box,
    Float32,
    Known,
    Mask,
    bounding_box,
    intersection_over_union,
    psnr_db,
    squared_error,
    ssim_map,
)
from engine.render import Render, render_depth, render_textured
from engine.segment import Segmentation

SUPERSAMPLE: Final = 2
THUMBNAIL_PX: Final = 512
FULL_COVER: Final = 0.5


@dataclass(frozen=True)
class Figures:
    """psnr in dB, at most 100. ssim: 1 = equal."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class PictureFigures:
    """A render against a picture, in the four domains of this module."""

    headline: Figures
    on_white: Figures
    foreground: Figures
    inside: Figures
    rgb_iou: float


@dataclass(frozen=True)
class ViewFigures:
    """One view's figures.

    rgb_iou, depth_iou: the render's silhouette against the RGB's and the depth render's foreground. depth_error:
    median |rendered - delivered depth| where both are, over the bounding box's diagonal; 1 where they nowhere meet.
    """

    psnr: float
    ssim: float
    on_white: Figures
    foreground: Figures
    inside: Figures
    rgb_iou: float
    depth_iou: float
    depth_error: float


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """A view for people: the delivered picture, the render over the clean plate, both [S, S, 3] uint8, and their mean
    absolute difference [S, S] uint8, with S = min(512, the view's size).
    """

    delivered: NDArray[np.uint8]
    render: NDArray[np.uint8]
    difference: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of a result, and pictures of its views. The means are those of the six per-view figures."""

    views: dict[ViewName, ViewFigures]
    mesh: MeshFacts
    thumbnails: dict[ViewName, Thumbnails]
    closeups: dict[ViewName, Closeup] = field(default_factory=dict)

    def mean(self, figure: Callable[[ViewFigures], float]) -> float:
        """The mean over the views of one of their figures."""
        return float(np.mean([figure(self.views[name]) for name in sorted(self.views)]))

    @property
    def headline(self) -> Figures:
        """Mean full-frame figures over the clean plate."""
        return Figures(self.mean(lambda v: v.psnr), self.mean(lambda v: v.ssim))

    def domain(self, name: str) -> Figures:
        """Mean figures of `on_white`, `foreground` or `inside`."""
        return Figures(self.mean(lambda v: getattr(v, name).psnr), self.mean(lambda v: getattr(v, name).ssim))


def as_it_is(picture: Render, camera: Camera) -> Render:
    """A render to which nothing is to be added."""
    return picture


def evaluate(
    textured: TexturedMesh,
    bundle: Bundle,
    segmentation: Segmentation,
    calibration: Calibration,
    registrations: Mapping[ViewName, Registration],
    depth: Mapping[ViewName, NDArray[np.float32]],
    checkpoint: Checkpoint = lambda fraction: None,
    finish: Callable[[Render, Camera], Render] = as_it_is,
) -> Evaluation:
    """Score `textured`, the mesh as read back from mesh.glb.

    depth: [h, w] planar z for each view in world units, 0 = background, at the depth renders' size. finish: adds to a
    render what the texture can't hold, as what its surface reflects to that camera.
    """
    facts = mesh_facts(textured.mesh)
    views: dict[ViewName, ViewFigures] = {}
    drawn: dict[ViewName, tuple[Compared, NDArray[np.float32]]] = {}
    smalls: dict[ViewName, Thumbnails] = {}
    closeups: dict[ViewName, Closeup] = {}
    boxes = closeup_boxes(segmentation.rgb_alpha)

    def pictures(name: ViewName) -> None:
        compared, z = drawn[name]
        smalls[name] = thumbnails(bundle.rgb[name], compared.drawn, compared.box)
        closeups[name] = closeup(bundle.rgb[name], compared.drawn, boxes[name], z, depth[name])

    for index, name in enumerate(VIEW_NAMES):
        checkpoint(index / len(VIEW_NAMES))
        camera = calibration.cameras[name].scaled_to(bundle.rgb_size_px).registered(registrations[name])
        picture = finish(render_textured(textured, camera, SUPERSAMPLE, with_depth=False), camera)
        checkpoint((index + 0.4) / len(VIEW_NAMES))
        compared = compare(picture, bundle.rgb[name], segmentation.rgb_alpha[name])
        checkpoint((index + 0.9) / len(VIEW_NAMES))
        z = render_depth(textured.mesh, calibration.cameras[name])
        figures, drawn[name] = compared.figures, (compared, z)
        views[name] = ViewFigures(
            figures.headline.psnr,
            figures.headline.ssim,
            figures.on_white,
            figures.foreground,
            figures.inside,
            figures.rgb_iou,
            intersection_over_union(z > 0, segmentation.depth_mask[name]),
            depth_error(z, depth[name], facts.diagonal),
        )
        if len(drawn) == thread_count() or name == VIEW_NAMES[-1]:  # few at a time: large views are large
            parallel_map(pictures, list(drawn))
            drawn.clear()
    checkpoint(1.0)
    return Evaluation(
        views, facts, {name: smalls[name] for name in VIEW_NAMES}, {name: closeups[name] for name in VIEW_NAMES}
    )


@dataclass(frozen=True, eq=False)
class Compared:
    """drawn: [H, W, 3] uint8, the render over the clean plate. box: where it may differ from the delivered view."""

    figures: PictureFigures
    drawn: NDArray[np.uint8]
    box: Box


def compare(picture: Render, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Compared:
    """One render against one delivered view.

    rgb: [H, W, 3] uint8. alpha: [H, W] uint8, the object's coverage of it.
    """
    size = rgb.shape[0]
    m_in, m_out = alpha > 127, picture.coverage > FULL_COVER
    union, both = m_in | m_out, m_in & m_out
    near = grow(union, max(2, size // 128))
    touched = bounding_box(near | (alpha > 0) | (picture.coverage > 0))
    area = float(near.size)
    if touched is None:  # nothing was delivered and nothing was drawn
        same, none = Figures(psnr_db(0, area), 1.0), Figures(0.0, 0.0)
        return Compared(PictureFigures(same, same, none, none, 1.0), rgb, Box(0, 0, 0, 0))
    box = touched.grown(MARGIN_PX, near.shape)
    delivered, composite, input_white, render_white = _pictures(picture, rgb, alpha, near, box)
    error_white = squared_error(render_white, input_white)
    ssim_white = ssim_map(render_white, input_white)
    ssim_headline = ssim_map(composite, delivered, Known(render_white, input_white, ssim_white))

    def framed(error: Float32, ssim: Float32) -> Figures:
        rest = area - ssim.size  # equal there
        return Figures(
            psnr_db(float(error.sum(dtype=np.float64)), area), (float(ssim.sum(dtype=np.float64)) + rest) / area
        )

    def within(mask: Mask) -> Figures:
        part = mask[box.slices]
        count = int(np.count_nonzero(part))
        if count == 0:
            return Figures(0.0, 0.0)
        return Figures(
            psnr_db(float(error_white[part].sum(dtype=np.float64)), count),
            float(ssim_white[part].mean(dtype=np.float64)),
        )

    figures = PictureFigures(
        framed(squared_error(composite, delivered), ssim_headline),
        framed(error_white, ssim_white),
        within(union),
        within(both),
        intersection_over_union(m_in, m_out),
    )
    drawn = rgb.copy()
    into = drawn[box.slices]

    def quantise(rows: tuple[int, int]) -> None:
        part = composite[slice(*rows)]
        np.clip(part, 0, 1, out=part)
        part *= 255
        into[slice(*rows)] = np.rint(part, out=part)

    parallel_map(quantise, row_bands(len(composite), BANDS))
    return Compared(figures, drawn, box)


def _pictures(
    picture: Render, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], near: Mask, box: Box
) -> tuple[Float32, Float32, Float32, Float32]:
    """The four pictures within `box`, [h, w, 3] float32: delivered, the render over the clean plate, the input's
    foreground over white, the render over white.
    """
    shape = (box.y1 - box.y0, box.x1 - box.x0, 3)
    pictures = [np.empty(shape, np.float32) for _ in range(4)]
    frame = [rgb, alpha, near, picture.rgb, picture.coverage, half_size_plate(rgb, near)]
    arguments = [*map(np.ascontiguousarray, frame), box.y0, box.x0]
    kernel: Callable[..., None] = compose

    def draw(band: tuple[int, int]) -> None:
        kernel(*arguments, *band, *pictures)

    parallel_map(draw, row_bands(shape[0]))
    delivered, composite, input_white, render_white = pictures
    return delivered, composite, input_white, render_white


def thumbnails(delivered: NDArray[np.uint8], drawn: NDArray[np.uint8], box: Box) -> Thumbnails:
    """Of two pictures [S, S, 3] uint8. box: where they may differ."""
    from PIL import Image

    size = delivered.shape[0]
    side = min(THUMBNAIL_PX, size)

    def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.fromarray(image)
        if size % side == 0:
            return np.asarray(picture.reduce(size // side))
        return np.asarray(picture.resize((side, side), Image.Resampling.BOX))

    difference = np.zeros_like(delivered)
    a, b = delivered[box.slices], drawn[box.slices]
    difference[box.slices] = np.maximum(a, b) - np.minimum(a, b)
    return Thumbnails(small(delivered), small(drawn), np.rint(small(difference).mean(-1)).astype(np.uint8))
