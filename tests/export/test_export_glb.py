from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh

from config.errors import IncompleteResults
from engine.export.glb import load_glb, write_glb
from engine.mesh import Mesh, TexturedMesh

ROOT = Path(__file__).parents[2]


def parse(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    bin_length, kind = struct.unpack_from("<I4s", data, 20 + json_length)
    assert kind == b"BIN\0"
    assert json_length % 4 == bin_length % 4 == 0
    assert 28 + json_length + bin_length == len(data)
    return json.loads(data[20 : 20 + json_length]), data[28 + json_length :]


@pytest.fixture
def glb(box: TexturedMesh, tmp_path: Path) -> Path:
    path = tmp_path / "mesh.glb"
    write_glb(box, path)
    return path


def test_round_trip_keeps_geometry_winding_uv_and_texture(box: TexturedMesh, glb: Path) -> None:
    back = load_glb(glb)
    assert len(back.mesh.vertices) == len(box.mesh.vertices)
    assert np.array_equal(back.mesh.vertices[back.mesh.faces], box.mesh.vertices.astype(np.float32)[box.mesh.faces])
    assert np.array_equal(back.uv[back.faces_uv], box.uv[box.faces_uv])
    assert np.array_equal(back.texture_kd, box.texture_kd)


def test_another_reader_sees_the_same(box: TexturedMesh, glb: Path) -> None:
    (mesh,) = trimesh.load_scene(glb, process=False).geometry.values()
    assert np.array_equal(mesh.vertices[mesh.faces], box.mesh.vertices.astype(np.float32)[box.mesh.faces])
    upwards = np.asarray(mesh.visual.uv)[mesh.faces]
    assert np.allclose(upwards[..., 0], box.uv[box.faces_uv][..., 0], atol=1e-7)
    assert np.allclose(1 - upwards[..., 1], box.uv[box.faces_uv][..., 1], atol=1e-7)
    assert np.array_equal(np.asarray(mesh.visual.material.baseColorTexture), box.texture_kd)
    assert mesh.visual.material.metallicFactor == 0
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(0.6 * 0.4 * 0.2, rel=1e-5)


def test_structure(box: TexturedMesh, glb: Path) -> None:
    document, body = parse(glb)
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["generator"].startswith("Meshdrop")
    assert document["buffers"] == [{"byteLength": len(body)}]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(body)
    position = document["accessors"][0]
    stored = np.frombuffer(body, np.float32, position["count"] * 3).reshape(-1, 3)
    assert np.array_equal(np.float32(position["min"]), stored.min(0))
    assert np.array_equal(np.float32(position["max"]), stored.max(0))
    material = document["materials"][0]["pbrMetallicRoughness"]
    assert (material["metallicFactor"], material["roughnessFactor"]) == (0, 1)
    assert document["images"][0]["mimeType"] == "image/png"
    assert document["samplers"][0]["minFilter"] == 9987  # LINEAR_MIPMAP_LINEAR
    assert document["accessors"][3]["componentType"] == 5123  # few enough vertices for 16-bit indices


def test_many_vertices_get_wide_indices(tmp_path: Path) -> None:
    count = 66_000
    angle = np.linspace(0, 6, count)
    strip = np.stack([np.cos(angle), np.sin(angle), np.arange(count) % 2 + angle], 1)
    faces = np.arange(count - 2, dtype=np.int32)[:, None] + np.arange(3, dtype=np.int32)
    textured = TexturedMesh(
        Mesh(strip, faces), (strip[:, :2] / 2 + 0.5).astype(np.float32), faces, np.zeros((4, 4, 3), np.uint8)
    )
    write_glb(textured, tmp_path / "m.glb")
    document, _ = parse(tmp_path / "m.glb")
    assert document["accessors"][3]["componentType"] == 5125
    assert np.array_equal(load_glb(tmp_path / "m.glb").mesh.faces, faces)


def test_bytes_are_the_same_each_time(box: TexturedMesh, glb: Path, tmp_path: Path) -> None:
    write_glb(box, tmp_path / "again.glb")
    assert (tmp_path / "again.glb").read_bytes() == glb.read_bytes()


@pytest.mark.parametrize("keep", [0, 11, 100, 2000])
def test_a_damaged_file_is_refused(glb: Path, keep: int) -> None:
    glb.write_bytes(glb.read_bytes()[:keep])
    with pytest.raises(IncompleteResults, match=r"mesh\.glb"):
        load_glb(glb)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompleteResults):
        load_glb(tmp_path / "none.glb")


@pytest.mark.skipif(
    shutil.which("node") is None or not list(ROOT.glob(".cache/gltf-validator-*/node_modules/gltf-validator/index.js")),
    reason="the Khronos validator is not installed; .ci/gltf-validator installs it",
)
def test_the_khronos_validator_has_nothing_to_say(glb: Path) -> None:
    done = subprocess.run([ROOT / ".ci" / "gltf-validator", glb], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors, 0 warnings, 0 notes, 0 hints" in done.stdout
