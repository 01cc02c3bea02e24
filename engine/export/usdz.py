"""USDZ for AR on Apple's devices: mesh.usdz, through Pixar's usd-core (`pip install meshdrop[usdz]`).

UsdPreviewSurface with its textures; the package is a zip without compression, its first file the layer, each file's
data aligned to 64 bytes (openusd.org, "Usdz File Format Specification").
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from config.errors import ModelUnavailable
from engine.export.files import write_file
from engine.export.glb import Pictures
from engine.export.layout import normal_float32, position_float32
from engine.export.obj import TEXTURES
from engine.mesh import TexturedMesh

ALIGNMENT: Final = 64
DOS_EPOCH: Final = (0, 0x21)
"""1 January 1980: the time does not go into the bytes."""


def require_usd() -> None:
    """Raise ModelUnavailable unless usd-core is installed."""
    if find_spec("pxr") is None:
        raise ModelUnavailable(
            "The format usdz needs the package usd-core, which is not installed.",
            suggestion="Install it with `pip install meshdrop[usdz]`, or leave usdz out of the formats.",
            format="usdz",
        )


def usd_layer(textured: TexturedMesh, names: tuple[str, ...]) -> bytes:
    """The scene as a usdc layer (crate file) that refers to the textures `names` beside it: colour, and where there are
    three, occlusion with roughness and metallic, and normals.
    """
    from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, Vt

    mesh = textured.mesh
    with tempfile.TemporaryDirectory(prefix="meshdrop-usd-") as folder:
        path = Path(folder, "mesh.usdc")
        stage = Usd.Stage.CreateNew(str(path))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = UsdGeom.Xform.Define(stage, "/mesh")
        stage.SetDefaultPrim(root.GetPrim())

        shape = UsdGeom.Mesh.Define(stage, "/mesh/geometry")
        position = position_float32(mesh)
        shape.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(position))
        shape.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
        shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(mesh.faces.reshape(-1), np.int32)))
        shape.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normal_float32(mesh)))
        shape.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        shape.CreateOrientationAttr(UsdGeom.Tokens.rightHanded)
        shape.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([position.min(0), position.max(0)])))
        uv = textured.uv.copy()
        uv[:, 1] = 1 - uv[:, 1]
        coordinates = UsdGeom.PrimvarsAPI(shape).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
        )
        coordinates.Set(Vt.Vec2fArray.FromNumpy(uv))
        coordinates.SetIndices(Vt.IntArray.FromNumpy(np.ascontiguousarray(textured.faces_uv.reshape(-1), np.int32)))

        material = UsdShade.Material.Define(stage, "/mesh/material")
        surface = UsdShade.Shader.Define(stage, "/mesh/material/surface")
        surface.CreateIdAttr("UsdPreviewSurface")
        material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
        reader = UsdShade.Shader.Define(stage, "/mesh/material/st")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        reader_out = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)

        def image(name: str, space: str, fallback: Gf.Vec4f) -> UsdShade.Shader:
            shader = UsdShade.Shader.Define(stage, f"/mesh/material/{Path(name).stem}")
            shader.CreateIdAttr("UsdUVTexture")
            shader.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(name))
            shader.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
            shader.CreateInput("wrapS", Sdf.ValueTypeNames.Token).Set("clamp")
            shader.CreateInput("wrapT", Sdf.ValueTypeNames.Token).Set("clamp")
            shader.CreateInput("fallback", Sdf.ValueTypeNames.Float4).Set(fallback)
            shader.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(reader_out)
            return shader

        colour = image(names[0], "sRGB", Gf.Vec4f(0.5, 0.5, 0.5, 1))
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
            colour.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
        )
        if len(names) == 1:
            surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
            surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
        else:
            packed = image(names[1], "raw", Gf.Vec4f(1, 1, 0, 1))
            for channel, what in (("r", "occlusion"), ("g", "roughness"), ("b", "metallic")):
                surface.CreateInput(what, Sdf.ValueTypeNames.Float).ConnectToSource(
                    packed.CreateOutput(channel, Sdf.ValueTypeNames.Float)
                )
            bumps = image(names[2], "raw", Gf.Vec4f(0.5, 0.5, 1, 1))
            bumps.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
            bumps.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
            surface.CreateInput("normal", Sdf.ValueTypeNames.Normal3f).ConnectToSource(
                bumps.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
            )
        UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        return path.read_bytes()


def package(files: dict[str, bytes]) -> bytes:
    """A usdz of `files`, the layer first: a stored zip, each file's data at a multiple of 64 bytes.

    usd-core's own packer stamps the time of day into the archive; this gives the same bytes each time.
    """
    body, directory = bytearray(), bytearray()
    for name, data in files.items():
        encoded = name.encode("ascii")
        offset = len(body)
        # an extra field pads the header: its own header takes 4 bytes
        padding = -(offset + 30 + len(encoded) + 4) % ALIGNMENT
        extra = struct.pack("<HH", 0x1986, padding) + bytes(padding)
        checksum = zlib.crc32(data)
        common = (10, 0, 0, *DOS_EPOCH, checksum, len(data), len(data), len(encoded))
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", *common, len(extra)) + encoded + extra + data
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 10, *common, 0, 0, 0, 0, 0, offset) + encoded
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory + end)


def write_usdz(textured: TexturedMesh, path: Path, pictures: Pictures) -> None:
    """Write `textured` with its textures inside. pictures: the textures, encoded.

    Raises ModelUnavailable without usd-core, DiskFull or ShareUnavailable.
    """
    require_usd()
    encoded = [png for png in (pictures.kd, pictures.ks, pictures.normal) if png is not None]
    textures = dict(zip(TEXTURES, encoded, strict=False))
    write_file(path, package({"mesh.usdc": usd_layer(textured, tuple(textures)), **textures}))
