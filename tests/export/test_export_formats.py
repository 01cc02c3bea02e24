from __future__ import annotations

import errno
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from config.errors import DiskFull, ModelUnavailable, ShareUnavailable
from engine.export import export_result
from engine.export.files import write_file
from engine.export.image import decode_png, encode_png
from engine.export.ply import VERTEX, vertex_colours
from engine.export.stl import write_stl
from engine.export.usdz import package
from engine.mesh import TexturedMesh


@pytest.fixture
def result(box: TexturedMesh, tmp_path: Path) -> Path:
    export_result(box, tmp_path, ("obj", "glb", "ply", "stl"))
    return tmp_path


def obj_rows(path: Path, key: str) -> list[list[str]]:
    return [line.split()[1:] for line in path.read_text("ascii").splitlines() if line.startswith(key + " ")]


# --- which files


def test_default_formats(box: TexturedMesh, tmp_path: Path) -> None:
    names = export_result(box, tmp_path)
    assert names == ["mesh.obj", "material.mtl", "texture_kd.png", "mesh.glb", "mesh.ply"]
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())


def test_the_glb_is_written_whatever_is_asked_for(box: TexturedMesh, tmp_path: Path) -> None:
    assert export_result(box, tmp_path, ("stl",)) == ["mesh.glb", "mesh.stl"]


