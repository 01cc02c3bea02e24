"""Stage 3's entry: cameras, depth coding and orientation from the images and what the job gives."""

from __future__ import annotations

from config.bundle_layout import VIEW_NAMES
from config.errors import CalibrationFailed
from engine.bundle import Bundle
from engine.calibrate.model import fov_deg
from engine.calibrate.observe import observe
from engine.calibrate.result import Calibration
from engine.calibrate.search import finish, search
from engine.camera import Camera
from engine.progress import Checkpoint
from engine.segment import Segmentation


def calibrate(bundle: Bundle, segmentation: Segmentation, checkpoint: Checkpoint) -> Calibration:
    """Find the six cameras and how codes stand for depth.

    Raises CalibrationFailed where the images leave it open or contradict each other.
    """
    observation = observe(bundle, segmentation)
    checkpoint(0.1)
    found = search(observation, checkpoint)
    if not found:
        raise CalibrationFailed("No cameras explain the six depth renders together.")
    best, _profile = finish(observation, found[0])
    fov = fov_deg(float(best.full[0]))
    poses = best.layout.poses()
    cameras = {name: Camera.from_fov(fov, bundle.depth_size_px, poses[i]) for i, name in enumerate(VIEW_NAMES)}
    checkpoint(1.0)
    return Calibration(
        cameras=cameras,
        depth=best.family.codings(best.full, bundle.depth_code_max),
        fov_deg=fov,
        structure=best.family.structure,
        layout=best.layout.as_dict(),
        confidence=1.0,
        source="estimated",
        ambiguous=False,
        evidence={},
    )
