"""job.toml: what a job can ask for, and what it can tell about the cameras and the depth coding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.bundle_layout import ViewName

Model = Literal["nvdiffrec", "reconviagen", "both"]
Quality = Literal["draft", "standard", "high"]
Format = Literal["obj", "glb", "ply", "stl", "usdz"]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Table):
    """The verdict's limits: PSNR in dB, SSIM without unit."""

    normal_psnr: float = 25.0
    normal_ssim: float = 0.85
    warning_psnr: float = 20.0
    warning_ssim: float = 0.75


class GivenView(_Table):
    """One view's known pose."""

    world_from_camera: Annotated[list[Row], Field(min_length=4, max_length=4)]


class GivenCameras(_Table):
    """What is known of the cameras; the rest is estimated."""

    fov_deg: Annotated[float, Field(gt=1, lt=170)] | None = None
    distance: Annotated[float, Field(gt=0)] | None = None
    axes: Literal["opencv", "opengl"] = "opencv"
    views: dict[ViewName, GivenView] = Field(default_factory=dict)


class GivenRange(_Table):
    """Depth at the lowest and the highest code."""

    near: Annotated[float, Field(ge=0)] | None = None
    far: Annotated[float, Field(gt=0)] | None = None


class GivenDepth(_Table):
    """What is known of the depth coding; the rest is estimated."""

    kind: Literal["linear", "disparity"] | None = None
    measure: Literal["planar", "ray"] | None = None
    near: Annotated[float, Field(ge=0)] | None = None
    far: Annotated[float, Field(gt=0)] | None = None
    per_view: dict[ViewName, GivenRange] = Field(default_factory=dict)


class JobOptions(_Table):
    """A job's options, as in job.toml; what is absent has the default."""

    model: Model = "nvdiffrec"
    quality: Quality = "standard"
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    formats: tuple[Format, ...] = ("obj", "glb", "ply")
    texture_size_px: Annotated[int, Field(ge=256, le=8192)] | None = None
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] | None = None
    materials: Literal["baked", "separated"] = "baked"
    seed: Annotated[int, Field(ge=0)] = 0
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    force: bool = False
    thresholds: Thresholds = Thresholds()
    cameras: GivenCameras = GivenCameras()
    depth: GivenDepth = GivenDepth()

    @model_validator(mode="after")
    def _formats_unique(self) -> JobOptions:
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("formats names one twice")
        return self
