"""ReconViaGen within a job: generate, place, and fill what no camera sees. Importing this imports no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from config.errors import GpuUnavailable
from config.sections import Settings
from engine import machine
from engine.bundle import Bundle
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.fuse.result import Fusion, SignedDistanceVolume
from engine.mesh import Mesh
from engine.models.reconviagen.fill import fill_unseen, generated_faces, share_of_area
from engine.progress import Tracker
from engine.segment import Segmentation

if TYPE_CHECKING:
    import torch

    from engine.models.reconviagen.placing import Placement

log = structlog.get_logger(__name__)

_PLACE_S = 8.0


@dataclass(frozen=True, eq=False)
class Generated:
    """What the generated object made of the measured solid.

    fusion: the solid, opened where no camera sees it and the generated object has nothing. measured: the solid before.
    """

    fusion: Fusion
    measured: SignedDistanceVolume
    cameras: Mapping[ViewName, Camera]
    placement: Placement

    def faces(self, mesh: Mesh) -> NDArray[np.bool_]:
        """[F]: which faces of a mesh of `fusion` come from the generated object."""
        return generated_faces(mesh, self.cameras, self.fusion.depth, self.measured)

    def facts(self, mesh: Mesh, faces: NDArray[np.bool_]) -> dict[str, float | None]:
        """The content of quality.json's `generated`. faces: of `faces`."""
        lead = self.placement.lead
        return {
            "surface": share_of_area(mesh, faces),
            "silhouette_iou": self.placement.iou,
            "lead": float(lead) if np.isfinite(lead) else None,
        }


def note_on(facts: Mapping[str, Any]) -> str:
    """What job.json and the report say of the generated part. facts: quality.json's `generated`."""
    if not facts["surface"]:
        return "ReconViaGen: no part of the surface is generated; where no camera looks, it changed nothing."
    return (
        f"ReconViaGen: {100 * facts['surface']:.1f} % of the surface is generated, not measured: no camera sees it. "
        "The report shows where."
    )


class Generation:
    """ReconViaGen with its weights, on this machine.

    expected_s: how long generating will take here, from the time of a matrix product. stages_s: each stage and the
    seconds that it is expected to take. notes: for job.json.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ModelUnavailable where the weights can't be used, GpuUnavailable where a GPU is wanted and missing."""
        import torch

        from engine.models.reconviagen.load import published
        from engine.models.reconviagen.stage import estimated_s

        if settings.engine.threads:
            torch.set_num_threads(settings.engine.threads)
        self._device = _device()
        self._networks, self._means = published(settings.models.reconviagen, self._device)
        self.expected_s = estimated_s(self._device, self._means.mixed or torch.float32)
        self.stages_s = [("generate", self.expected_s), ("place", _PLACE_S)]
        self.notes: tuple[str, ...] = ()

    def fill(
        self, bundle: Bundle, segmentation: Segmentation, calibration: Calibration, fusion: Fusion, tracker: Tracker
    ) -> Generated:
        """Generate the object that the views show, and fill in from it what no camera sees.

        Raises AlignmentAmbiguous where the object can't be placed, and as `generate_object` does.
        """
        from engine.models.reconviagen.stage import generate_object, place_object

        begin_s = time.monotonic()
        on_cpu = self._device.type == "cpu"
        if on_cpu:
            log.warning("reconviagen.on_cpu", expected=duration(self.expected_s), expected_s=round(self.expected_s))
        with tracker.stage("generate") as checkpoint:
            found = generate_object(bundle, segmentation, self._networks, self._means, checkpoint)
        machine.release_memory()
        if on_cpu:
            took = duration(time.monotonic() - begin_s)
            expected = duration(self.expected_s)
            self.notes = (f"ReconViaGen ran on the CPU: {expected} were expected, generating took {took}.",)
        with tracker.stage("place") as checkpoint:
            placed, placement = place_object(found, bundle, calibration, fusion.depth, checkpoint)
            filled = fill_unseen(fusion, calibration.cameras, placed, checkpoint)
        return Generated(filled, fusion.volume, calibration.cameras, placement)


def _device() -> torch.device:
    import torch

    wanted = machine.device()
    if wanted == "cpu":
        return torch.device("cpu")
    failure = machine.cuda_failure()
    there = torch.cuda.is_available() and failure is None
    if wanted == "cuda" and not there:
        why = "PyTorch finds no CUDA device" if failure is None else f"it has failed in this process ({failure})"
        raise GpuUnavailable(
            f'engine.device is "cuda", but {why}.',
            suggestion='Check the driver and PyTorch\'s build, or set engine.device to "auto" or "cpu".',
        )
    return torch.device("cuda" if there else "cpu")


def duration(seconds: float) -> str:
    """A time for people: "20 s", "12 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
