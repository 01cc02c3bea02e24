"""From a bundle to the generated object, in its own frame and then where the cameras see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import fast_simplification
import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import ModelFailed
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.mesh import Mesh
from engine.models.reconviagen.flexicubes import RawMesh
from engine.models.reconviagen.generate import TFLOP, Means, Networks, generate
from engine.models.reconviagen.placing import ObservedView, Placement, place
from engine.models.reconviagen.preprocess import stacked
from engine.progress import Checkpoint
from engine.segment import Segmentation
from engine.surface.components import keep_parts

log = structlog.get_logger(__name__)

_PLACED_FACES: Final = 20_000
_PROBE: Final = 1024
_SHARE_OF_PEAK: Final = 0.6
"""What the networks reach of a plain matrix product's rate."""


@dataclass(frozen=True, eq=False)
class GeneratedObject:
    """mesh: in its own frame, z up, within [-0.5, 0.5]^3, closed parts without the walls of hollows.
    colors: [V, 3] float32, 0..1, of its vertices.
    """

    mesh: Mesh
    colors: NDArray[np.float32]


def estimated_s(device: torch.device, precision: torch.dtype = torch.float32) -> float:
    """How long a job will take on a device, in seconds, from the time of a matrix product."""
    a = torch.ones(_PROBE, _PROBE, dtype=precision, device=device)
    times_s = []
    for _ in range(3):
        begin_s = time.perf_counter()
        float((a @ a)[0, 0])  # reading a number waits for the device
        times_s.append(time.perf_counter() - begin_s)
    rate = 2 * _PROBE**3 / min(times_s) * _SHARE_OF_PEAK
    return sum(TFLOP.values()) * 1e12 / rate


def generate_object(
    bundle: Bundle,
    segmentation: Segmentation,
    networks: Networks,
    means: Means,
    checkpoint: Checkpoint,
) -> GeneratedObject:
    """Generate the object that a bundle shows; the bundle's seed decides which one.

    Raises ModelFailed where nothing solid comes of it, and as `generate` does.
    """
    views = [(bundle.rgb[name], segmentation.rgb_alpha[name]) for name in VIEW_NAMES]
    raw = generate(stacked(views, networks.image_px), networks, means, bundle.options.seed, checkpoint)
    return _solid(raw)


def _solid(raw: RawMesh) -> GeneratedObject:
    """Without floaters and the walls of hollows, which the extraction makes where no cell speaks of the inside."""
    whole = Mesh(raw.vertices.double().numpy(), raw.faces.to(torch.int32).numpy())
    mesh = keep_parts(whole)
    if not len(mesh.faces):
        raise ModelFailed("ReconViaGen generated nothing solid.", suggestion="Try another seed.")
    return GeneratedObject(mesh, _colors_at(mesh, whole, raw.colors[:, :3].numpy()))


def _colors_at(mesh: Mesh, of: Mesh, colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colours of the closest vertices."""
    return np.asarray(colors[cKDTree(of.vertices).query(mesh.vertices)[1]], np.float32)


def place_object(
    found: GeneratedObject,
    bundle: Bundle,
    calibration: Calibration,
    depth: Mapping[ViewName, NDArray[np.float32]],
    checkpoint: Checkpoint = lambda fraction: None,
) -> tuple[Mesh, Placement]:
    """Place the generated object in the world.

    depth: of `fuse`. Returns the mesh in the world, and how it is placed. Raises AlignmentAmbiguous.
    """
    views = {
        name: ObservedView(calibration.cameras[name], depth[name], _scaled(bundle.rgb[name], bundle.depth_size_px))
        for name in VIEW_NAMES
    }
    light = _lighter(found)
    checkpoint(0.0)
    placement = place(light.mesh, light.colors, views, lambda: checkpoint(0.0))
    M = placement.world_from_model
    log.info("reconviagen.placed", iou=round(placement.iou, 3), lead=round(placement.lead, 3))
    return Mesh(found.mesh.vertices @ M[:3, :3].T + M[:3, 3], found.mesh.faces), placement


def _lighter(found: GeneratedObject) -> GeneratedObject:
    """The same with fewer faces: placing it needs no detail."""
    if len(found.mesh.faces) <= _PLACED_FACES:
        return found
    vertices, faces = fast_simplification.simplify(
        found.mesh.vertices.astype(np.float32), found.mesh.faces, target_count=_PLACED_FACES
    )
    mesh = Mesh(np.asarray(vertices, np.float64), np.asarray(faces, np.int32))
    return GeneratedObject(mesh, _colors_at(mesh, found.mesh, found.colors))


def _scaled(rgb: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    if rgb.shape[0] == size_px:
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((size_px, size_px), Image.Resampling.BOX))
