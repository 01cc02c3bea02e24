"""A material's maps in the formats that hold them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine.export import export_result, load_glb
from engine.export.glb import write_glb
from engine.export.image import decode_png
from engine.mesh import TexturedMesh
from tests.export.test_export_glb import ROOT, parse


def test_all_maps_are_in_the_glb(shaded_box: TexturedMesh, tmp_path: Path) -> None:
    write_glb(shaded_box, tmp_path / "m.glb")
    document, body = parse(tmp_path / "m.glb")
    material = document["materials"][0]
    assert material["pbrMetallicRoughness"] == {
        "baseColorTexture": {"index": 0}, "metallicFactor": 1, "roughnessFactor": 1,
        "metallicRoughnessTexture": {"index": 1},
    }  # fmt: skip
    assert (material["occlusionTexture"], material["normalTexture"]) == ({"index": 1}, {"index": 2})
    assert [image["name"] for image in document["images"]] == ["texture_kd", "texture_ks", "texture_normal"]
    attributes = document["meshes"][0]["primitives"][0]["attributes"]

    def array(name: str, columns: int) -> np.ndarray:
        accessor = document["accessors"][attributes[name]]
        start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
        return np.frombuffer(body, np.float32, accessor["count"] * columns, start).reshape(-1, columns)

    tangent, normal = array("TANGENT", 4), array("NORMAL", 3)
    assert np.allclose(np.linalg.norm(tangent[:, :3], axis=1), 1, atol=1e-5)
    assert np.abs((tangent[:, :3] * normal).sum(1)).max() < 1e-5
    again = load_glb(tmp_path / "m.glb")
    assert np.array_equal(again.texture_kd, shaded_box.texture_kd)
    assert len(again.mesh.vertices) == len(shaded_box.mesh.vertices)


def test_the_folder_has_them_beside_the_obj(shaded_box: TexturedMesh, tmp_path: Path) -> None:
    names = export_result(shaded_box, tmp_path, ("obj",))
    assert {"texture_kd.png", "texture_ks.png", "texture_normal.png"} <= set(names)
    assert shaded_box.maps is not None
    assert np.array_equal(decode_png((tmp_path / "texture_ks.png").read_bytes()), shaded_box.maps.texture_ks)
    lines = (tmp_path / "material.mtl").read_text().splitlines()
    for line in ("map_Kd texture_kd.png", "map_Ks texture_ks.png", "map_Pr -imfchan g texture_ks.png",
                 "map_Pm -imfchan b texture_ks.png", "norm texture_normal.png", "Ks 0 0 0"):  # fmt: skip
        assert line in lines


def test_without_maps_nothing_speaks_of_them(box: TexturedMesh, tmp_path: Path) -> None:
    names = export_result(box, tmp_path, ("obj",))
    assert not {"texture_ks.png", "texture_normal.png"} & set(names)
    assert "texture_ks" not in (tmp_path / "material.mtl").read_text()


def test_the_usd_layer_knows_them(shaded_box: TexturedMesh, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    export_result(shaded_box, tmp_path, ("usdz",))
    stage = usd.Stage.Open(str(tmp_path / "mesh.usdz"))
    surface = stage.GetPrimAtPath("/mesh/material/surface")
    connected = {a.GetName() for a in surface.GetAttributes() if a.HasAuthoredConnections()}
    wanted = {"diffuseColor", "occlusion", "roughness", "metallic", "normal"}
    assert {f"inputs:{name}" for name in wanted} <= connected


@pytest.mark.skipif(
    shutil.which("node") is None or not list(ROOT.glob(".cache/gltf-validator-*/node_modules/gltf-validator/index.js")),
    reason="the Khronos validator is not installed; .ci/gltf-validator installs it",
)
def test_the_khronos_validator_has_nothing_to_say(shaded_box: TexturedMesh, tmp_path: Path) -> None:
    write_glb(shaded_box, tmp_path / "m.glb")
    command = [ROOT / ".ci" / "gltf-validator", tmp_path / "m.glb"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors, 0 warnings, 0 notes, 0 hints" in done.stdout
