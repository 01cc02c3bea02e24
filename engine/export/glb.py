"""glTF 2.0 binary: mesh.glb, the file that is scored.

Written by hand after the Khronos glTF 2.0 specification (registry.khronos.org/glTF/specs/2.0): trimesh's writer
re-encodes the texture, leaves out the sampler and always takes 32-bit indices.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import IncompleteResults
from engine.export.files import write_file
from engine.export.image import decode_png, encode_png
from engine.export.layout import split_at_frames, split_at_seams, unique_rows
from engine.mesh import Mesh, TexturedMesh

MAGIC: Final = 0x46546C67
CHUNK_JSON: Final = 0x4E4F534A
CHUNK_BIN: Final = 0x004E4942
FLOAT: Final = 5126
UNSIGNED_SHORT: Final = 5123
UNSIGNED_INT: Final = 5125
ARRAY_BUFFER: Final = 34962
ELEMENT_ARRAY_BUFFER: Final = 34963
LINEAR: Final = 9729
LINEAR_MIPMAP_LINEAR: Final = 9987
CLAMP_TO_EDGE: Final = 33071
PRIMITIVE_RESTART_16: Final = 65535
COMPONENTS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
DTYPES: Final[dict[int, type[np.generic]]] = {FLOAT: np.float32, UNSIGNED_SHORT: np.uint16, UNSIGNED_INT: np.uint32}


def generator() -> str:
    """Name and version of this program, for files that say who made them."""
    try:
        return f"Meshdrop {version('meshdrop')}"
    except PackageNotFoundError:
        return "Meshdrop"


@dataclass(frozen=True)
class Pictures:
    """PNG bytes: the colour, and where the material has more, what `MaterialMaps` names."""

    kd: bytes
    ks: bytes | None = None
    normal: bytes | None = None


def glb_chunks(textured: TexturedMesh, pictures: Pictures) -> list[bytes]:
    """The file's bytes, in parts. pictures: the textures, encoded."""
    split = split_at_seams(textured)
    tangent = None
    if textured.maps is not None:
        split, tangent = split_at_frames(split, textured.maps.tangents)
    count = len(split.position)
    small = count < PRIMITIVE_RESTART_16  # the highest index must not be the restart value
    indices = split.faces.reshape(-1).astype(np.uint16 if small else np.uint32)
    body = _Body()
    low, high = (limit.astype(float).tolist() for limit in (split.position.min(0), split.position.max(0)))
    attributes = {"POSITION": body.array(split.position, "VEC3", min=low, max=high)}
    attributes["NORMAL"] = body.array(split.normal, "VEC3")
    attributes["TEXCOORD_0"] = body.array(split.uv, "VEC2")
    index = body.array(indices, "SCALAR", UNSIGNED_SHORT if small else UNSIGNED_INT, ELEMENT_ARRAY_BUFFER)
    if tangent is not None:
        attributes["TANGENT"] = body.array(tangent, "VEC4")
    images = [body.image("texture_kd", pictures.kd)]
    material: dict[str, Any] = {
        "name": "material",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0},
    }
    if pictures.ks is not None and pictures.normal is not None:
        images += [body.image("texture_ks", pictures.ks), body.image("texture_normal", pictures.normal)]
        material["pbrMetallicRoughness"] |= {"metallicRoughnessTexture": {"index": 1}, "metallicFactor": 1.0}
        material |= {"occlusionTexture": {"index": 1}, "normalTexture": {"index": 2}}
    document = {
        "asset": {"version": "2.0", "generator": generator()},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "mesh"}],
        "meshes": [{
            "name": "mesh", "primitives": [{"attributes": attributes, "indices": index, "material": 0}],
        }],
        "materials": [material],
        "textures": [{"source": source, "sampler": 0} for source in range(len(images))],
        "images": images,
        "samplers": [{
            "magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE,
        }],
        "accessors": body.accessors,
        "bufferViews": body.views,
        "buffers": [{"byteLength": body.length}],
    }  # fmt: skip
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<III", MAGIC, 2, 12 + 8 + len(text) + 8 + body.length)
    return [
        head, struct.pack("<II", len(text), CHUNK_JSON), text, struct.pack("<II", body.length, CHUNK_BIN), *body.parts
    ]  # fmt: skip


