"""The presets: what each of job.toml's qualities stands for, as far as the settings say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.tables import Table


class Preset(Table):
    """What a quality means where the job does not say it: voxels along the longest side, texture, faces, refining."""

    grid: Annotated[int, Field(ge=32, le=1024)]
    texture_size_px: Annotated[int, Field(ge=256, le=8192)]
    target_faces: Annotated[int, Field(ge=500, le=2_000_000)]
    refine_steps: Annotated[int, Field(ge=0, le=100)]
    refine_s: Annotated[float, Field(ge=0, le=86_400)]
    texture_steps: Annotated[int, Field(ge=0, le=100)]
    texture_s: Annotated[float, Field(ge=0, le=86_400)]
    materials_s: Annotated[float, Field(ge=0, le=86_400)]


class Draft(Preset):
    """Quick."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 128
    """Voxels along the longest side at quality `draft`; 32 to 1024."""

    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 1024
    """The texture's side at quality `draft`; 256 to 8192."""

    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 20_000
    """Faces of the mesh at quality `draft`; 500 to 2,000,000."""

    refine_steps: Annotated[int, Field(ge=0, le=100)] = 0
    """Steps that refine the shape at quality `draft`, at most; 0 leaves it as fused."""

    refine_s: Annotated[float, Field(ge=0, le=86_400)] = 10
    """Seconds of refining at quality `draft`: no step is begun later."""

    texture_steps: Annotated[int, Field(ge=0, le=100)] = 0
    """Steps that fit the texture to the views at quality `draft`, at most; 0 leaves it as baked."""

    texture_s: Annotated[float, Field(ge=0, le=86_400)] = 10
    """Seconds of fitting the texture at quality `draft`: no step is begun later."""

    materials_s: Annotated[float, Field(ge=0, le=86_400)] = 120
    """Seconds of taking light and looks apart at quality `draft`: after that the texture stays as baked."""


class Standard(Preset):
    """What a job gets that asks for nothing."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 256
    """Voxels along the longest side at quality `standard`; 32 to 1024."""

    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 2048
    """The texture's side at quality `standard`; 256 to 8192."""

    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 50_000
    """Faces of the mesh at quality `standard`; 500 to 2,000,000."""

    refine_steps: Annotated[int, Field(ge=0, le=100)] = 3
    """Steps that refine the shape at quality `standard`, at most; 0 leaves it as fused."""

    refine_s: Annotated[float, Field(ge=0, le=86_400)] = 20
    """Seconds of refining at quality `standard`: no step is begun later."""

    texture_steps: Annotated[int, Field(ge=0, le=100)] = 1
    """Steps that fit the texture to the views at quality `standard`, at most; 0 leaves it as baked."""

    texture_s: Annotated[float, Field(ge=0, le=86_400)] = 30
    """Seconds of fitting the texture at quality `standard`: no step is begun later."""

    materials_s: Annotated[float, Field(ge=0, le=86_400)] = 240
    """Seconds of taking light and looks apart at quality `standard`: after that the texture stays as baked."""


class High(Preset):
    """As good as it gets."""

    grid: Annotated[int, Field(ge=32, le=1024)] = 384
    """Voxels along the longest side at quality `high`; 32 to 1024."""

    texture_size_px: Annotated[int, Field(ge=256, le=8192)] = 4096
    """The texture's side at quality `high`; 256 to 8192."""

    target_faces: Annotated[int, Field(ge=500, le=2_000_000)] = 150_000
    """Faces of the mesh at quality `high`; 500 to 2,000,000."""

    refine_steps: Annotated[int, Field(ge=0, le=100)] = 8
    """Steps that refine the shape at quality `high`, at most; 0 leaves it as fused."""

    refine_s: Annotated[float, Field(ge=0, le=86_400)] = 120
    """Seconds of refining at quality `high`: no step is begun later."""

    texture_steps: Annotated[int, Field(ge=0, le=100)] = 3
    """Steps that fit the texture to the views at quality `high`, at most; 0 leaves it as baked."""

    texture_s: Annotated[float, Field(ge=0, le=86_400)] = 180
    """Seconds of fitting the texture at quality `high`: no step is begun later."""

    materials_s: Annotated[float, Field(ge=0, le=86_400)] = 900
    """Seconds of taking light and looks apart at quality `high`: after that the texture stays as baked."""


class Qualities(Table):
    """The presets of job.toml's `quality`, used where the job does not say it."""

    draft: Draft = Draft()
    standard: Standard = Standard()
    high: High = High()
