# Copyright the Meshdrop authors. SPDX-License-Identifier: Apache-2.0
"""Render a Meshdrop bundle from Blender: six views, six depth renders, and a job.toml that states the cameras.

    blender --background scene.blend --python blender_export.py -- path/to/bundle
    blender --background scene.blend --python blender_export.py -- path/to/bundle --objects Shoe,Laces --fov 30
    python blender_export.py path/to/bundle --scene scene.blend           # with Blender as a Python module (bpy)

The scene is only changed in memory. Everything that renders is taken, or what --objects names; all else is hidden. The
scene's lights and materials are used, colours come out as sRGB ("Standard"). Depth is that of the bare surfaces: what a
material cuts out by transparency or displaces while rendering is not in it; apply such things to the mesh first.

Above `render_bundle` nothing needs Blender: the cameras, the depth coding and job.toml can be used from anywhere.
"""

from __future__ import annotations

import argparse
import math
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

# Where each camera stands, and what its image shows upwards, in the bundle's world: right-handed, Y up, front on +Z.
# These are Blender's own view names (numpad 1, 3, 7), seen in its world of Z up and front on -Y.
VIEWS = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}
CODE_MAX = 65535
BLENDER_FROM_WORLD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Blender's x, y, z from the bundle's: its Z is our Y, its -Y is our Z."""


def view_poses(distance: float) -> dict[str, np.ndarray]:
    """world_from_camera [4, 4] of each view, in the bundle's world, camera axes x right, y down, z forward."""
    poses = {}
    for view, (stands, up) in VIEWS.items():
        pose = np.eye(4)
        pose[:3, 0] = np.cross(np.negative(stands), up)
        pose[:3, 1] = np.negative(up)
        pose[:3, 2] = np.negative(stands)
        pose[:3, 3] = np.multiply(stands, distance)
        poses[view] = pose
    return poses


