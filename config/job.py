"""job.toml: what a job can ask for, and what it can tell about the cameras and the depth coding."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from config.bundle_layout import ViewName
from config.errors import ValidationFailed
from config.tables import Table, explain, read_toml

Model = Literal["nvdiffrec", "reconviagen", "both"]
Materials = Literal["baked", "separated"]
Quality = Literal["draft", "standard", "high"]
Format = Literal["obj", "glb", "ply", "stl", "usdz"]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]

_RIGID_TOLERANCE = 1e-3


class Thresholds(Table):
    """The verdict: `normal`, `warning`, and `failure` below; PSNR in dB, SSIM without unit."""

    normal_psnr: float = 25.0
    """PSNR in dB from which a result is `normal`."""

    normal_ssim: float = 0.85
    """SSIM from which a result is `normal`."""

    warning_psnr: float = 20.0
    """PSNR in dB below which a result is a `failure`."""

    warning_ssim: float = 0.75
    """SSIM below which a result is a `failure`."""

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.warning_psnr > self.normal_psnr or self.warning_ssim > self.normal_ssim:
            raise ValueError("the warning's thresholds are above the normal ones")
        return self


class GivenView(Table):
    """One view's known pose."""

    world_from_camera: Annotated[list[Row], Field(min_length=4, max_length=4)]
    """A view's pose: four rows of four numbers, the last `[0, 0, 0, 1]`, the upper left 3x3 a rotation (no mirror).
    `<view>` is front, back, left, right, top or bottom."""

    @model_validator(mode="after")
    def _rigid(self) -> GivenView:
        M = self.world_from_camera
        if any(abs(value - expected) > 1e-6 for value, expected in zip(M[3], (0, 0, 0, 1), strict=True)):
            raise ValueError("world_from_camera's last row must be [0, 0, 0, 1] (the matrix is given by rows)")
        columns = [[M[row][column] for row in range(3)] for column in range(3)]
        for i in range(3):
            for j in range(i + 1):
                dot = sum(a * b for a, b in zip(columns[i], columns[j], strict=True))
                if abs(dot - (i == j)) > _RIGID_TOLERANCE:
                    raise ValueError("world_from_camera's upper left 3x3 is no rotation: its columns must be unit axes")
        (a, b, c), (d, e, f), (g, h, i_) = columns
        if a * (e * i_ - f * h) - b * (d * i_ - f * g) + c * (d * h - e * g) < 0:
            raise ValueError("world_from_camera mirrors: its determinant is -1; a camera's is +1")
        return self


class GivenCameras(Table):
    """What is known of the cameras; the rest is estimated."""

    fov_deg: Annotated[float, Field(gt=1, lt=170)] | None = None
    """Full angle of view, 1 to 170 degrees; none: estimated."""

    distance: Annotated[float, Field(gt=0)] | None = None
    """Distance of the cameras from the rig's centre, in your unit; it becomes the unit of the result. None: 1."""

    axes: Literal["opencv", "opengl"] = "opencv"
    """Axes of `world_from_camera`: `opencv` (x right, y down, z forward) or `opengl` (x right, y up, z backward)."""

    views: dict[ViewName, GivenView] = Field(default_factory=dict)


class GivenRange(Table):
    """Depth at the lowest and the highest code."""

    near: Annotated[float, Field(ge=0)] | None = None
    """The same for one view."""

    far: Annotated[float, Field(gt=0)] | None = None
    """The same for one view."""

    @model_validator(mode="after")
    def _not_empty(self) -> GivenRange:
        if self.near is not None and self.far is not None and math.isclose(self.near, self.far):
            raise ValueError("near and far are equal")
        return self


class GivenDepth(Table):
    """What is known of the depth coding; the rest is estimated."""

    kind: Literal["linear", "disparity"] | None = None
    """`linear`: depth is linear in the code; `disparity`: its inverse is. None: estimated."""

    measure: Literal["planar", "ray"] | None = None
    """`planar`: along the camera's axis; `ray`: from the camera's centre. None: estimated."""

    near: Annotated[float, Field(ge=0)] | None = None
    """Depth at code 0 in the unit of `cameras.distance`; none: estimated."""

    far: Annotated[float, Field(gt=0)] | None = None
    """Depth at the highest code; less than `near` where near is bright. None: estimated."""

    per_view: dict[ViewName, GivenRange] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_empty(self) -> GivenDepth:
        GivenRange(near=self.near, far=self.far)
        return self


class JobOptions(Table):
    """A job's options, as in job.toml; what is absent has the default."""

    model: Model = "nvdiffrec"
    """What reconstructs: `nvdiffrec`, `reconviagen` or `both`. A model that is not installed is refused, never
    replaced."""

    quality: Quality = "standard"
    """`draft`, `standard` or `high`: the presets are settings."""

    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """-100 to 100; the highest goes first."""

    formats: Annotated[tuple[Format, ...], Field(strict=False)] = ("obj", "glb", "ply")
    """Any of `obj`, `glb`, `ply`, `stl`, `usdz`; none twice."""

    texture_size_px: Annotated[int, Field(ge=256, le=8192)] | None = None
    """The texture's side, 256 to 8192; none takes the quality's."""

    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] | None = None
    """Faces of the mesh, 500 to 2,000,000; none takes the quality's."""

    materials: Materials = "baked"
    """`baked` carries the views' colours as they are. `separated` takes their light out and adds occlusion, roughness,
    metallic and normal maps, where the views can tell light from looks; otherwise it is `baked`, with the reason."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Start of every random choice, 0 or more."""

    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which the job is ended; none takes the installation's."""

    force: bool = False
    """Run even if the same content has a result already."""

    thresholds: Thresholds = Thresholds()
    cameras: GivenCameras = GivenCameras()
    depth: GivenDepth = GivenDepth()

    @model_validator(mode="after")
    def _formats_unique(self) -> JobOptions:
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("formats names one twice")
        return self


def parse_job_options(table: dict[str, Any], source: str = "job.toml") -> JobOptions:
    """Check a job's options, as read from TOML.

    source: the name to give in errors. Raises ValidationFailed with everything that is wrong.
    """
    try:
        return JobOptions.model_validate(table)
    except ValidationError as error:
        problems = explain(error, JobOptions)
        raise ValidationFailed(
            f"{source}: {'; '.join(problems)}.",
            suggestion=f"Correct {source}; docs/job-toml.md lists every key and what it may be.",
            file=source,
            problems=problems,
        ) from error


def read_job_options(path: Path) -> JobOptions:
    """Read a job.toml.

    Raises ValidationFailed for what is not TOML, unknown keys and values; ShareUnavailable where it can't be read.
    """
    return parse_job_options(read_toml(path), path.name)