class _Body:
    """The binary chunk, block by block, each padded to 4 bytes, and what the document says of it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def _block(self, block: bytes, **more: Any) -> int:
        self.views.append({"buffer": 0, "byteOffset": self.length, "byteLength": len(block), **more})
        self.parts += [block, bytes(-len(block) % 4)]
        self.length += len(block) + -len(block) % 4
        return len(self.views) - 1

    def array(
        self, values: NDArray[Any], kind: str, component: int = FLOAT, target: int = ARRAY_BUFFER, **more: Any
    ) -> int:
        """Append an array; returns its accessor's number."""
        view = self._block(values.tobytes(), target=target)
        count = len(values)
        self.accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **more})
        return len(self.accessors) - 1

    def image(self, name: str, png: bytes) -> dict[str, Any]:
        """Append a picture; returns what the document's list of images says of it."""
        return {"bufferView": self._block(png), "mimeType": "image/png", "name": name}


def write_glb(textured: TexturedMesh, path: Path, pictures: Pictures | None = None) -> None:
    """Write `textured` as one GLB with its textures inside.

    pictures: the textures' PNGs if they are encoded already. Raises DiskFull or ShareUnavailable.
    """
    if pictures is None:
        maps = textured.maps
        images = [textured.texture_kd] + ([maps.texture_ks, maps.texture_normal] if maps else [])
        pictures = Pictures(*map(encode_png, images))
    write_file(path, *glb_chunks(textured, pictures))


def load_glb(path: Path) -> TexturedMesh:
    """Read back a GLB of one textured primitive, as `write_glb` makes it: its shape and its colour.

    Vertices with the same position, bit by bit, become one again, in the order of their first use by the file.
    Raises IncompleteResults where the file is damaged or holds something else.
    """
    try:
        return _parse(path.read_bytes())
    except (ValueError, KeyError, IndexError, TypeError, struct.error, OSError) as error:
        raise IncompleteResults(f"{path} can't be read back as a textured mesh: {error}.", path=str(path)) from error


def _parse(data: bytes) -> TexturedMesh:
    magic, gltf_version, length = struct.unpack_from("<III", data)
    if magic != MAGIC or gltf_version != 2 or length != len(data):
        raise ValueError("its header is not that of a whole GLB 2.0")
    json_length, json_kind = struct.unpack_from("<II", data, 12)
    bin_length, bin_kind = struct.unpack_from("<II", data, 20 + json_length)
    if json_kind != CHUNK_JSON or bin_kind != CHUNK_BIN:
        raise ValueError("its chunks are not JSON and BIN")
    document = json.loads(data[20 : 20 + json_length])
    body = memoryview(data)[28 + json_length : 28 + json_length + bin_length]
    primitives = [p for mesh in document["meshes"] for p in mesh["primitives"]]
    moved = any({"matrix", "translation", "rotation", "scale"} & node.keys() for node in document["nodes"])
    if len(primitives) != 1 or primitives[0].get("mode", 4) != 4 or moved:
        raise ValueError("it holds more than one untransformed set of triangles")

    def array(index: int) -> NDArray[Any]:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        if "byteStride" in view or "sparse" in accessor:
            raise ValueError("its buffers are interleaved or sparse")
        columns = COMPONENTS[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        flat = np.frombuffer(body, DTYPES[accessor["componentType"]], accessor["count"] * columns, start)
        return flat.reshape(-1, columns) if columns > 1 else flat

    attributes = primitives[0]["attributes"]
    position = array(attributes["POSITION"])
    faces_uv = array(primitives[0]["indices"]).astype(np.int32).reshape(-1, 3)
    material = document["materials"][primitives[0]["material"]]["pbrMetallicRoughness"]
    image = document["images"][document["textures"][material["baseColorTexture"]["index"]]["source"]]
    view = document["bufferViews"][image["bufferView"]]
    start = view.get("byteOffset", 0)
    first, merged = unique_rows(position)
    return TexturedMesh(
        Mesh(position[first].astype(np.float64), merged[faces_uv].astype(np.int32)),
        array(attributes["TEXCOORD_0"]).astype(np.float32),
        faces_uv,
        decode_png(bytes(body[start : start + view["byteLength"]])),
    )
