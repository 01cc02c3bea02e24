"""A sample on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.bundle_layout import DEPTH_DIR, RGB_DIR, VIEW_NAMES
from engine.calibrate.result import Calibration
from engine.camera import Camera
from engine.jit import parallel_map
from engine.render.viewpoints import orbit
from engine.sample.coding import Encoding
from engine.sample.lighting import Light
from engine.sample.rig import Layout, distance_to_fit
from engine.sample.scene import Background, SampleObject, Scene, compose, sample_scene

NOVEL_VIEWS = tuple((azimuth, elevation) for azimuth in (45, 135, 225, 315) for elevation in (25, -25))


def make_sample(
    out: Path,
    object_name: str = "locomotive",
    fov_deg: float = 40.0,
    encoding: Encoding = "view_max",
    layout: Layout = "canonical",
    size_px: int = 2048,
    background: Background = "off_white",
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    grid: int = 224,
    light: Light = "painted",
) -> Path:
    """Write a sample and return its bundle folder.

    out/bundle/{multi_views,depth_renders}/*.png is what a job gets. out/ground_truth/ holds the truth: mesh.ply (with
    vertex colours, in the world of cameras.json), cameras.json, novel_cameras.json, and novel/az045_el+25.png, ... on
    white with their masks; where `light` is "studio" or "glossy", mesh.ply is without it, and so is novel_unlit/. The
    arguments are `sample_scene`'s, whose errors it raises, and OSError.
    """
    scene = sample_scene(
        object_name, fov_deg, encoding, layout, size_px, background=background, offset=offset, grid=grid, light=light
    )
    bundle, truth = out / "bundle", out / "ground_truth"
    for folder in (bundle / RGB_DIR, bundle / DEPTH_DIR, truth / "novel"):
        folder.mkdir(parents=True, exist_ok=True)
    pictures: list[tuple[Path, NDArray[Any]]] = []
    for view in VIEW_NAMES:
        rgb, alpha = scene.bundle.rgb[view], scene.bundle.alpha[view]
        whole = rgb if alpha is None else np.dstack([rgb, alpha])
        pictures.append((bundle / RGB_DIR / f"{view}.png", whole))
        codes = scene.bundle.depth[view]
        pictures.append(
            (
                bundle / DEPTH_DIR / f"{view}.png",
                codes.astype(np.uint8) if scene.bundle.depth_code_max == 255 else codes,
            )
        )
    novel = novel_cameras(scene.truth, fov_deg, min(1024, size_px))
    for name, camera in novel.items():
        picture = scene.truth.render(camera)
        pictures.append((truth / "novel" / f"{name}.png", compose(picture, "white")[0]))
        pictures.append((truth / "novel" / f"{name}_mask.png", (picture.coverage * 255 + 0.5).astype(np.uint8)))
        if scene.truth.lighting is not None:
            (truth / "novel_unlit").mkdir(exist_ok=True)
            looks = scene.truth.render_looks(camera)
            pictures.append((truth / "novel_unlit" / f"{name}.png", compose(looks, "white")[0]))
    parallel_map(_write_png, pictures)
    _write_json(truth / "cameras.json", cameras_json(scene, size_px))
    _write_json(truth / "novel_cameras.json", {name: _camera_json(camera) for name, camera in novel.items()})
    _write_ply(truth / "mesh.ply", scene.truth)
    return bundle


def novel_cameras(truth: SampleObject, fov_deg: float, size_px: int) -> dict[str, Camera]:
    """Eight views from between the six."""
    poses = [orbit(a, e, 1.0, fov_deg, size_px).world_from_camera for a, e in NOVEL_VIEWS]
    distance = distance_to_fit(truth.mesh.vertices, poses, fov_deg, 0.92)
    return {f"az{a:03d}_el{e:+03d}": orbit(a, e, distance, fov_deg, size_px) for a, e in NOVEL_VIEWS}


def cameras_json(scene: Scene, rgb_size_px: int) -> dict[str, Any]:
    """The truth in the fields of a result's cameras.json."""
    calibration: Calibration = scene.calibration
    views = {}
    for view in VIEW_NAMES:
        coding = calibration.depth[view]
        views[view] = {
            **_camera_json(calibration.cameras[view].scaled_to(rgb_size_px)),
            "registration": {"scale": 1.0, "dx_px": 0.0, "dy_px": 0.0, "rotation_deg": 0.0},
            "depth": {
                "kind": coding.kind,
                "measure": coding.measure,
                "at_code_0": coding.at_code_0,
                "at_code_max": coding.at_code_max,
                "rounding": coding.rounding,
            },
        }
    return {
        "schema_version": 1,
        "world": "right-handed, Y up, front camera on +Z, origin at the rig's centre",
        "unit": "camera distance",
        "views": views,
    }


def _camera_json(camera: Camera) -> dict[str, Any]:
    return {
        "size_px": camera.size_px,
        "K": camera.K.tolist(),
        "world_from_camera": camera.world_from_camera.tolist(),
    }


def _write_png(item: tuple[Path, NDArray[Any]]) -> None:
    path, pixels = item
    Image.fromarray(pixels).save(path, compress_level=1 if pixels.ndim == 3 else 6)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_ply(path: Path, truth: SampleObject) -> None:
    """Binary PLY with vertex colours."""
    mesh = truth.mesh
    vertices = np.zeros(len(mesh.vertices), [("position", "<f4", 3), ("colour", "u1", 3)])
    vertices["position"], vertices["colour"] = mesh.vertices, truth.vertex_colours()
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    path.write_bytes("\n".join(header).encode() + b"\n" + vertices.tobytes() + faces.tobytes())
