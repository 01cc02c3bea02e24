"""What the page says in sentences."""

from __future__ import annotations

from typing import Any, Final

from config.bundle_layout import VIEW_NAMES
from engine.quality import MEANING

VERDICT: Final = {"normal": "Normal", "warning": "Warning", "failure": "Failure"}
ADVICE: Final = {
    "normal": "Turn the model round all the same: nothing measures what no camera saw.",
    "warning": "It can be used, but look at the views below before you do.",
    "failure": "The result is complete, but it is not what was delivered. The views below show where it differs.",
}
KIND: Final = {"linear": "linear: grey runs evenly with depth", "disparity": "inverse: grey runs evenly with 1/depth"}
MEASURE: Final = {"planar": "along the camera’s axis", "ray": "along the line of sight"}
STRUCTURE: Final = {
    "view_max": "each view by its own farthest point",
    "shared": "one range for all six views",
    "view_minmax": "each view by its own nearest and farthest point",
    "shared_offset": "one nearest depth for all views, each to its own farthest point",
}
SOURCE: Final = {
    "estimated": "found from the images alone",
    "given": "taken from job.toml",
    "mixed": "partly taken from job.toml, the rest found from the images",
}
STAGE: Final = {
    "bundle": "Read the bundle",
    "segment": "Find the object",
    "calibrate": "Find the cameras",
    "fuse": "Fuse the depth",
    "generate": "Generate the object",
    "place": "Place it in the cameras",
    "register": "Align the views",
    "surface": "Extract the surface",
    "refine": "Refine the shape",
    "texture": "Bake the texture",
    "materials": "Take light and looks apart",
    "export": "Write the formats",
    "preview": "Finish the previews",
    "quality": "Compare with the input",
}
FILE: Final = {
    "mesh.glb": "Model with texture, one file (glTF 2.0)",
    "mesh.obj": "Model as OBJ; keep the next two beside it",
    "material.mtl": "The OBJ’s material",
    "texture_kd.png": "Colour texture",
    "texture_ks.png": "Occlusion, roughness, metallic in red, green, blue",
    "texture_normal.png": "Normal map",
    "mesh.ply": "Model as PLY, a colour at each vertex",
    "mesh.stl": "Geometry alone, as STL",
    "mesh.usdz": "Model for AR on Apple’s devices",
    "contact_sheet.png": "Input, render and difference, one picture",
    "turntable.webp": "The model going round",
    "thumbnail.webp": "Small picture",
    "quality.json": "All figures, for programs",
    "cameras.json": "The cameras that were found",
    "light.json": "The light that was taken out of the texture",
    "error.json": "Why this counts as a failure",
    "job.json": "What was asked for, and each file’s digest",
}


AGREEING_FROM: Final = 0.6
"""The confidence in the cameras from which the six depth renders agree with each other, as docs/quality.md has it."""


def verdict_sentence(quality: dict[str, Any]) -> str:
    """The rule that fired, with its figures."""
    meaning = MEANING[quality["rule"]]
    reached = "limits" if quality["status"] == "normal" else "lowest limits"
    return (
        f"{meaning[0].upper()}{meaning[1:]}. PSNR {quality['psnr']:.1f} dB and SSIM {quality['ssim']:.3f}; "
        f"the {reached} are {quality['psnr_expected']:.1f} dB and {quality['ssim_expected']:.3f}."
    )


def headline(quality: dict[str, Any]) -> str:
    """The verdict in a line."""
    if quality["status"] == "normal":
        return "The model matches the views"
    if quality["rule"] == "orientation_ambiguous":
        return "The orientation is a guess"
    return "The model differs from the views" if quality["status"] == "warning" else "The model misses the views"


def confidence_sentence(calibration: dict[str, Any]) -> str:
    """What the confidence in the cameras means."""
    if calibration["source"] == "given":
        return "The cameras were stated, so there was nothing to find."
    if calibration["confidence"] >= AGREEING_FROM:
        return "The six depth renders agree with each other under these cameras."
    return (
        "The six depth renders contradict each other on a good share of their points, or leave the angle of view open."
    )


def ambiguity_sentence(calibration: dict[str, Any]) -> str:
    """Whether the views fit together in one way."""
    if calibration["ambiguous"]:
        return (
            "The views fit together in more than one way, and the common layout was taken: the model may be turned or "
            "mirrored. State the cameras in job.toml to be sure."
        )
    return "The views fit together in one way only."


def worst_view(quality: dict[str, Any]) -> str:
    """The view with the lowest headline PSNR."""
    return min(VIEW_NAMES, key=lambda name: (quality["views"][name]["psnr"], VIEW_NAMES.index(name)))


def file_meaning(name: str) -> str:
    """What a file of the result is."""
    if name.startswith("preview_"):
        return f"From {45 * int(name[8:-4])}°, with its edges"
    return FILE.get(name, "")


def size_text(size: int) -> str:
    """A length in bytes for people."""
    if size < 1000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1_000_000:.1f} MB"
