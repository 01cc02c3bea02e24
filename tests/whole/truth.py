"""A result measured against a sample's ground truth. Both lie in the world of their cameras.json."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from engine.camera import Camera
from engine.export import load_glb
from engine.render import render_textured

SAMPLES = 40_000


@dataclass(frozen=True)
class Score:
    """fov_error_deg: absolute. chamfer: mean of both directions' mean distances over the box's diagonal. normals: mean
    absolute cosine between nearest points' normals. novel_psnr_db: over both silhouettes, mean of the novel views.
    """

    fov_error_deg: float
    poses_equal: bool
    chamfer: float
    normals: float
    novel_psnr_db: float
    novel_iou: float


def _camera(view: dict[str, object]) -> Camera:
    return Camera(int(view["size_px"]), np.array(view["K"]), np.array(view["world_from_camera"]))  # type: ignore[call-overload]


def _sample(mesh: trimesh.Trimesh, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points, faces = trimesh.sample.sample_surface(mesh, SAMPLES, seed=seed)
    return np.asarray(points), np.asarray(mesh.face_normals[faces])


def measure(out: Path, truth: Path) -> Score:
    """Measure the result folder `out` against `truth`, a sample's ground_truth folder."""
    found = json.loads((out / "cameras.json").read_text())["views"]
    real = json.loads((truth / "cameras.json").read_text())["views"]
    fovs = [math.degrees(2 * math.atan(v["front"]["size_px"] / 2 / v["front"]["K"][0][0])) for v in (found, real)]
    poses_equal = all(
        np.allclose(found[name]["world_from_camera"], real[name]["world_from_camera"], atol=1e-6) for name in real
    )
    textured = load_glb(out / "mesh.glb")
    a = trimesh.Trimesh(textured.mesh.vertices, textured.mesh.faces, process=False)
    b = trimesh.load(truth / "mesh.ply", process=False)
    (pa, na), (pb, nb) = _sample(a, 1), _sample(b, 2)
    ab, i = cKDTree(pb).query(pa)
    ba, j = cKDTree(pa).query(pb)
    diagonal = float(np.linalg.norm(b.extents))
    normals = (np.abs((na * nb[i]).sum(1)).mean() + np.abs((nb * na[j]).sum(1)).mean()) / 2

    psnr, iou = [], []
    for name, view in json.loads((truth / "novel_cameras.json").read_text()).items():
        drawn = render_textured(textured, _camera(view))
        cover = drawn.coverage[..., None]
        picture = np.asarray(Image.open(truth / "novel" / f"{name}.png").convert("RGB"), np.float32) / 255
        mask = np.asarray(Image.open(truth / "novel" / f"{name}_mask.png").convert("L")) > 127
        either = mask | (drawn.coverage > 0.5)
        error = ((drawn.rgb + 1 - cover - picture) ** 2).mean(-1)[either].mean()
        psnr.append(-10 * math.log10(error))
        iou.append((mask & (drawn.coverage > 0.5)).sum() / either.sum())
    return Score(
        abs(fovs[0] - fovs[1]), poses_equal, float(ab.mean() + ba.mean()) / 2 / diagonal, float(normals),
        float(np.mean(psnr)), float(np.mean(iou)),
    )  # fmt: skip