def blender_matrix(pose: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """A Blender camera's matrix_world [4, 4] (x right, y up, z backward) from a pose around the rig's centre [3]."""
    out = np.eye(4)
    out[:3, :3] = BLENDER_FROM_WORLD @ pose[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    out[:3, 3] = BLENDER_FROM_WORLD @ pose[:3, 3] + centre
    return out


def fit_distance(points: np.ndarray, fov_deg: float, fill: float) -> float:
    """The distance from which every view sees all points [N, 3] (around the centre) within `fill` of the half image."""
    k = fill * math.tan(math.radians(fov_deg) / 2)
    farthest = 0.0
    for pose in view_poses(1.0).values():
        x, y, along = np.asarray(points @ pose[:3, :3]).T
        farthest = max(farthest, float((np.maximum(abs(x), abs(y)) / k - along).max()))
    return farthest


def depth_range(points: np.ndarray, distance: float) -> tuple[float, float]:
    """Depth at code 0 and at the highest code: one range for the six views, a little wider than the object."""
    reach = 1.02 * float(np.abs(points).max())
    return max(distance - reach, 0.01 * distance), distance + reach


def depth_codes(depth: np.ndarray, covered: np.ndarray, near: float, far: float) -> np.ndarray:
    """Planar depth [H, W] to 16-bit codes, rounded; 0 where nothing is covered [H, W], and nowhere else."""
    codes = np.rint((np.where(covered, depth, far) - near) / (far - near) * CODE_MAX)
    return np.where(covered, np.clip(codes, 1, CODE_MAX), 0).astype(np.uint16)


def job_toml(fov_deg: float, distance: float, near: float, far: float) -> str:
    """The job.toml that states all of it."""
    lines = [
        "[cameras]",
        f"fov_deg = {fov_deg!r}",
        f"distance = {distance!r}",
        'axes = "opencv"',
        "",
        "[depth]",
        'kind = "linear"',
        'measure = "planar"',
        f"near = {near!r}",
        f"far = {far!r}",
    ]
    for view, pose in view_poses(distance).items():
        rows = ", ".join("[" + ", ".join(repr(float(value) + 0.0) for value in row) + "]" for row in pose)
        lines += ["", f"[cameras.views.{view}]", f"world_from_camera = [{rows}]"]
    return "\n".join(lines) + "\n"


def png_16bit(codes: np.ndarray) -> bytes:
    """A grayscale PNG of codes [H, W] uint16, top row first. (Blender's own writer would apply its view transform.)"""
    height, width = codes.shape
    rows = np.zeros((height, 1 + 2 * width), np.uint8)
    rows[:, 1:] = codes.astype(">u2").view(np.uint8).reshape(height, 2 * width)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    pixels = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def render_bundle(out: Path, options: argparse.Namespace) -> None:
    """Render the open scene into the bundle folder `out`."""
    import bpy

    scene = bpy.context.scene
    if options.frame is not None:
        scene.frame_set(options.frame)
    objects = _chosen(bpy, options.objects)
    points = _points(bpy, objects)
    centre = (points.min(0) + points.max(0)) / 2
    points = (points - centre) @ BLENDER_FROM_WORLD  # Blender's to the bundle's: the transpose of a rotation
    distance = fit_distance(points, options.fov, options.fill)
    near, far = depth_range(points, distance)
    camera = _camera(bpy, options.fov, near, far)
    if options.even_light:
        _even_light(bpy)
    for name in ("multi_views", "depth_renders"):
        (out / name).mkdir(parents=True, exist_ok=True)
    # All views before all depth renders: these change how the scene is sampled.
    for view, pose in view_poses(distance).items():
        _place(camera, pose, centre)
        _render_rgb(bpy, out / "multi_views" / f"{view}.png", options)
    with tempfile.TemporaryDirectory() as scratch:
        for view, pose in view_poses(distance).items():
            _place(camera, pose, centre)
            depth, covered = _render_depth(bpy, Path(scratch) / f"{view}.exr", options.depth_size)
            png = png_16bit(depth_codes(depth, covered, near, far))
            (out / "depth_renders" / f"{view}.png").write_bytes(png)
    (out / "job.toml").write_text(job_toml(options.fov, distance, near, far), encoding="utf-8")


def _chosen(bpy: Any, names: str | None) -> list[Any]:
    """What is rendered; everything else that has a surface is hidden."""
    surfaces = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
    wanted = set(names.split(",")) if names else None
    if wanted and (unknown := wanted - {o.name for o in bpy.context.scene.objects}):
        raise SystemExit(f"The scene has no object called {', '.join(sorted(unknown))}.")
    chosen = []
    for o in bpy.context.scene.objects:
        if o.type not in surfaces:
            continue
        if (o.name in wanted) if wanted else not o.hide_render:
            o.hide_render = False
            chosen.append(o)
        else:
            o.hide_render = True
    if not chosen:
        raise SystemExit("Nothing to render: the scene has no visible object with a surface.")
    return chosen


def _points(bpy: Any, objects: list[Any]) -> np.ndarray:
    """[N, 3] vertices in Blender's world, modifiers applied."""
    graph = bpy.context.evaluated_depsgraph_get()
    parts = []
    for o in objects:
        evaluated = o.evaluated_get(graph)
        mesh = evaluated.to_mesh()
        flat = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", flat)
        matrix = np.array(evaluated.matrix_world, np.float64)
        parts.append(flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
        evaluated.to_mesh_clear()
    return np.concatenate(parts)


def _camera(bpy: Any, fov_deg: float, near: float, far: float) -> Any:
    """A camera without lens effects, and a scene that shows the object alone and in plain sRGB."""
    scene = bpy.context.scene
    data = bpy.data.cameras.new("meshdrop")
    data.type, data.sensor_fit, data.angle = "PERSP", "HORIZONTAL", math.radians(fov_deg)
    data.clip_start, data.clip_end = near / 2, far * 2
    camera = bpy.data.objects.new("meshdrop", data)
    scene.collection.objects.link(camera)
    scene.camera = camera
    render = scene.render
    render.engine = "CYCLES"
    render.film_transparent = True
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = render.use_motion_blur = render.use_multiview = False
    render.use_compositing = render.use_sequencer = render.use_stamp = False
    render.dither_intensity = 0.0
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0
    return camera


def _place(camera: Any, pose: np.ndarray, centre: np.ndarray) -> None:
    camera.matrix_world = blender_matrix(pose, centre).T.tolist()  # Blender takes columns


def _even_light(bpy: Any) -> None:
    """White light from everywhere in place of the scene's own."""
    for o in bpy.context.scene.objects:
        if o.type == "LIGHT":
            o.hide_render = True
    world = bpy.data.worlds.new("meshdrop")
    if not world.use_nodes:
        world.use_nodes = True
    nodes = world.node_tree.nodes
    nodes.clear()
    glow, surface = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    glow.inputs["Color"].default_value = (1, 1, 1, 1)
    world.node_tree.links.new(glow.outputs[0], surface.inputs["Surface"])
    bpy.context.scene.world = world


def _render(bpy: Any, path: Path, size_px: int, file_format: str, color_depth: str) -> None:
    render = bpy.context.scene.render
    render.resolution_x = render.resolution_y = size_px
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # Blender 5
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = file_format, "RGBA", color_depth
    render.use_file_extension = False
    render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def _render_rgb(bpy: Any, path: Path, options: argparse.Namespace) -> None:
    bpy.context.scene.cycles.samples = options.samples
    bpy.context.view_layer.material_override = None
    _render(bpy, path, options.size, "PNG", "8")


def _render_depth(bpy: Any, path: Path, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Planar depth [H, W] at the pixels' centres, and where there is any."""
    cycles = bpy.context.scene.cycles
    # One sample through the middle of each pixel: depth is never a mean of before and behind an edge.
    cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = 1, False, False
    cycles.pixel_filter_type, cycles.filter_width = "GAUSSIAN", 0.01
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    bpy.context.view_layer.material_override = _depth_material(bpy)
    _render(bpy, path, size_px, "OPEN_EXR", "32")
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    flat = np.empty(size_px * size_px * 4, np.float32)
    image.pixels.foreach_get(flat)
    bpy.data.images.remove(image)
    pixels = flat.reshape(size_px, size_px, 4)[::-1]  # Blender's images begin at the bottom
    return pixels[..., 0].astype(np.float64), pixels[..., 3] > 0.5


def _depth_material(bpy: Any) -> Any:
    """A material that glows with the distance along the camera's axis."""
    material = bpy.data.materials.get("meshdrop depth")
    if material is not None:
        return material
    material = bpy.data.materials.new("meshdrop depth")
    if not material.use_nodes:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    depth = tree.nodes.new("ShaderNodeCameraData")
    glow = tree.nodes.new("ShaderNodeEmission")
    surface = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(depth.outputs["View Z Depth"], glow.inputs["Strength"])
    tree.links.new(glow.outputs[0], surface.inputs["Surface"])
    glow.inputs["Color"].default_value = (1, 1, 1, 1)
    return material


def arguments(words: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="blender_export", description="Render a Meshdrop bundle from a scene.")
    parser.add_argument("out", type=Path, help="the bundle's folder; made where it is missing")
    parser.add_argument("--scene", type=Path, help="a .blend file to open; by default the one that is open")
    parser.add_argument("--objects", help="names of the objects to render, with commas; by default all that render")
    parser.add_argument("--fov", type=float, default=40.0, help="angle of view in degrees, 15 to 90")
    parser.add_argument("--fill", type=float, default=0.9, help="share of the half image that the object reaches")
    parser.add_argument("--size", type=int, default=2048, help="side of the views in pixels")
    parser.add_argument("--depth-size", type=int, default=1024, help="side of the depth renders in pixels")
    parser.add_argument("--samples", type=int, default=64, help="samples a pixel for the views")
    parser.add_argument(
        "--even-light", action="store_true", help="white light from everywhere, in place of the scene's"
    )
    parser.add_argument("--frame", type=int, help="frame to render; by default the current one")
    return parser.parse_args(words)


def main() -> None:
    """Render what the command line asks for."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    options = arguments(words)
    if options.scene:
        import bpy

        bpy.ops.wm.open_mainfile(filepath=str(options.scene.resolve()))
    render_bundle(options.out.resolve(), options)
    print(f"A bundle is in {options.out}. Copy the folder into Meshdrop's inbox.")


if __name__ == "__main__":
    main()