def test_bytes_are_the_same_each_time(box: TexturedMesh, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        names = export_result(box, folder, ("obj", "glb", "ply", "stl"))
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


# --- OBJ


def test_obj_keeps_geometry_winding_and_uv(box: TexturedMesh, result: Path) -> None:
    path = result / "mesh.obj"
    vertices = np.array(obj_rows(path, "v"), np.float64).astype(np.float32)
    uv = np.array(obj_rows(path, "vt"), np.float64)
    normals = np.array(obj_rows(path, "vn"), np.float64)
    corners = np.array([[c.split("/") for c in row] for row in obj_rows(path, "f")], int) - 1
    assert np.array_equal(vertices, box.mesh.vertices.astype(np.float32))
    assert np.array_equal(corners[..., 0], box.mesh.faces)
    assert np.array_equal(corners[..., 2], box.mesh.faces)
    assert np.allclose(uv[corners[..., 1]], box.uv[box.faces_uv] * [1, -1] + [0, 1], atol=1e-8)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    assert (np.einsum("ij,ij->i", normals[corners[:, 0, 2]], box.mesh.face_normals()) > 0).all()


def test_obj_through_trimesh_is_watertight_and_textured(box: TexturedMesh, result: Path) -> None:
    mesh = trimesh.load_mesh(result / "mesh.obj", process=False, maintain_order=True)
    assert np.array_equal(np.asarray(mesh.visual.material.image.convert("RGB")), box.texture_kd)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(0.6 * 0.4 * 0.2, rel=1e-5)


def test_mtl_leaves_the_texture_as_it_is(result: Path) -> None:
    lines = (result / "material.mtl").read_text("ascii").splitlines()
    assert "Kd 1 1 1" in lines
    assert "map_Kd texture_kd.png" in lines
    assert "mtllib material.mtl" in (result / "mesh.obj").read_text("ascii").splitlines()


# --- PLY


def test_ply_is_watertight_and_coloured_as_it_is_read(box: TexturedMesh, result: Path) -> None:
    mesh = trimesh.load_mesh(result / "mesh.ply", process=False)
    assert np.array_equal(mesh.faces, box.mesh.faces)
    assert np.array_equal(mesh.vertices, box.mesh.vertices.astype(np.float32))
    assert np.array_equal(mesh.visual.vertex_colors[:, :3], vertex_colours(box))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(0.6 * 0.4 * 0.2, rel=1e-5)


def test_ply_header_and_normals(box: TexturedMesh, result: Path) -> None:
    data = (result / "mesh.ply").read_bytes()
    header, body = data.split(b"end_header\n", 1)
    assert b"format binary_little_endian 1.0" in header
    vertex = np.frombuffer(body, VERTEX, len(box.mesh.vertices))
    assert np.allclose(vertex["normal"], box.mesh.vertex_normals(), atol=1e-6)


def test_vertex_colours_of_a_constant_texture_are_that_colour(box: TexturedMesh) -> None:
    flat = np.full_like(box.texture_kd, (10, 200, 77))
    colours = vertex_colours(TexturedMesh(box.mesh, box.uv, box.faces_uv, flat))
    assert (colours == (10, 200, 77)).all()


def test_vertex_colours_follow_the_texture(box: TexturedMesh) -> None:
    """Red is a ramp along u: a vertex inside a chart gets the ramp's value at its own place."""
    colours = vertex_colours(box)
    uses = [np.unique(box.faces_uv[box.mesh.faces == v]) for v in range(len(box.mesh.vertices))]
    inner = [v for v, used in enumerate(uses) if len(used) == 1 and np.count_nonzero(box.mesh.faces == v) == 6]
    assert len(inner) == 6 * 9
    expected = [255 * box.uv[uses[v][0], 0] for v in inner]
    assert np.allclose(colours[inner, 0], expected, atol=4)


# --- STL


def test_stl_keeps_geometry_and_winding(box: TexturedMesh, tmp_path: Path) -> None:
    write_stl(box.mesh, tmp_path / "m.stl")
    mesh = trimesh.load_mesh(tmp_path / "m.stl", process=False)
    assert np.array_equal(mesh.triangles, box.mesh.vertices.astype(np.float32)[box.mesh.faces])
    assert np.allclose(mesh.face_normals, box.mesh.face_normals(), atol=1e-6)
    assert (tmp_path / "m.stl").stat().st_size == 84 + 50 * len(box.mesh.faces)


# --- texture


def test_png_round_trip_is_lossless(box: TexturedMesh) -> None:
    data = encode_png(box.texture_kd)
    assert np.array_equal(decode_png(data), box.texture_kd)
    assert Image.open(io.BytesIO(data)).format == "PNG"


# --- USDZ


def test_usdz_package_is_a_stored_aligned_zip(tmp_path: Path) -> None:
    files = {"mesh.usdc": b"layer" * 7, "texture_kd.png": bytes(range(256)) * 3}
    data = package(files)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(files)
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert archive.read(info) == files[info.filename]
            name_length, extra_length = np.frombuffer(data, "<u2", 2, info.header_offset + 26)
            assert (info.header_offset + 30 + int(name_length) + int(extra_length)) % 64 == 0


def test_usdz_without_its_extra_is_refused_before_anything_is_written(
    box: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.export.usdz.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="usd-core") as caught:
        export_result(box, tmp_path, ("obj", "usdz"))
    assert "pip install" in caught.value.suggestion
    assert list(tmp_path.iterdir()) == []


def test_usdz_holds_the_mesh(box: TexturedMesh, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="usd-core is an extra")
    from pxr import UsdGeom, UsdShade

    export_result(box, tmp_path, ("usdz",))
    stage = usd.Stage.Open(str(tmp_path / "mesh.usdz"))
    shape = UsdGeom.Mesh(stage.GetPrimAtPath("/mesh/geometry"))
    assert np.array_equal(np.array(shape.GetPointsAttr().Get()), box.mesh.vertices.astype(np.float32))
    assert np.array_equal(np.array(shape.GetFaceVertexIndicesAttr().Get()), box.mesh.faces.ravel())
    material, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial()
    assert material.GetPath() == "/mesh/material"


# --- storage


class FailingPath(type(Path())):  # type: ignore[misc]
    code = 0

    def open(self, *args: Any, **kwargs: Any) -> Any:
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(FailingPath, "code", code)
    with pytest.raises(DiskFull, match=r"mesh\.glb"):
        write_file(FailingPath(tmp_path / "mesh.glb"), b"x")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOENT, errno.ESTALE])
def test_a_share_that_is_gone_or_closed_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(FailingPath, "code", code)
    with pytest.raises(ShareUnavailable, match=r"mesh\.glb"):
        write_file(FailingPath(tmp_path / "mesh.glb"), b"x")


def test_other_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FailingPath, "code", errno.EMFILE)
    with pytest.raises(OSError, match="open files"):
        write_file(FailingPath(tmp_path / "mesh.glb"), b"x")


@pytest.mark.skipif(not Path("/dev/full").exists() or sys.platform != "linux", reason="needs /dev/full")
def test_a_really_full_device() -> None:
    with pytest.raises(DiskFull, match="/dev/full"):
        write_file(Path("/dev/full"), b"x" * 100_000)
